//! Small CARs, read with one request and held whole for all peers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Failure, Library, Room};
use crate::CarCid;
use crate::ledger::Account;

/// A CAR in memory.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _room: Room,
}

impl Library {
    /// A CAR as a whole, which is at most [`Config::whole_car`](super::Config::whole_car) long, and about `length`. It is
    /// asked for only once there is room for that.
    ///
    /// # Errors
    ///
    /// Among others: there is no room for it beside those that are being given out, or it is too long.
    pub(crate) fn whole(
        self: &Arc<Self>,
        car: CarCid,
        length: u64,
        account: &Account,
    ) -> BoxFuture<'static, Result<Arc<Whole>, Failure>> {
        if let Some(whole) = self.cached_whole(&car) {
            return futures_util::future::ready(Ok(whole)).boxed();
        }
        let (library, account) = (Arc::clone(self), account.clone());
        let load = self.wholes.join(car, || {
            async move {
                let whole = Arc::new(library.read_whole(car, length, &account).await?);
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

    async fn read_whole(&self, car: CarCid, length: u64, account: &Account) -> Result<Whole, Failure> {
        let mut room = self.pools.cars.room();
        self.make_room(&mut room, length)?;
        let mut opened = self.open_car(car, 0..self.config.whole_car, account).await?;
        if opened.size > self.config.whole_car {
            return Err(Failure::NoRoom);
        }
        let size = self.make_room(&mut room, opened.size)?;
        let mut bytes = Vec::with_capacity(size);
        opened.body.read(&mut bytes, size).await?;
        if bytes.len() != size {
            return Err(Failure::failed("the answer is another range than was asked for"));
        }
        Ok(Whole { bytes: bytes.into(), _room: room })
    }

    /// Makes room for so many bytes: what is only in the cache gives way.
    fn make_room(&self, room: &mut Room, bytes: u64) -> Result<usize, Failure> {
        let bytes = usize::try_from(bytes).map_err(|_| Failure::NoRoom)?;
        while !room.resize(bytes) {
            if !self.shelves.lock().wholes.remove_oldest() {
                return Err(Failure::NoRoom);
            }
        }
        Ok(bytes)
    }
}
