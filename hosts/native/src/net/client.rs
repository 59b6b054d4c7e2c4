//! Dialling a peer and asking it: what `get` and `check` do.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hoverboard_peer::{Event, Session};
use libp2p_identity::{Keypair, PeerId};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::client_async_with_config;

use super::link::{Ended, Link};
use super::metered::Metered;
use super::pipe::{Pipe, io_error};
use super::{Clock, random, session_config};
use crate::address::{Dial, Host, Listen, Transport};

/// Why a peer could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address of the kind asked for.
    #[error("{name} cannot be resolved: {error}")]
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// No connection, or no WebSocket on it.
    #[error("cannot connect to {addr}: {error}")]
    Connect {
        /// The address that was tried last.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The connection ended before the peer had proved who it is.
    #[error("the handshake failed: {0}")]
    Handshake(#[from] Ended),
    /// The identity cannot be used.
    #[error("the identity key cannot be used: {0}")]
    Identity(#[from] hoverboard_peer::wire::identity::KeyError),
}

/// A connection to a peer that is asked, and not served.
pub struct Client {
    link: Link,
    peer: PeerId,
}

impl Client {
    /// Connects under an identity made for the occasion.
    pub async fn connect(addr: &Dial) -> Result<Self, DialError> {
        let (socket, remote) = connect(addr).await?;
        let failed = |error| DialError::Connect { addr: remote, error };
        socket.set_nodelay(true).map_err(failed)?;
        let pipe = match addr.transport {
            Transport::Tcp => Pipe::Tcp(socket),
            Transport::WebSocket => {
                let url = format!("ws://{}/", authority(&addr.host, addr.port));
                let upgrade = client_async_with_config(url, Metered::new(socket), Some(Pipe::websocket_config()));
                Pipe::websocket(upgrade.await.map_err(|error| failed(io_error(error)))?.0)
            }
        };
        let config = Arc::new(session_config(&Keypair::generate_ed25519(), Vec::new(), false, |_| {})?);
        let clock = Clock(Instant::now());
        let remote = Listen::multiaddr(remote, addr.transport);
        let session = Session::dial(config, addr.peer, Some(remote), random(), clock.now()).map_err(Ended::from)?;
        let mut link = Link::new(pipe, session, clock);
        match std::future::poll_fn(|cx| poll_event(&mut link, cx)).await? {
            Event::Connected(peer) => Ok(Self { link, peer }),
            _ => Err(Ended::ByPeer.into()),
        }
    }

    /// Who answered.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The session, to want blocks and ask questions of.
    pub fn session(&mut self) -> &mut Session {
        &mut self.link.session
    }

    /// The time by the session's clock.
    pub fn now(&self) -> Duration {
        self.link.now()
    }

    /// Measures the round trip to the peer: an [`Event::Pong`] follows.
    pub fn ping(&mut self) {
        let now = self.link.now();
        self.link.session.ping(random(), now);
    }

    /// Lets what the peer may send at a time grow to the length of the path.
    pub fn grow_windows(&mut self) -> Result<(), Ended> {
        let now = self.link.now();
        Ok(self.link.session.probe(now)?)
    }

    /// What happens next. Dropping the future loses nothing.
    pub async fn next_event(&mut self) -> Result<Event, Ended> {
        std::future::poll_fn(|cx| poll_event(&mut self.link, cx)).await
    }
}

fn poll_event(link: &mut Link, cx: &mut Context<'_>) -> Poll<Result<Event, Ended>> {
    loop {
        if let Some(event) = link.session.next_event() {
            return Poll::Ready(Ok(event));
        }
        let mut progress = false;
        if let Poll::Ready(sent) = link.poll_send(cx) {
            sent?;
            progress = true;
        }
        if let Poll::Ready(received) = link.poll_receive(cx) {
            received?;
            progress = true;
        }
        if let Poll::Ready(kept) = link.poll_deadline(cx) {
            kept?;
            progress = true;
        }
        if !progress {
            return Poll::Pending;
        }
    }
}

async fn connect(addr: &Dial) -> Result<(TcpStream, SocketAddr), DialError> {
    let mut last = None;
    for remote in resolve(addr).await? {
        match TcpStream::connect(remote).await {
            Ok(socket) => return Ok((socket, remote)),
            Err(error) => last = Some(DialError::Connect { addr: remote, error }),
        }
    }
    let nothing =
        || DialError::Resolve { name: authority(&addr.host, addr.port), error: io::ErrorKind::NotFound.into() };
    Err(last.unwrap_or_else(nothing))
}

async fn resolve(addr: &Dial) -> Result<Vec<SocketAddr>, DialError> {
    let (name, wanted): (&str, fn(&IpAddr) -> bool) = match &addr.host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, addr.port)]),
        Host::Dns(name) => (name, |_| true),
        Host::Dns4(name) => (name, IpAddr::is_ipv4),
        Host::Dns6(name) => (name, IpAddr::is_ipv6),
    };
    match tokio::net::lookup_host((name, addr.port)).await {
        Ok(found) => Ok(found.filter(|addr| wanted(&addr.ip())).collect()),
        Err(error) => Err(DialError::Resolve { name: name.to_owned(), error }),
    }
}

/// Host and port as a URL has them.
fn authority(host: &Host, port: u16) -> String {
    match host {
        Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Host::Ip(ip) => format!("{ip}:{port}"),
        Host::Dns(name) | Host::Dns4(name) | Host::Dns6(name) => format!("{name}:{port}"),
    }
}
