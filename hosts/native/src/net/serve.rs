//! Accepting peers and answering them: each connection is one task that reads, writes, and looks blocks up. What the
//! page cache does not have is read on other threads, at most one batch a connection at a time, so that peers take
//! turns there.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hoverboard_peer::{Answer, Counters, Event, Lookup, LookupKind, Session, Ticket};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::accept_async_with_config;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use super::bounds::{Bounds, Held};
use super::link::{Ended, Link};
use super::pipe::{Pipe, io_error};
use super::{Clock, random, session_config};
use crate::address::{Listen, Transport};
use crate::catalog::{Catalog, Found, Query, Want};
use crate::listen::Bound;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// How long a WebSocket's handshake may take.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before accepting again when the system has no room for another socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Most lookups handed to the catalog at a time.
const BATCH: usize = 256;

/// Pieces received before other tasks of the thread get their turn.
const TURN: usize = 16;

struct Server {
    shared: Arc<Shared>,
    sessions: Arc<hoverboard_peer::Config>,
    bounds: Arc<Bounds>,
    clock: Clock,
    drain: CancellationToken,
}

/// Serves until `drain` is cancelled and every session has finished what it had begun.
pub async fn serve(shared: Arc<Shared>, listeners: Vec<Bound>, drain: CancellationToken) {
    let sessions = match session_config(&shared.identity, shared.addresses.clone(), true) {
        Ok(config) => Arc::new(config),
        Err(error) => return tracing::error!(%error, "the identity key cannot be used"),
    };
    let places = Arc::new(Semaphore::new(shared.config.max_connections));
    let (bounds, clock) = (Arc::default(), Clock(Instant::now()));
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
    let ended = match open(&server, socket, addr, transport).await {
        Ok(mut peer) => {
            let ended = std::future::poll_fn(|cx| peer.poll(cx)).await;
            peer.count();
            if peer.link.session.peer().is_none() {
                metrics.handshakes_failed.inc();
            }
            log(&ended, addr, peer.link.session.peer());
            ended
        }
        Err(error) => {
            metrics.handshakes_failed.inc();
            let ended = Ended::Io(error);
            log(&ended, addr, None);
            ended
        }
    };
    metrics.closed.with_label_values(&[ended.reason()]).inc();
    metrics.open.dec();
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

async fn open(server: &Server, socket: TcpStream, addr: SocketAddr, transport: Transport) -> io::Result<Peer> {
    socket.set_nodelay(true)?;
    let pipe = match transport {
        Transport::Tcp => Pipe::Tcp(socket),
        Transport::WebSocket => {
            let upgrade = accept_async_with_config(socket, Some(Pipe::websocket_config()));
            let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, "the WebSocket handshake took too long");
            let socket = tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await.map_err(timed_out)?;
            Pipe::WebSocket(Box::new(socket.map_err(io_error)?))
        }
    };
    let remote = Listen::multiaddr(addr, transport);
    let session = Session::accept(server.sessions.clone(), Some(remote), random(), server.clock.now())
        .map_err(io::Error::other)?;
    Ok(Peer {
        link: Link::new(pipe, session, server.clock),
        batch: None,
        held: Held::new(server.bounds.clone()),
        drain: Box::pin(server.drain.clone().cancelled_owned()),
        draining: false,
        catalog: server.shared.catalog.clone(),
        metrics: server.shared.metrics.clone(),
        counted: Counted::default(),
    })
}

/// One peer that is served.
struct Peer {
    link: Link,
    batch: Option<Batch>,
    held: Held,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    draining: bool,
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
    counted: Counted,
}

/// Lookups that wait for the disk.
struct Batch {
    tickets: Vec<Ticket>,
    found: JoinHandle<Vec<Found>>,
}

/// What of a session's work is in the metrics already.
#[derive(Default)]
struct Counted {
    session: Counters,
    received: u64,
    sent: u64,
}

impl Peer {
    /// Runs the connection until it ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        for _ in 0..TURN {
            match self.step(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(ended) => return Poll::Ready(ended),
            }
        }
        // There is more to do: after the others.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what can be done now; `false` when there is nothing to do until something happens.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let mut progress = false;
        if !self.draining && self.drain.as_mut().poll(cx).is_ready() {
            self.draining = true;
            self.link.session.drain();
            progress = true;
        }
        if let Poll::Ready(received) = self.link.poll_receive(cx) {
            received?;
            self.react();
            progress = true;
        }
        progress |= self.poll_batch(cx);
        // All that there is room for, before more wants are read: a list of them would overflow.
        while self.start_batch() {
            progress = true;
        }
        if let Poll::Ready(sent) = self.link.poll_send(cx) {
            sent?;
            progress = true;
        }
        if let Poll::Ready(kept) = self.link.poll_deadline(cx) {
            kept?;
            progress = true;
        }
        let unsent = self.link.session.unsent() + self.link.outgoing();
        if !self.held.update(unsent, self.link.session.unfinished()) {
            return Err(Ended::Unfinished);
        }
        if self.draining && self.batch.is_none() && self.link.session.is_drained() && self.link.outgoing() == 0 {
            return Err(Ended::Drained);
        }
        if !progress {
            self.count();
        }
        Ok(progress)
    }

    fn react(&mut self) {
        while let Some(event) = self.link.session.next_event() {
            if let Event::Connected(peer) = event {
                tracing::debug!(%peer, "connected");
            }
        }
    }

    /// Takes the answers of the batch that waits for the disk.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(batch) = &mut self.batch else { return false };
        let Poll::Ready(found) = Pin::new(&mut batch.found).poll(cx) else { return false };
        let tickets = std::mem::take(&mut batch.tickets);
        self.batch = None;
        // A reader that died has answered nothing, and nothing is known.
        let found = found.unwrap_or_default().into_iter().chain(std::iter::repeat(Found::Unknown));
        let mut left = false;
        for (ticket, found) in tickets.into_iter().zip(found) {
            left |= found == Found::Later;
            self.answer(ticket, found);
        }
        if left {
            self.link.session.look_up_again();
        }
        true
    }

    /// Answers what may be looked up now from the page cache; what is not there waits for the disk, on a thread that
    /// may block.
    fn start_batch(&mut self) -> bool {
        if self.batch.is_some() {
            return false;
        }
        let allowance = self.held.allowance();
        let session = &mut self.link.session;
        let lookups = std::iter::from_fn(|| session.next_lookup(allowance)).take(BATCH);
        let (tickets, queries): (Vec<Ticket>, Vec<Query>) = lookups.map(|l| (l.ticket, query(&l))).unzip();
        if tickets.is_empty() {
            return false;
        }
        let (mut later, mut wait_for) = (Vec::new(), Vec::new());
        let found = self.catalog.read_cached(allowance, &queries);
        for ((ticket, query), found) in tickets.into_iter().zip(queries).zip(found) {
            if found == Found::Later {
                later.push(ticket);
                wait_for.push(query);
            } else {
                self.answer(ticket, found);
            }
        }
        if !later.is_empty() {
            let catalog = self.catalog.clone();
            let found = tokio::task::spawn_blocking(move || catalog.read_some(allowance, &wait_for));
            self.batch = Some(Batch { tickets: later, found });
        }
        true
    }

    fn answer(&mut self, ticket: Ticket, found: Found) {
        let answer = match found {
            Found::Block(bytes) => Answer::Block(bytes),
            Found::Have { size } => Answer::Have { size },
            Found::Missing => Answer::Missing,
            Found::Unknown => Answer::Unknown,
            // Its ticket stays open, until everything that is open is looked up again.
            Found::Later => return,
        };
        self.link.session.answer(ticket, answer);
    }

    /// Brings the metrics up to date.
    fn count(&mut self) {
        let (now, before) = (self.link.session.counters(), self.counted.session);
        let bitswap = &self.metrics.bitswap;
        bitswap.wants.inc_by(now.wants - before.wants);
        bitswap.blocks_sent.inc_by(now.blocks - before.blocks);
        bitswap.block_bytes_sent.inc_by(now.block_bytes - before.block_bytes);
        bitswap.haves_sent.inc_by(now.haves - before.haves);
        bitswap.dont_haves_sent.inc_by(now.dont_haves - before.dont_haves);
        let connections = &self.metrics.connections;
        connections.received_bytes.inc_by(self.link.received - self.counted.received);
        connections.sent_bytes.inc_by(self.link.sent - self.counted.sent);
        self.counted = Counted { session: now, received: self.link.received, sent: self.link.sent };
    }
}

fn query(lookup: &Lookup) -> Query {
    let want = match lookup.kind {
        LookupKind::Block => Want::Block,
        LookupKind::Have => Want::Have { inline_limit: lookup.inline_limit },
    };
    Query { multihash: *lookup.cid.hash(), want }
}
