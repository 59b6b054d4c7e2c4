//! Plain HTTP at the address of the WebSocket: who this is, for people and for programs that look for the peer id.

use std::net::IpAddr;

use multiaddr::{Multiaddr, Protocol};
use serde::Serialize;
use worker::{Method, Request, Response, Result, Url};

use crate::config::Config;

/// What `/` answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    name: &'static str,
    version: &'static str,
    peer_id: String,
    multiaddrs: Vec<String>,
}

/// Answers a request that is no WebSocket.
pub(crate) fn answer(request: &Request, config: &Config) -> Result<Response> {
    let url = request.url()?;
    if url.path() != "/" {
        return Response::error("not found", 404);
    }
    if !matches!(request.method(), Method::Get | Method::Head) {
        let mut response = Response::error("only GET and HEAD", 405)?;
        response.headers_mut().set("Allow", "GET, HEAD")?;
        return Ok(response);
    }
    let peer = config.identity.peer_id();
    let addresses = match config.announce.as_slice() {
        [] => own_address(&url).into_iter().collect(),
        announced => announced.to_vec(),
    };
    let full = |address: Multiaddr| match address.iter().last() {
        Some(Protocol::P2p(_)) => address.to_string(),
        _ => address.with(Protocol::P2p(peer)).to_string(),
    };
    let about = About {
        name: "hoverboard",
        version: env!("CARGO_PKG_VERSION"),
        peer_id: peer.to_string(),
        multiaddrs: addresses.into_iter().map(full).collect(),
    };
    Response::from_json(&about)
}

/// Where a WebSocket reaches what the client has just reached.
fn own_address(url: &Url) -> Option<Multiaddr> {
    let host = url.host_str()?;
    let host = match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => Protocol::Ip4(address),
        Ok(IpAddr::V6(address)) => Protocol::Ip6(address),
        Err(_) => Protocol::Dns(host.into()),
    };
    let address = Multiaddr::empty().with(host).with(Protocol::Tcp(url.port_or_known_default()?));
    Some(match url.scheme() {
        "https" => address.with(Protocol::Tls).with(Protocol::Ws("/".into())),
        _ => address.with(Protocol::Ws("/".into())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_that_was_asked() {
        let address = |url: &str| own_address(&Url::parse(url).expect("a URL")).expect("an address").to_string();
        assert_eq!(address("https://peer.example.net/"), "/dns/peer.example.net/tcp/443/tls/ws");
        assert_eq!(address("http://127.0.0.1:8787/"), "/ip4/127.0.0.1/tcp/8787/ws");
        assert_eq!(address("http://[::1]:8787/"), "/ip6/::1/tcp/8787/ws");
    }
}
