//! The index as a service, at the address of the admin pages: a request of hyper's in, an answer out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hoverboard_claims::Did;
use hoverboard_store::service::{self, Admitted, MAX_BODY, Query, Service};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::Told;
use crate::denylist::Denylists;
use crate::store::ServedStore;

/// How long a client may take over the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Who claims, where nothing says under which name our CARs are reached. Nothing is claimed then.
const NOBODY: &str = "did:web:localhost";

/// `/blocks` and `/claims` over a store.
#[derive(Debug)]
pub struct IndexService {
    service: Service,
    store: Arc<ServedStore>,
}

impl IndexService {
    /// A service that tells of this store, but not of what is denied.
    pub fn new(told: Told, store: Arc<ServedStore>, denylists: Arc<Denylists>) -> Option<Self> {
        let issuer: Did = match told.carpark.as_ref().and_then(|carpark| carpark.did()) {
            Some(did) => did,
            None => NOBODY.parse().ok()?,
        };
        let denied = Arc::new(move |block: &_| denylists.is_multihash_denied(block));
        let settings = service::Settings { access: told.access, carpark: told.carpark, issuer, denied };
        Some(Self { service: Service::new(store.library.clone(), settings), store })
    }

    /// Answers a request. `None`: it is not for this service.
    pub(crate) async fn answer(&self, request: &mut Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        let head = service::Request {
            method: request.method().as_str(),
            path: request.uri().path(),
            authorization: request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes),
        };
        let query = match self.service.admit(&head)? {
            Admitted::Query(query) => Ok(query),
            Admitted::Answer(answer) => Err(answer),
            Admitted::Body => {
                let body = Limited::new(request.body_mut(), MAX_BODY + 1).collect();
                match tokio::time::timeout(BODY_TIMEOUT, body).await {
                    Ok(Ok(body)) => Query::of_body(&body.to_bytes()),
                    // Too long, or never whole: what it says of itself is the same to the sender.
                    Ok(Err(_)) => Query::of_body(&[0; MAX_BODY + 1]),
                    Err(_) => return Some(status(StatusCode::REQUEST_TIMEOUT)),
                }
            }
        };
        let answer = match query {
            Ok(query) => self.service.answer(query, &self.store.account()).await,
            Err(answer) => answer,
        };
        let mut response = status(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        *response.body_mut() = Full::new(answer.body.into());
        for (name, value) in answer.headers {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Some(response)
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
