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
mod whole;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use object_store::path::Path;
use parking_lot::Mutex;

use self::cache::{Cache, Flights};
pub use self::config::{Config, Observer, Retry, Timer};
use self::facts::Facts;
pub(crate) use self::fetch::{Body, Failure, Opened};
pub(crate) use self::listing::Listing;
use self::whole::Alive;
pub(crate) use self::whole::Whole;
use crate::satnav::{Compact, PageKey, Satnav};
use crate::{Bucket, CarCid};

/// Roots whose listings are remembered, for as long as [`Config::listing_life`] lets them.
const LISTINGS: usize = 4096;
/// CARs of which is remembered where they are and under which ETag.
const FACTS: usize = 1024;

/// A bucket and what is remembered of it.
pub struct Library {
    pub(crate) bucket: Bucket,
    pub(crate) config: Config,
    shelves: Arc<Mutex<Shelves>>,
    listings: Flights<Cid, Arc<Listing>>,
    indexes: Flights<(CarCid, bool), Arc<Satnav>>,
    pages: Flights<(PageKey, bool), Bytes>,
    pub(crate) compacts: Flights<CarCid, Arc<Compact>>,
    wholes: Flights<CarCid, Arc<Whole>>,
    alive: Arc<Alive>,
}

/// Everything that is remembered.
struct Shelves {
    now: Duration,
    listings: Cache<Cid, (Duration, Arc<Listing>)>,
    indexes: Cache<CarCid, Arc<Satnav>>,
    /// Each with whether it is sure, as an index is.
    pages: Cache<PageKey, (Bytes, bool)>,
    wholes: Cache<CarCid, (Duration, Arc<Whole>)>,
    facts: Cache<CarCid, Facts>,
    /// CARs that were found to be gone, and until when that is believed.
    gone: Cache<CarCid, Duration>,
    /// CARs whose index is none, and until when that is believed.
    broken: Cache<CarCid, (Duration, Failure)>,
}

/// What a library has in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cached {
    /// Indexes, and pages of those that are not held whole: at most [`Config::index_bytes`].
    pub indexes: usize,
    /// Small CARs that may be given out: at most [`Config::car_bytes`].
    pub cars: usize,
}

impl Library {
    /// A library over this bucket, with nothing in memory.
    pub fn new(bucket: Bucket, config: Config) -> Arc<Self> {
        let shelves = Shelves {
            now: Duration::ZERO,
            listings: Cache::new(LISTINGS),
            // A quarter is for the pages of large indexes.
            indexes: Cache::new(config.index_bytes - config.index_bytes / 4),
            pages: Cache::new(config.index_bytes / 4),
            wholes: Cache::new(config.car_bytes),
            facts: Cache::new(FACTS),
            gone: Cache::new(FACTS),
            broken: Cache::new(FACTS),
        };
        Arc::new(Self {
            alive: Alive::new(config.car_bytes),
            bucket,
            config,
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
            bucket,
            config: self.config.clone(),
            shelves: self.shelves.clone(),
            listings: Flights::default(),
            indexes: Flights::default(),
            pages: Flights::default(),
            compacts: Flights::default(),
            wholes: Flights::default(),
            alive: self.alive.clone(),
        })
    }

    /// Tells the time, from any epoch and never backwards: what is remembered for a while is forgotten by it.
    pub fn set_now(&self, now: Duration) {
        self.shelves.lock().now = now;
    }

    /// How much is in memory.
    pub fn cached(&self) -> Cached {
        let shelves = self.shelves.lock();
        Cached { indexes: shelves.indexes.cost() + shelves.pages.cost(), cars: shelves.wholes.cost() }
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

    /// The CAR or its index is gone from the bucket: believed for as long as a listing is.
    pub(crate) fn note_gone(&self, car: &CarCid) {
        self.forget(car);
        let mut shelves = self.shelves.lock();
        let until = shelves.now.saturating_add(self.config.listing_life);
        shelves.gone.insert(*car, until, 1);
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
