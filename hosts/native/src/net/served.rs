//! One peer that is served: what its session asks for is looked up, answered and counted. The catalog is asked first, and
//! then, where there is one, the store.

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hoverboard_peer::wire::PeerId;
use hoverboard_peer::{Answer, Counters, Event, Held, Lookup, Session};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::capped::Capped;
use super::denied::Denied;
use super::files::Files;
use super::link::{Ended, Link};
use super::stored::Stored;
use crate::catalog::Found;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// Most lookups handed to the catalog at a time.
const BATCH: usize = 256;

/// Most answers taken from the store before what there is of them is sent.
const ANSWERS: usize = 64;

/// Pieces received before other tasks of the thread get their turn.
const TURN: usize = 16;

/// A connection with a peer that is served.
pub(super) struct Served {
    link: Link,
    capped: Capped,
    denied: Denied,
    files: Files,
    stored: Option<Stored>,
    /// Where there is a store: lookups of blocks that the catalog may have, and that there was no room for yet.
    queue: VecDeque<Lookup>,
    held: Held,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    draining: bool,
    /// A cap is reached at which connections end.
    closing: bool,
    metrics: Arc<Metrics>,
    counted: Counted,
}

/// What of a session's work is in the metrics already.
#[derive(Default)]
struct Counted {
    session: Counters,
    received: u64,
    sent: u64,
}

impl Served {
    /// A connection that goes on until the peer or a fault ends it, or until `drain` is cancelled and what was begun is
    /// finished.
    pub(super) fn new(link: Link, ip: IpAddr, shared: &Shared, held: Held, drain: CancellationToken) -> Self {
        Self {
            link,
            capped: Capped::new(shared.caps.clone(), ip, shared.metrics.clone()),
            denied: Denied::new(shared.denylists.clone(), shared.metrics.clone()),
            files: Files::new(shared.catalog.clone()),
            stored: shared.store.clone().map(Stored::new),
            queue: VecDeque::new(),
            held,
            drain: Box::pin(drain.cancelled_owned()),
            draining: false,
            closing: false,
            metrics: shared.metrics.clone(),
            counted: Counted::default(),
        }
    }

    /// The peer, once it has proved who it is.
    pub(super) fn peer(&self) -> Option<PeerId> {
        self.link.session.peer()
    }

    /// Runs the connection until it ends.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        for _ in 0..TURN {
            match self.step(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(ended) => {
                    self.count();
                    return Poll::Ready(ended);
                }
            }
        }
        // There is more to do: after the others.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Closes the connection without losing what was sent last.
    pub(super) async fn close(self) {
        self.link.close().await;
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
        if let Poll::Ready(found) = self.files.poll(cx) {
            self.take(found);
            progress = true;
        }
        self.capped.poll_due(cx);
        progress |= self.poll_stored(cx)?;
        // All that there is room for, before more wants are read: a list of them would overflow.
        while self.start_batch()? {
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
        if !self.held.update(self.link.unsent() + self.files.coming(), self.link.unfinished()) {
            return Err(Ended::Unfinished);
        }
        if (self.draining || self.closing) && !self.files.is_reading() && self.link.is_drained() {
            return Err(if self.closing { Ended::Capped } else { Ended::Drained });
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
                self.capped.connected(peer);
                if let Some(stored) = &mut self.stored {
                    stored.connected(peer);
                }
            }
        }
    }

    /// Answers what may be looked up now in the catalog. All of it together has at most the bytes that may still wait
    /// for the peer, and one block.
    fn start_batch(&mut self) -> Result<bool, Ended> {
        let (allowance, unsent) = (self.held.allowance(), self.link.unsent());
        if self.files.is_reading() || (unsent > 0 && unsent >= allowance) || self.link.session.wants() == 0 {
            return Ok(false);
        }
        let Some(room) = self.capped.room() else { return self.turn_away() };
        let batch = BATCH.min(to_usize(room.requests.min(room.blocks)));
        let (session, queue, denied) = (&mut self.link.session, &mut self.queue, &mut self.denied);
        let lookups: Vec<Lookup> = match self.stored {
            None => {
                let next = || denied.next(session, |session| session.next_lookup(allowance));
                std::iter::from_fn(next).take(batch).collect()
            }
            Some(_) => {
                let queued = std::iter::from_fn(|| queue.pop_front());
                queued.filter(|lookup| session.is_open(lookup.ticket)).take(batch).collect()
            }
        };
        if lookups.is_empty() {
            return Ok(false);
        }
        let found = self.files.read(lookups, allowance.saturating_sub(unsent).min(to_usize(room.bytes)));
        self.take(found);
        Ok(true)
    }

    /// Answers what is wanted as it is answered at a cap. What waits for the disk was begun before, and is finished.
    fn turn_away(&mut self) -> Result<bool, Ended> {
        let session = &mut self.link.session;
        let open = self.stored.as_ref().map_or(0, Stored::open);
        if !self.queue.is_empty() || open > 0 {
            self.queue.clear();
            self.stored.iter_mut().for_each(Stored::forget_all);
            session.look_up_again();
        }
        let mut progress = self.capped.turn_away(session, self.held.allowance());
        if self.capped.closes() && !self.closing {
            self.closing = true;
            session.drain();
            session.go_away()?;
            progress = true;
        }
        Ok(progress)
    }

    /// Hands on what the catalog found. What it has no answer to, the store may have.
    fn take(&mut self, found: Vec<(Lookup, Found)>) {
        let mut left = false;
        for (lookup, found) in found {
            let answer = match (found, &mut self.stored) {
                (Found::Block(bytes), _) => Answer::Block(bytes),
                (Found::Have { size }, _) => Answer::Have { size },
                (Found::Missing, None) => Answer::Missing,
                (Found::Unknown, None) => Answer::Unknown,
                (found @ (Found::Missing | Found::Unknown), Some(stored)) => {
                    stored.push(lookup, found == Found::Unknown);
                    continue;
                }
                // Its ticket stays open, until everything that is open is looked up again.
                (Found::Later, None) => {
                    left = true;
                    continue;
                }
                (Found::Later, Some(_)) => {
                    self.queue.push_back(lookup);
                    continue;
                }
            };
            let answer = self.denied.checked(&self.link.session, &lookup, answer);
            self.capped.answered(&answer);
            self.link.session.answer(lookup.ticket, answer);
        }
        if left {
            self.link.session.look_up_again();
        }
    }

    /// Hands all that is wanted to the store, but for what the catalog may have, and takes the answers there is room
    /// for.
    fn poll_stored(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let Some(stored) = &mut self.stored else { return Ok(false) };
        self.capped.asked_store(stored.requests());
        let now = self.link.now();
        let session = &mut self.link.session;
        let mut progress = false;
        let may_look = if session.wants() > 0 {
            let Some(room) = self.capped.room() else { return self.turn_away() };
            to_usize(room.requests)
        } else {
            usize::MAX
        };
        if stored.is_ready() {
            stored.forget_cancelled(session);
            // A peer that withdraws what it wanted, and reads nothing, must not fill this.
            if self.queue.len() > session.wants() {
                self.queue.retain(|lookup| session.is_open(lookup.ticket));
            }
            while self.queue.len() + stored.open() < may_look
                && stored.has_room()
                && let Some(lookup) = self.denied.next(session, Session::look_ahead)
            {
                let unsure = self.files.is_unsure();
                match self.files.may_hold(&lookup) {
                    true => self.queue.push_back(lookup),
                    false => stored.push(lookup, unsure || self.files.is_unsure()),
                }
                progress = true;
            }
        }
        for _ in 0..ANSWERS {
            let mut room = session.room(self.held.allowance());
            if stored.open() > 0 && session.wants() > 0 {
                let Some(may_have) = self.capped.room() else {
                    // The rest is turned away at the next step.
                    progress = true;
                    break;
                };
                room = room.min(to_usize(may_have.bytes));
            }
            match stored.poll_next(cx, room, now, &self.metrics.store) {
                Poll::Ready(answer) => {
                    progress = true;
                    if let Some((lookup, answer)) = answer {
                        let answer = self.denied.checked(session, &lookup, answer);
                        self.capped.answered(&answer);
                        session.answer(lookup.ticket, answer);
                    }
                }
                Poll::Pending => break,
            }
        }
        Ok(progress)
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
        if let Some(stored) = &self.stored {
            stored.count(&self.metrics.store);
            self.capped.asked_store(stored.requests());
        }
        self.counted = Counted { session: now, received: self.link.received, sent: self.link.sent };
    }
}

/// What does not fit is more than there can be.
fn to_usize(amount: u64) -> usize {
    usize::try_from(amount).unwrap_or(usize::MAX)
}
