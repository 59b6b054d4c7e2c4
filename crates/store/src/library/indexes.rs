//! Indexes and pages of indexes: from memory, from a read that is under way, or from a new one.
//!
//! Each can be asked for so that it is *sure*: read twice with the same outcome, unless its ETag says as much. A block
//! is missing only by what is sure.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

use super::{Failure, Library};
use crate::CarCid;
use crate::ledger::Account;
use crate::satnav::{PageKey, Satnav};

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
                let index = library.read_index(car, cached.filter(|_| sure), sure, &account).await;
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

    /// Reads an index until it is as sure as it is to be.
    async fn read_index(
        self: &Arc<Self>,
        car: CarCid,
        mut before: Option<Arc<Satnav>>,
        sure: bool,
        account: &Account,
    ) -> Result<Arc<Satnav>, Failure> {
        for _ in 0..=self.config.retry.tries {
            let index = Arc::new(Satnav::load(self, car, account).await?);
            if before.is_some_and(|before| before.same(&index)) {
                index.make_sure();
            }
            if !sure || index.is_sure() {
                return Ok(index);
            }
            before = Some(index);
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
    ) -> Result<Bytes, Failure> {
        let cached = self.shelves.lock().pages.find(&key).cloned();
        if let Some((page, is_sure)) = &cached
            && (!sure || *is_sure)
        {
            return Ok(page.clone());
        }
        let (library, account) = (Arc::clone(self), account.clone());
        let load = self.pages.join((key.clone(), sure), || {
            async move {
                let mut before = cached.map(|(page, _)| page).filter(|_| sure);
                for _ in 0..=library.config.retry.tries {
                    let page = key.load(&library, e_tag.clone(), &account).await;
                    // Its other pages are of an object that is no longer there.
                    if matches!(page, Err(Failure::Replaced)) {
                        library.forget(&key.car());
                    }
                    let page = page?;
                    let same = before.as_ref() == Some(&page);
                    if same || !sure {
                        let cost = page.len();
                        library.shelves.lock().pages.insert(key, (page.clone(), same), cost);
                        return Ok(page);
                    }
                    before = Some(page);
                }
                Err(Failure::failed("it is another one each time it is read"))
            }
            .boxed()
        });
        load.await
    }

    /// Makes room for an index that will take more memory than it did.
    pub(crate) fn make_room_for_index(&self, car: &CarCid, cost: usize) -> bool {
        self.shelves.lock().indexes.reprice(car, cost)
    }

    /// A large index contradicts itself: its pages are read anew, but for those that are sure.
    pub(crate) fn forget_pages(&self, car: &CarCid) {
        self.shelves.lock().pages.retain(|key, (_, sure)| *sure || key.car() != *car);
    }
}
