//! Small CARs, read with one request and held whole for all peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Failure, Library};
use crate::CarCid;
use crate::ledger::Account;

/// A CAR in memory.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _room: Room,
}

/// Bytes of whole CARs that are in memory or about to be, whoever holds them: a cache alone would not count those
/// that it dropped while they were being given out.
pub(super) struct Alive {
    bytes: AtomicUsize,
    limit: usize,
}

struct Room {
    alive: Arc<Alive>,
    bytes: usize,
}

impl Alive {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), limit })
    }

    fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Room> {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Room { alive: Arc::clone(self), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.alive.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Library {
    /// A CAR as a whole, which is at most [`Config::whole_car`](super::Config::whole_car) long.
    ///
    /// # Errors
    ///
    /// Among others: there is no room for it beside those that are being given out, or it is too long.
    pub(crate) fn whole(
        self: &Arc<Self>,
        car: CarCid,
        account: &Account,
    ) -> BoxFuture<'static, Result<Arc<Whole>, Failure>> {
        if let Some(whole) = self.cached_whole(&car) {
            return futures_util::future::ready(Ok(whole)).boxed();
        }
        let (library, account) = (Arc::clone(self), account.clone());
        let load = self.wholes.join(car, || {
            async move {
                let whole = Arc::new(library.read_whole(car, &account).await?);
                let mut shelves = library.shelves.lock();
                let until = shelves.now.saturating_add(library.config.listing_life);
                shelves.wholes.insert(car, (until, Arc::clone(&whole)), whole.bytes.len());
                Ok(whole)
            }
            .boxed()
        });
        load.boxed()
    }

    /// A CAR that is in memory, and was read not long ago: it may be gone from the bucket by now.
    pub(crate) fn cached_whole(&self, car: &CarCid) -> Option<Arc<Whole>> {
        let mut shelves = self.shelves.lock();
        let now = shelves.now;
        let (until, whole) = shelves.wholes.find(car)?;
        if now < *until {
            return Some(Arc::clone(whole));
        }
        shelves.wholes.remove(car);
        None
    }

    async fn read_whole(&self, car: CarCid, account: &Account) -> Result<Whole, Failure> {
        let mut opened = self.open_car(car, 0..self.config.whole_car, account).await?;
        let size = usize::try_from(opened.size).map_err(|_| Failure::NoRoom)?;
        if opened.size > self.config.whole_car {
            return Err(Failure::NoRoom);
        }
        let room = loop {
            match self.alive.reserve(size) {
                Some(room) => break room,
                None if self.shelves.lock().wholes.remove_oldest() => {}
                None => return Err(Failure::NoRoom),
            }
        };
        let mut bytes = Vec::with_capacity(size);
        opened.body.read(&mut bytes, size).await?;
        if bytes.len() != size {
            return Err(Failure::failed("the answer is another range than was asked for"));
        }
        Ok(Whole { bytes: bytes.into(), _room: room })
    }
}
