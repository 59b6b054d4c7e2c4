//! Multiaddrs that this host can do something with: listen on them, or dial them.
//!
//! The forms spoken are `/ip4|ip6/…/tcp/PORT[/ws]` for listening, and for dialling also `/dns`, `/dns4`, `/dns6` in
//! front and `/p2p/PEER` behind. QUIC, secure WebSocket and relays are refused by name, so that nobody waits for
//! them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

/// What carries the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Plain TCP
    Tcp,
    /// WebSocket over TCP, binary messages
    WebSocket,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Interface and port; port 0 lets the system choose
    pub socket: SocketAddr,
    /// What is spoken there
    pub transport: Transport,
    /// Whether a start without it is a failure. False only for the IPv6 half of the defaults, for machines without
    /// IPv6.
    pub required: bool,
}

/// An address to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Name or address of the machine
    pub host: Host,
    /// TCP port
    pub port: u16,
    /// What is spoken there
    pub transport: Transport,
    /// Who must answer; `None` takes anybody
    pub peer: Option<PeerId>,
}

/// The machine part of an address to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address
    Ip(IpAddr),
    /// A name to resolve to any address
    Dns(String),
    /// A name to resolve to an IPv4 address
    Dns4(String),
    /// A name to resolve to an IPv6 address
    Dns6(String),
}

/// A multiaddr that this host cannot use, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{addr}: {reason}")]
pub struct AddressError {
    addr: Multiaddr,
    reason: &'static str,
}

impl Listen {
    /// Reads an address of the form `/ip4|ip6/…/tcp/PORT[/ws]`.
    pub fn parse(addr: &Multiaddr) -> Result<Self, AddressError> {
        let error = |reason| AddressError { addr: addr.clone(), reason };
        let mut parts = addr.iter();
        let ip = match parts.next() {
            Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::from(ip),
            _ => return Err(error("to listen on, an address must begin with /ip4 or /ip6")),
        };
        let (port, transport, rest) = stream(&mut parts).map_err(error)?;
        match rest {
            None => Ok(Self { socket: SocketAddr::new(ip, port), transport, required: true }),
            Some(Protocol::P2p(_)) => Err(error("leave /p2p out: the peer id follows from the key")),
            Some(_) => Err(error(UNSUPPORTED)),
        }
    }

    /// The multiaddr of a socket that is listened on.
    pub fn multiaddr(socket: SocketAddr, transport: Transport) -> Multiaddr {
        let addr = Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port()));
        match transport {
            Transport::Tcp => addr,
            Transport::WebSocket => addr.with(Protocol::Ws("/".into())),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::multiaddr(self.socket, self.transport).fmt(f)
    }
}

impl Dial {
    /// Reads an address of the form `/ip4|ip6|dns|dns4|dns6/…/tcp/PORT[/ws][/p2p/PEER]`.
    pub fn parse(addr: &Multiaddr) -> Result<Self, AddressError> {
        let error = |reason| AddressError { addr: addr.clone(), reason };
        let mut parts = addr.iter();
        let host = match parts.next() {
            Some(Protocol::Ip4(ip)) => Host::Ip(ip.into()),
            Some(Protocol::Ip6(ip)) => Host::Ip(ip.into()),
            Some(Protocol::Dns(name)) => Host::Dns(name.into_owned()),
            Some(Protocol::Dns4(name)) => Host::Dns4(name.into_owned()),
            Some(Protocol::Dns6(name)) => Host::Dns6(name.into_owned()),
            _ => return Err(error("to dial, an address must begin with /ip4, /ip6, /dns, /dns4 or /dns6")),
        };
        let (port, transport, rest) = stream(&mut parts).map_err(error)?;
        let peer = match rest {
            None => None,
            Some(Protocol::P2p(peer)) => Some(peer),
            Some(_) => return Err(error(UNSUPPORTED)),
        };
        if parts.next().is_some() {
            return Err(error("nothing may follow /p2p: relayed connections are not supported"));
        }
        Ok(Self { host, port, transport, peer })
    }
}

const UNSUPPORTED: &str = "only /tcp/PORT and /tcp/PORT/ws are supported after the host";

/// Reads `/tcp/PORT[/ws]` and hands back what follows it.
fn stream<'a>(parts: &mut multiaddr::Iter<'a>) -> Result<(u16, Transport, Option<Protocol<'a>>), &'static str> {
    let Some(Protocol::Tcp(port)) = parts.next() else {
        return Err(UNSUPPORTED);
    };
    Ok(match parts.next() {
        Some(Protocol::Ws(path)) if path == "/" => (port, Transport::WebSocket, parts.next()),
        Some(Protocol::Ws(_)) => return Err("a WebSocket path other than / is not supported"),
        rest => (port, Transport::Tcp, rest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    fn listen(text: &str) -> Result<Listen, AddressError> {
        Listen::parse(&text.parse().expect("a multiaddr"))
    }

    fn dial(text: &str) -> Result<Dial, AddressError> {
        Dial::parse(&text.parse().expect("a multiaddr"))
    }

    #[test]
    fn tcp_and_websocket_are_listened_on() {
        let tcp = listen("/ip4/127.0.0.1/tcp/0").expect("supported");
        assert_eq!((tcp.socket.to_string().as_str(), tcp.transport), ("127.0.0.1:0", Transport::Tcp));
        let ws = listen("/ip6/::/tcp/4042/ws").expect("supported");
        assert_eq!((ws.socket.to_string().as_str(), ws.transport), ("[::]:4042", Transport::WebSocket));
        assert_eq!(ws.to_string(), "/ip6/::/tcp/4042/ws");
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused_with_a_reason() {
        for text in [
            "/dns4/example.org/tcp/1",
            "/ip4/1.2.3.4/udp/1/quic-v1",
            "/ip4/1.2.3.4/tcp/1/wss",
            "/ip4/1.2.3.4/tcp/1/tls/ws",
            "/ip4/1.2.3.4",
        ] {
            assert!(listen(text).is_err(), "{text}");
        }
        let error = listen(&format!("/ip4/1.2.3.4/tcp/1/p2p/{PEER}")).expect_err("has a peer id");
        assert!(error.to_string().contains("leave /p2p out"), "{error}");
    }

    #[test]
    fn names_and_peers_are_dialled() {
        let parsed = dial(&format!("/dns4/example.org/tcp/443/ws/p2p/{PEER}")).expect("supported");
        assert_eq!(parsed.host, Host::Dns4("example.org".into()));
        assert_eq!((parsed.port, parsed.transport), (443, Transport::WebSocket));
        assert_eq!(parsed.peer.expect("named").to_string(), PEER);
        assert_eq!(dial("/ip6/::1/tcp/9").expect("supported").peer, None);
    }

    #[test]
    fn relays_are_not_dialled() {
        assert!(dial(&format!("/ip4/1.2.3.4/tcp/1/p2p/{PEER}/p2p-circuit")).is_err());
        assert!(dial("/ip4/1.2.3.4/udp/1/quic-v1").is_err());
    }
}
