//! Indexes and pages of indexes: from memory, from a read that is under way, or from a new one.
//!
//! Each can be asked for so that it is *sure*: read twice with the same outcome, unless its ETag says as much. A block
//! is missing only by what is sure.

use std::sync::Arc;

use futures_util::FutureExt;

use super::{Failure, LOOK_AGAIN, Library, Room};
use crate::CarCid;
use crate::ledger::Account;
use crate::satnav::{self, Mark, Page, PageKey, Satnav};

impl Library {
    /// The index of a CAR, if it is in memory.
    pub(crate) fn cached_index(&self, car: &CarCid) -> Option<Arc<Satnav>> {
        self.shelves.lock().indexes.find(car).cloned()
    }

    fn why_broken(&self, car: &CarCid) -> Option<Failure> {
        let mut shelves = self.shelves.lock();
        let now = shelves.now;
        let (until, failure) = shelves.broken.find(car)?;
        (now < *until).then(|| failure.clone())
    }

    /// The index of a CAR.
    ///
    /// # Errors
    ///
    /// It is gone, cannot be read, or is no index; each but the first after some tries.
    pub(crate) async fn index(
        self: &Arc<Self>,
        car: CarCid,
        sure: bool,
        account: &Account,
    ) -> Result<Arc<Satnav>, Failure> {
        let cached = self.cached_index(&car);
        if let Some(index) = cached.as_ref().filter(|index| !sure || index.is_sure()) {
            return Ok(Arc::clone(index));
        }
        if let Some(failure) = self.why_broken(&car) {
            return Err(failure);
        }
        let (library, account) = (Arc::clone(self), account.clone());
        let load = self.indexes.join((car, sure), || {
            async move {
                let before = cached.filter(|_| sure).map(|index| index.mark());
                let index = library.read_index(car, before, sure, &account).await;
                let mut shelves = library.shelves.lock();
                match &index {
                    Ok(index) => shelves.indexes.insert(car, Arc::clone(index), index.cost()),
                    Err(failure @ Failure::Wrong(_)) => {
                        let until = shelves.now.saturating_add(library.config.listing_life);
                        shelves.broken.insert(car, (until, failure.clone()), 1);
                    }
                    Err(_) => {}
                }
                index
            }
            .boxed()
        });
        load.await
    }

    /// Reads an index until it is as sure as it is to be. Of what was read before only a mark is kept: who waits for room
    /// must not hold any.
    async fn read_index(
        self: &Arc<Self>,
        car: CarCid,
        mut before: Option<Mark>,
        sure: bool,
        account: &Account,
    ) -> Result<Arc<Satnav>, Failure> {
        for _ in 0..=self.config.retry.tries {
            let index = Satnav::load(self, car, account).await?;
            if !sure || index.is_sure() {
                return Ok(Arc::new(index));
            }
            let mark = index.mark();
            if before.is_some_and(|before| before == mark) {
                index.make_sure();
                return Ok(Arc::new(index));
            }
            before = Some(mark);
        }
        Err(Failure::failed("it is another one each time it is read"))
    }

    /// A page of a large index.
    pub(crate) async fn page(
        self: &Arc<Self>,
        key: PageKey,
        e_tag: Option<String>,
        sure: bool,
        account: &Account,
    ) -> Result<Arc<Page>, Failure> {
        let cached = self.shelves.lock().pages.find(&key).cloned();
        if let Some((page, is_sure)) = &cached
            && (!sure || *is_sure)
        {
            return Ok(Arc::clone(page));
        }
        let before = cached.filter(|_| sure).map(|(page, _)| satnav::digest(&page));
        let (library, account) = (Arc::clone(self), account.clone());
        let load = self.pages.join((key.clone(), sure), || {
            async move {
                let mut before = before;
                for _ in 0..=library.config.retry.tries {
                    let room = library.room_for_page(key.len()).await?;
                    let page = key.load(&library, e_tag.clone(), &account).await;
                    // Its other pages are of an object that is no longer there.
                    if matches!(page, Err(Failure::Replaced)) {
                        library.forget(&key.car());
                    }
                    let page = Page::new(page?, room);
                    let digest = sure.then(|| satnav::digest(&page));
                    let same = digest.is_some() && before == digest;
                    if same || !sure {
                        let (page, cost) = (Arc::new(page), key.len());
                        library.shelves.lock().pages.insert(key, (Arc::clone(&page), same), cost);
                        return Ok(page);
                    }
                    before = digest;
                }
                Err(Failure::failed("it is another one each time it is read"))
            }
            .boxed()
        });
        load.await
    }

    /// Lets an index that is in memory take more than it did, or less.
    pub(crate) fn reprice_index(&self, car: &CarCid, cost: usize) -> bool {
        self.shelves.lock().indexes.reprice(car, cost)
    }

    /// Makes room for so many bytes of an index, if that can be done at once: those that nobody uses give way.
    pub(crate) fn resize_for_index(&self, room: &mut Room, size: usize) -> bool {
        while !room.resize_or_alone(size) {
            if !self.shelves.lock().indexes.remove_oldest() {
                return false;
            }
        }
        true
    }

    /// No room yet.
    pub(crate) fn room_for_index(&self) -> Room {
        self.pools.indexes.room()
    }

    /// Waits for room for so many bytes of an index. Whoever waits must not hold any.
    pub(crate) async fn wait_for_index(&self, size: usize) -> Result<Room, Failure> {
        let mut room = self.room_for_index();
        self.until(|| self.resize_for_index(&mut room, size)).await?;
        Ok(room)
    }

    async fn room_for_page(&self, size: usize) -> Result<Room, Failure> {
        let mut room = self.pools.pages.room();
        self.until(|| {
            while !room.resize_or_alone(size) {
                if !self.shelves.lock().pages.remove_oldest() {
                    return false;
                }
            }
            true
        })
        .await?;
        Ok(room)
    }

    /// Waits until others have let go of enough; not for ever, because they may be stalled themselves.
    async fn until(&self, mut there_is_room: impl FnMut() -> bool) -> Result<(), Failure> {
        let patience = self.config.retry.stalled * 2;
        let looks = patience.as_millis() / LOOK_AGAIN.as_millis();
        for _ in 0..=looks {
            if there_is_room() {
                return Ok(());
            }
            self.config.timer.sleep(LOOK_AGAIN).await;
        }
        Err(Failure::NoRoom)
    }

    /// A large index contradicts itself: its pages are read anew, but for those that are sure.
    pub(crate) fn forget_pages(&self, car: &CarCid) {
        self.shelves.lock().pages.retain(|key, (_, sure)| *sure || key.car() != *car);
    }
}
