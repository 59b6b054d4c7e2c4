//! Hoverboard in a Cloudflare Worker.
//!
//! | module | it is |
//! |---|---|
//! | [`object`] | the Durable Object whose peers stay connected while it sleeps |
//! | [`plain`] | the mode without Durable Objects |
//! | [`peer`] | one peer, in either mode |
//! | [`kept`] | a session in its socket's attachment |
//! | [`host`] | what an instance, an object, a connection share |
//! | [`indexer`] | the consumer of notifications about CARs |
//! | [`committer`] | the object that changes the index |
//! | [`deny`] | the blocks that are not served |
//! | [`memory`] | which CARs a peer was reading |
//! | [`bucket`] | R2 as an object store |
//! | [`crypto`] | sealing and hashing by the platform |
//! | [`config`] | the variables, bindings and secrets |
//! | [`http`] | plain HTTP at the same address |
//! | [`told`] | where blocks are, at the same address |
//! | [`timer`] | waiting within an event |
//! | [`fault`] | faults on demand, for tests |
//!
//! The session, the reads and the ledger are the core's: here is only what a Worker is made of.

#![allow(missing_docs, reason = "the bindings that the macros of `worker` generate have none")]

mod bucket;
mod committer;
mod config;
mod crypto;
mod deny;
mod ended;
pub mod fault;
mod host;
mod http;
pub mod indexer;
mod kept;
mod memory;
mod object;
mod peer;
mod plain;
mod timer;
mod told;
#[cfg(feature = "trials")]
pub mod trials;

use std::rc::Rc;

use worker::{Context, Env, Request, Response, Result, WebSocketPair, event};

pub use self::committer::Committer;
pub use self::memory::PeerMemory;
pub use self::object::Peers;

use self::config::Mode;
use self::host::{Desk, Host};

/// Every request: a peer's WebSocket, or plain HTTP.
#[event(fetch, respond_with_errors)]
async fn fetch(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    let host = match Host::of(&env) {
        Ok(host) => host,
        Err(error) => return Response::error(error.to_string(), 500),
    };
    let upgrade = request.headers().get("Upgrade")?;
    if !upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return match told::answer(&mut request, &env, &host).await? {
            Some(response) => Ok(response),
            None => http::answer(&request, &host.config),
        };
    }
    match host.config.mode {
        Mode::Object => {
            let address = request.headers().get("CF-Connecting-IP")?.unwrap_or_default();
            let name = host.config.object_of(&address);
            env.durable_object("PEERS")?.get_by_name(&name)?.fetch_with_request(request).await
        }
        Mode::Plain => {
            let WebSocketPair { client, server } = WebSocketPair::new()?;
            server.accept()?;
            let desk = Rc::new(Desk::new(host, &env)?);
            // It lives as long as its socket does.
            worker::wasm_bindgen_futures::spawn_local(plain::serve(desk, server));
            Response::from_websocket(client)
        }
    }
}
