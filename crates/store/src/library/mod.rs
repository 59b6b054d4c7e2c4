//! What all peers share: the bucket, and bounded caches of listings, indexes and small CARs.
//!
//! One that two peers want at the same time is read once. In a Worker that is sound only among peers whose I/O belongs
//! together: those of one Durable Object share a library, and in plain mode every connection has its own, [beside](Library::beside)
//! the others.
//!
//! A library knows no clock: the host tells it the time by [`Library::set_now`].

mod cache;
mod config;
mod facts;
mod fetch;
mod indexes;
mod listing;
mod locator;
mod room;
mod whole;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cid::Cid;
use object_store::path::Path;
use parking_lot::Mutex;

pub(crate) use self::cache::{Cache, Flights};
pub use self::config::{Config, Observer, Retry, Timer};
use self::facts::Facts;
pub(crate) use self::fetch::{Body, Failure, Opened};
pub(crate) use self::listing::Listing;
pub use self::locator::{CarPlace, Located, Locator, Locators, MAX_ASKED, MAX_PLACES, NotLocated};
use self::room::Pool;
pub(crate) use self::room::{LOOK_AGAIN, Room};
pub(crate) use self::whole::Whole;
use crate::satnav::{Compact, Page, PageKey, Satnav};
use crate::{Bucket, CarCid};

/// Roots whose listings are remembered, for as long as [`Config::listing_life`] lets them.
const LISTINGS: usize = 4096;
/// CARs of which is remembered where they are and under which ETag.
const FACTS: usize = 1024;

/// A bucket and what is remembered of it.
pub struct Library {
    pub(crate) bucket: Bucket,
    pub(crate) config: Config,
    pub(crate) locators: Locators,
    shelves: Arc<Mutex<Shelves>>,
    listings: Flights<Cid, Arc<Listing>>,
    indexes: Flights<(CarCid, bool), Arc<Satnav>>,
    pages: Flights<(PageKey, bool), Arc<Page>>,
    pub(crate) compacts: Flights<CarCid, Arc<Compact>>,
    wholes: Flights<CarCid, Arc<Whole>>,
    pools: Pools,
}

/// What all readers may hold, whoever has it: a cache alone would not count what is being read, nor what it dropped while
/// somebody still used it.
#[derive(Clone)]
struct Pools {
    indexes: Arc<Pool>,
    pages: Arc<Pool>,
    cars: Arc<Pool>,
    sections: Arc<Pool>,
    wants: Arc<Pool>,
    /// Look-ups so far.
    looked_up: Arc<AtomicU64>,
}

/// Everything that is remembered.
struct Shelves {
    now: Duration,
    listings: Cache<Cid, (Duration, Arc<Listing>)>,
    indexes: Cache<CarCid, Arc<Satnav>>,
    /// Each with whether it is sure, as an index is.
    pages: Cache<PageKey, (Arc<Page>, bool)>,
    wholes: Cache<CarCid, (Duration, Arc<Whole>)>,
    facts: Cache<CarCid, Facts>,
    /// CARs that were found to be gone, and until when that is believed.
    gone: Cache<CarCid, Duration>,
    /// The same for their indexes.
    unindexed: Cache<CarCid, Duration>,
    /// CARs whose index is none, and until when that is believed.
    broken: Cache<CarCid, (Duration, Failure)>,
}

/// What a library and its readers have in memory, in bytes unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cached {
    /// Indexes, and pages of those that are not held whole, also those that are being read: at most
    /// [`Config::index_bytes`], or one that takes more.
    pub indexes: usize,
    /// Small CARs that may be given out, or are being read: at most [`Config::car_bytes`].
    pub cars: usize,
    /// Sections that are being received: at most [`Config::section_bytes`], or one that takes more.
    pub sections: usize,
    /// Wants that readers took, in number, beyond the few that each may always take: at most [`Config::wants`].
    pub wants: usize,
}

impl Library {
    /// A library over this bucket, with nothing in memory, and no index of every block.
    pub fn new(bucket: Bucket, config: Config) -> Arc<Self> {
        Self::with_locators(bucket, config, Locators::default())
    }

    /// The same, with what knows where blocks lie that no listing leads to.
    pub fn with_locators(bucket: Bucket, config: Config, locators: Locators) -> Arc<Self> {
        // A quarter is for the pages of large indexes.
        let page_bytes = config.index_bytes / 4;
        let index_bytes = config.index_bytes - page_bytes;
        let shelves = Shelves {
            now: Duration::ZERO,
            listings: Cache::new(LISTINGS),
            indexes: Cache::new(index_bytes),
            pages: Cache::new(page_bytes),
            wholes: Cache::new(config.car_bytes),
            facts: Cache::new(FACTS),
            gone: Cache::new(FACTS),
            unindexed: Cache::new(FACTS),
            broken: Cache::new(FACTS),
        };
        let pools = Pools {
            indexes: Pool::new(index_bytes),
            pages: Pool::new(page_bytes),
            cars: Pool::new(config.car_bytes),
            sections: Pool::new(config.section_bytes),
            wants: Pool::new(config.wants),
            looked_up: Arc::default(),
        };
        Arc::new(Self {
            pools,
            bucket,
            config,
            locators,
            shelves: Arc::new(Mutex::new(shelves)),
            listings: Flights::default(),
            indexes: Flights::default(),
            pages: Flights::default(),
            compacts: Flights::default(),
            wholes: Flights::default(),
        })
    }

    /// A library over the same bucket, by handles of its own: it shares what is in memory, and no read that is under way.
    pub fn beside(&self, bucket: Bucket) -> Arc<Self> {
        Arc::new(Self {
            locators: self.locators.beside(&bucket),
            bucket,
            config: self.config.clone(),
            shelves: self.shelves.clone(),
            listings: Flights::default(),
            indexes: Flights::default(),
            pages: Flights::default(),
            compacts: Flights::default(),
            wholes: Flights::default(),
            pools: self.pools.clone(),
        })
    }

    /// Tells the time, from any epoch and never backwards: what is remembered for a while is forgotten by it.
    pub fn set_now(&self, now: Duration) {
        self.shelves.lock().now = now;
        self.locators.all().for_each(|locator| locator.set_now(now));
    }

    /// How much is in memory.
    pub fn cached(&self) -> Cached {
        let pools = &self.pools;
        Cached {
            indexes: pools.indexes.used() + pools.pages.used(),
            cars: pools.cars.used(),
            sections: pools.sections.used(),
            wants: pools.wants.used(),
        }
    }

    /// Look-ups of a block in an index so far: what finding costs where nothing has to be read.
    pub fn looked_up(&self) -> u64 {
        self.pools.looked_up.load(Ordering::Relaxed)
    }

    pub(crate) fn count_look_ups(&self, count: usize) {
        self.pools.looked_up.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Room for sections that are being received.
    pub(crate) fn room_for_sections(&self) -> Room {
        self.pools.sections.room()
    }

    /// Room for wants.
    pub(crate) fn room_for_wants(&self) -> Room {
        self.pools.wants.room()
    }

    pub(crate) fn now(&self) -> Duration {
        self.shelves.lock().now
    }

    /// Forgets a CAR that is held whole.
    pub(crate) fn forget_whole(&self, car: &CarCid) {
        self.shelves.lock().wholes.remove(car);
    }

    /// Forgets everything that was read of a CAR.
    pub(crate) fn forget(&self, car: &CarCid) {
        let mut shelves = self.shelves.lock();
        shelves.indexes.remove(car);
        shelves.wholes.remove(car);
        shelves.facts.remove(car);
    }

    /// The CAR is gone from the bucket: believed for as long as a listing is.
    pub(crate) fn note_gone(&self, car: &CarCid) {
        self.forget(car);
        let mut shelves = self.shelves.lock();
        let until = shelves.now.saturating_add(self.config.listing_life);
        shelves.gone.insert(*car, until, 1);
    }

    /// The CAR has no index, which is believed for as long.
    pub(crate) fn note_unindexed(&self, car: &CarCid) {
        let mut shelves = self.shelves.lock();
        let until = shelves.now.saturating_add(self.config.listing_life);
        shelves.indexes.remove(car);
        shelves.unindexed.insert(*car, until, 1);
    }

    /// Whether no block can be looked up in the CAR: it is gone, or its index is.
    pub(crate) fn is_no_place(&self, car: &CarCid) -> bool {
        let gone = self.is_gone(car);
        let mut shelves = self.shelves.lock();
        let now = shelves.now;
        gone || shelves.unindexed.find(car).is_some_and(|until| now < *until)
    }

    pub(crate) fn is_gone(&self, car: &CarCid) -> bool {
        let mut shelves = self.shelves.lock();
        let now = shelves.now;
        shelves.gone.find(car).is_some_and(|until| now < *until)
    }

    /// Reports that an object is not what it should be.
    pub(crate) fn fault(&self, key: &Path, what: &dyn fmt::Display) {
        self.config.observer.fault(key.as_ref(), what);
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
