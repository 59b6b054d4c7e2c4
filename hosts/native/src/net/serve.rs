//! Accepting peers: each connection is one task, from its first byte to the log line that says how it ended. How a peer
//! is answered is in [`super::served`].

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hoverboard_peer::{Bounds, Held, Session, wire};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_tungstenite::accept_async_with_config;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link::{Ended, Link};
use super::metered::Metered;
use super::pipe::{Pipe, io_error};
use super::served::Served;
use super::{Clock, random, session_config};
use crate::address::{Listen, Transport};
use crate::listen::Bound;
use crate::shared::Shared;

/// Bytes that may be unsent to all peers together before each is held to its least.
const MAX_UNSENT: usize = 256 * 1024 * 1024;

/// Bytes of unfinished messages of all peers together, Bitswap's and WebSockets'.
const MAX_UNFINISHED: usize = 256 * 1024 * 1024;

/// How long a WebSocket's handshake may take.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before accepting again when the system has no room for another socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

struct Server {
    shared: Arc<Shared>,
    sessions: Arc<hoverboard_peer::Config>,
    bounds: Arc<Bounds>,
    clock: Clock,
    drain: CancellationToken,
}

/// Serves until `drain` is cancelled and every session has finished what it had begun.
pub async fn serve(shared: Arc<Shared>, listeners: Vec<Bound>, drain: CancellationToken) {
    serve_with(shared, listeners, drain, |_| {}).await;
}

/// The same, with settings of the connections other than the default ones.
pub async fn serve_with(
    shared: Arc<Shared>,
    listeners: Vec<Bound>,
    drain: CancellationToken,
    tune: impl FnOnce(&mut wire::Config),
) {
    let sessions = match session_config(&shared.identity, shared.addresses.clone(), true, tune) {
        Ok(config) => Arc::new(config),
        Err(error) => return tracing::error!(%error, "the identity key cannot be used"),
    };
    let places = Arc::new(Semaphore::new(shared.config.max_connections));
    let bounds = Arc::new(Bounds::new(MAX_UNSENT, MAX_UNFINISHED));
    let clock = Clock(Instant::now());
    let server = Arc::new(Server { shared, sessions, bounds, clock, drain });
    let tasks = TaskTracker::new();
    for bound in listeners {
        tasks.spawn(accept(server.clone(), bound, places.clone(), tasks.clone()));
    }
    tasks.close();
    tasks.wait().await;
}

async fn accept(server: Arc<Server>, bound: Bound, places: Arc<Semaphore>, tasks: TaskTracker) {
    let mut drained = pin!(server.drain.cancelled());
    loop {
        let accepted = tokio::select! {
            () = &mut drained => return,
            accepted = bound.listener.accept() => accepted,
        };
        let metrics = &server.shared.metrics.connections;
        match accepted {
            Ok((socket, addr)) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    metrics.accepted.inc();
                    tasks.spawn(connection(server.clone(), socket, addr, bound.transport, place));
                }
                Err(_) => {
                    metrics.refused.inc();
                    tracing::debug!(%addr, "refused: as many peers as allowed are connected");
                }
            },
            Err(error) => {
                // Either the peer is gone already, or descriptors have run out, which takes a moment.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    server: Arc<Server>,
    socket: TcpStream,
    addr: SocketAddr,
    transport: Transport,
    _place: OwnedSemaphorePermit,
) {
    let metrics = &server.shared.metrics.connections;
    metrics.open.inc();
    // Counted before the socket is closed: who sees that finds it in the metrics.
    let count = |ended: &Ended, peer: Option<_>| {
        if peer.is_none() {
            metrics.handshakes_failed.inc();
        }
        metrics.closed.with_label_values(&[ended.reason()]).inc();
        metrics.open.dec();
        log(ended, addr, peer);
    };
    match open(&server, socket, addr, transport).await {
        Ok(mut peer) => {
            let ended = std::future::poll_fn(|cx| peer.poll(cx)).await;
            count(&ended, peer.peer());
            if matches!(ended, Ended::Drained | Ended::Capped) {
                peer.close().await;
            }
        }
        Err(error) => count(&Ended::Io(error), None),
    }
}

/// Once a connection: who went, and why.
fn log(ended: &Ended, addr: SocketAddr, peer: Option<libp2p_identity::PeerId>) {
    let peer = peer.map(tracing::field::display);
    if ended.is_fault() {
        tracing::warn!(%addr, peer, reason = %ended, "peer dropped");
    } else {
        tracing::debug!(%addr, peer, reason = %ended, "connection closed");
    }
}

async fn open(server: &Server, socket: TcpStream, addr: SocketAddr, transport: Transport) -> io::Result<Served> {
    socket.set_nodelay(true)?;
    let pipe = match transport {
        Transport::Tcp => Pipe::Tcp(socket),
        Transport::WebSocket => {
            let upgrade = accept_async_with_config(Metered::new(socket), Some(Pipe::websocket_config()));
            let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, "the WebSocket handshake took too long");
            let socket = tokio::select! {
                socket = tokio::time::timeout(UPGRADE_TIMEOUT, upgrade) => socket.map_err(timed_out)?,
                // Nothing was begun.
                () = server.drain.cancelled() => return Err(io::ErrorKind::Interrupted.into()),
            };
            Pipe::websocket(socket.map_err(io_error)?)
        }
    };
    let remote = Listen::multiaddr(addr, transport);
    let session = Session::accept(server.sessions.clone(), Some(remote), random(), server.clock.now())
        .map_err(io::Error::other)?;
    let link = Link::new(pipe, session, server.clock);
    Ok(Served::new(link, addr.ip(), &server.shared, Held::new(server.bounds.clone()), server.drain.clone()))
}
