//! `hoverboard peers`: who got most of a running server today, from its admin page.

use std::io::Write;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::admin::AdminAddr;
use crate::caps::page::Page;
use crate::cli::PeersArgs;

use super::{Failure, printed, run_async};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest page that is read, in bytes: one has a thousand rows of some 300.
const MAX_PAGE: usize = 4 << 20;

pub(super) fn run(args: PeersArgs) -> Result<(), Failure> {
    run_async(async move {
        let failed = |why: String| Failure::Failed(format!("cannot ask {}: {why}. Look at --admin", args.admin));
        let json = tokio::time::timeout(PATIENCE, get(&args.admin, "/peers"))
            .await
            .map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        let page: Page = serde_json::from_reader(json.clone().reader())
            .map_err(|error| failed(format!("the answer is no list of peers: {error}")))?;
        let mut out = std::io::stdout().lock();
        printed(if args.json {
            out.write_all(&json).and_then(|()| writeln!(out))
        } else {
            writeln!(out, "{}", page.table(args.top))
        })
    })
}

/// One page of the admin pages.
async fn get(admin: &AdminAddr, path: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let socket = admin.connect().await?;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, admin.to_string()).body(Empty::<Bytes>::new())?;
    let response = client.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answers {}", response.status()).into());
    }
    Ok(Limited::new(response.into_body(), MAX_PAGE).collect().await?.to_bytes())
}
