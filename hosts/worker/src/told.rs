//! Where blocks are, over plain HTTP: `/blocks` and `/claims`, if the deployment tells anybody. Each request is an event of
//! its own, with the budget of one.

use std::rc::Rc;
use std::sync::Arc;

use hoverboard_claims::Did;
use hoverboard_store::service::{self, Admitted, MAX_BODY, Query, Service};
use worker::{Env, Headers, Request, Response, Result};

use crate::host::{Desk, Host, now};

/// Who claims, where nothing says under which name CARs are reached. Nothing is claimed then.
const NOBODY: &str = "did:web:localhost";

/// Answers a request. `None`: it is for somebody else.
pub(crate) async fn answer(request: &mut Request, env: &Env, host: &Rc<Host>) -> Result<Option<Response>> {
    let Some(told) = host.config.told.clone() else { return Ok(None) };
    let path = request.path();
    if !["/blocks", "/claims"].iter().any(|ours| path.starts_with(ours)) {
        return Ok(None);
    }
    let issuer: Option<Did> = told.carpark.as_ref().and_then(|carpark| carpark.did()).or_else(|| NOBODY.parse().ok());
    let Some(issuer) = issuer else { return Ok(None) };
    let desk = Desk::new(host.clone(), env)?;
    desk.library.set_now(now());
    desk.keep_denylist().await;
    let Some(policy) = desk.host.deny.policy() else {
        return Response::error("the denylist cannot be read", 503).map(Some);
    };
    let denied = Arc::new(move |block: &_| policy.is_multihash_denied(block));
    let settings = service::Settings { access: told.access, carpark: told.carpark, issuer, denied };
    let service = Service::new(desk.library.clone(), settings);
    let method = request.method().to_string();
    let authorization = request.headers().get("Authorization")?;
    let head =
        service::Request { method: &method, path: &path, authorization: authorization.as_deref().map(str::as_bytes) };
    let query = match service.admit(&head) {
        None => return Ok(None),
        Some(Admitted::Query(query)) => Ok(query),
        Some(Admitted::Answer(answer)) => Err(answer),
        Some(Admitted::Body) => Query::of_body(&body(request).await?),
    };
    let answer = match query {
        Ok(query) => service.answer(query, &desk.ledger.account()).await,
        Err(answer) => answer,
    };
    let headers = Headers::new();
    for (name, value) in answer.headers {
        headers.set(name, value)?;
    }
    let body = if method == "HEAD" { Vec::new() } else { answer.body };
    Ok(Some(Response::from_bytes(body)?.with_status(answer.status).with_headers(headers)))
}

/// The body, or of one that is too long as much as shows that.
async fn body(request: &mut Request) -> Result<Vec<u8>> {
    use futures_util::StreamExt as _;
    let mut body = Vec::new();
    let mut stream = request.stream()?;
    while body.len() <= MAX_BODY
        && let Some(chunk) = stream.next().await
    {
        let chunk = chunk?;
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY + 1 - body.len())]);
    }
    Ok(body)
}
