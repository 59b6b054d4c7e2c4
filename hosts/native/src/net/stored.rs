//! One peer's reads from a store. Lookups go in at any time; answers come out as the store gives them, planned over all
//! that is wanted. Nothing is looked up before the peer has proved who it is and its CARs are recalled.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_peer::wire::PeerId;
use hoverboard_peer::{Answer, Lookup, LookupKind, Session};
use hoverboard_store::CarCid;
use hoverboard_store::ledger::Account;
use hoverboard_store::reader::{Found, Reader, Step, Want};
use tokio::time::{Instant, Sleep};

use crate::metrics::StoreMetrics;
use crate::store::ServedStore;

/// What was read ahead of a peer that wants none of it, or takes nothing, is dropped after this time, and the ranges are
/// closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The reads of one peer.
pub(super) struct Stored {
    store: Arc<ServedStore>,
    account: Account,
    stage: Stage,
    /// What was asked of the reader, by the keys that it has for it, and whether it may be somewhere else.
    open: HashMap<u64, (Lookup, bool)>,
    next_key: u64,
    /// When what is held is let go, while nothing comes of it.
    let_go: Option<Pin<Box<Sleep>>>,
}

enum Stage {
    /// Who the peer is has not been proved.
    Stranger,
    /// What it was reading is being looked up.
    Recalling(PeerId, BoxFuture<'static, Vec<CarCid>>),
    Reading(PeerId, Box<Reader>),
}

impl Stored {
    pub(super) fn new(store: Arc<ServedStore>) -> Self {
        let account = store.account();
        Self { store, account, stage: Stage::Stranger, open: HashMap::new(), next_key: 0, let_go: None }
    }

    /// The peer proved who it is.
    pub(super) fn connected(&mut self, peer: PeerId) {
        let peers = self.store.peers.clone();
        self.stage = Stage::Recalling(peer, async move { peers.recall(peer).await }.boxed());
    }

    /// Whether lookups are taken. To be asked again when [`poll_next`](Self::poll_next) has made progress.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Reading(..))
    }

    /// Whether further lookups should be pushed now. If not, it is to be asked again after the next answer.
    pub(super) fn has_room(&mut self) -> bool {
        if let Stage::Reading(_, reader) = &mut self.stage { !reader.is_full() } else { false }
    }

    /// Takes a lookup. It is passed over unless [`is_ready`](Self::is_ready). `elsewhere`: the block may be in a place that
    /// is not the store's, and is not missing if the store does not have it.
    pub(super) fn push(&mut self, lookup: Lookup, elsewhere: bool) {
        let Stage::Reading(_, reader) = &mut self.stage else { return };
        let want = match lookup.kind {
            LookupKind::Block => Want::Block,
            LookupKind::Have => Want::Have { inline_limit: lookup.inline_limit },
        };
        reader.push(self.next_key, lookup.cid, want);
        self.open.insert(self.next_key, (lookup, elsewhere));
        self.next_key += 1;
    }

    /// Forgets lookups that the session waits for no longer.
    pub(super) fn forget_cancelled(&mut self, session: &Session) {
        // Every open lookup belongs to a want, so that as many or more wants mean that most likely none was cancelled.
        if let Stage::Reading(_, reader) = &mut self.stage
            && session.wants() < self.open.len()
        {
            self.open.retain(|_, (lookup, _)| session.is_open(lookup.ticket));
            reader.retain(|key| self.open.contains_key(&key));
        }
    }

    /// Forgets all lookups.
    pub(super) fn forget_all(&mut self) {
        self.open.clear();
        if let Stage::Reading(_, reader) = &mut self.stage {
            reader.retain(|_| false);
        }
    }

    /// How many lookups have no answer yet.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// The requests that were sent for the peer so far: reads, and listings.
    pub(super) fn requests(&self) -> (u64, u64) {
        let [reads, lists, ..] = self.account.requests();
        (reads, lists)
    }

    /// Goes on, and gives the next answer if there is one: `Ready(None)` is progress without one. `room` is for how many
    /// bytes of blocks there is room, `now` the time by the clock that all connections share.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        now: Duration,
        metrics: &StoreMetrics,
    ) -> Poll<Option<(Lookup, Answer)>> {
        match &mut self.stage {
            Stage::Stranger => Poll::Pending,
            Stage::Recalling(peer, recall) => {
                let (peer, cars) = (*peer, ready!(recall.poll_unpin(cx)));
                let reader = Reader::new(self.store.library.clone(), self.account.clone(), cars);
                self.stage = Stage::Reading(peer, Box::new(reader));
                Poll::Ready(None)
            }
            Stage::Reading(peer, reader) => {
                self.store.library.set_now(now);
                let step = reader.poll_next(cx, room);
                if reader.cars_changed() {
                    self.store.peers.remember(*peer, reader.cars());
                }
                match step {
                    Poll::Ready(Step::Answer(key, found)) => {
                        self.let_go = None;
                        Poll::Ready(self.answer(key, found, metrics))
                    }
                    Poll::Pending if room > 0 => {
                        self.let_go = None;
                        Poll::Pending
                    }
                    // Nobody came for what is held, or there is no room for it.
                    _ => self.poll_let_go(cx),
                }
            }
        }
    }

    /// Brings the metrics of the store up to date.
    pub(super) fn count(&self, metrics: &StoreMetrics) {
        self.store.count(metrics);
    }

    fn answer(&mut self, key: u64, found: Found, metrics: &StoreMetrics) -> Option<(Lookup, Answer)> {
        let (lookup, elsewhere) = self.open.remove(&key)?;
        metrics.lookups.inc();
        let answer = match found {
            Found::Block(bytes) => Answer::Block(bytes),
            Found::Have { size } => Answer::Have { size },
            Found::Missing if !elsewhere => Answer::Missing,
            // Without an index of every block, what is not found from a root may still be there.
            Found::Missing | Found::Unlisted | Found::Unknown => {
                metrics.unknown.inc();
                Answer::Unknown
            }
        };
        Some((lookup, answer))
    }

    fn poll_let_go<T>(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Stage::Reading(_, reader) = &mut self.stage else { return Poll::Pending };
        if !reader.is_holding() {
            self.let_go = None;
            return Poll::Pending;
        }
        let timer = self.let_go.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + PATIENCE)));
        if timer.as_mut().poll(cx).is_ready() {
            self.let_go = None;
            reader.let_go();
        }
        Poll::Pending
    }
}
