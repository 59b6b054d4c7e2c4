//! Which CARs hold a root: one listing of DUDEWHERE, remembered for a while.

use std::sync::Arc;

use cid::{Cid, Version};
use futures_util::{FutureExt, StreamExt};

use super::{Failure, Library};
use crate::ledger::{Account, Kind};
use crate::memory::MAX_CARS;
use crate::{CarCid, layout};

/// Entries that name no CAR, such as a `.rollup.idx`, of which so many may lie among the others.
const OTHERS: usize = 4;

/// The CARs that hold a root.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) cars: Vec<CarCid>,
    /// There are more than [`MAX_CARS`], which are as many as are looked at.
    pub(crate) more: bool,
}

impl Library {
    /// The CARs of a root, by either version of its CID.
    ///
    /// # Errors
    ///
    /// The listing failed, after some tries. A root that has no CAR is no error.
    pub(crate) async fn cars_of(self: &Arc<Self>, root: &Cid, account: &Account) -> Result<Arc<Listing>, Failure> {
        if let Some(listing) = self.cached_listing(root) {
            return Ok(listing);
        }
        let root = version_1(root);
        let (library, account) = (Arc::clone(self), account.clone());
        let list = self.listings.join(root, || {
            async move {
                let listing = Arc::new(library.retrying(|| library.list(&root, &account)).await?);
                let mut shelves = library.shelves.lock();
                let until = shelves.now.saturating_add(library.config.listing_life);
                shelves.listings.insert(root, (until, Arc::clone(&listing)), 1);
                Ok(listing)
            }
            .boxed()
        });
        list.await
    }

    /// What a listing told not long ago.
    pub(crate) fn cached_listing(&self, root: &Cid) -> Option<Arc<Listing>> {
        let mut shelves = self.shelves.lock();
        let now = shelves.now;
        let (until, listing) = shelves.listings.find(&version_1(root))?;
        (now < *until).then(|| Arc::clone(listing))
    }

    async fn list(&self, root: &Cid, account: &Account) -> Result<Listing, Failure> {
        let permit = account.request(Kind::List).await?;
        let mut entries = self.bucket.dudewhere.list(Some(&layout::entries(root)));
        let mut listing = Listing::default();
        let mut seen = 0;
        while let Some(entry) = self.watched(entries.next()).await? {
            let entry = match entry {
                Ok(entry) => entry,
                // A folder without that entry.
                Err(object_store::Error::NotFound { .. }) => break,
                Err(error) => return Err(Failure::of(&error, account)),
            };
            seen += 1;
            match layout::car_of_entry(&entry.location) {
                Some(_) if listing.cars.len() == MAX_CARS => listing.more = true,
                Some(car) => listing.cars.push(car),
                None => {}
            }
            if listing.more || seen == MAX_CARS + OTHERS {
                listing.more = true;
                break;
            }
        }
        drop(permit);
        Ok(listing)
    }
}

/// Both versions of a CID name the same root.
fn version_1(cid: &Cid) -> Cid {
    match cid.version() {
        Version::V0 => cid.into_v1().unwrap_or(*cid),
        Version::V1 => *cid,
    }
}
