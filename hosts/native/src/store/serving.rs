//! A store that is served: what all connections of the process share of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use hoverboard_dag::Software;
use hoverboard_store::Bucket;
use hoverboard_store::index::lookup::{self, Runs};
use hoverboard_store::ledger::{Account, Budget, Ledger};
use hoverboard_store::library::{Config, Library, Locators, Observer, Timer};
use lru::LruCache;
use parking_lot::Mutex;

use super::counted::Counted;
use super::peers::Peers;
use super::{Access, Location, StoreError};
use crate::claims::{self, Claims};
use crate::metrics::{Metrics, StoreMetrics};

/// Requests of all peers that may wait for the head of their answer at a time.
const WAITING: usize = 64;
/// What may be read ahead of all peers' wants, in bytes.
const READ_AHEAD: usize = 256 << 20;
/// Memory for indexes, in bytes.
const INDEXES: usize = 256 << 20;
/// Memory for small CARs that are held whole, in bytes.
const SMALL_CARS: usize = 64 << 20;
/// Memory for sections that are being received, in bytes.
const SECTIONS: usize = 64 << 20;
/// Wants of all peers that are looked up and planned at a time, beside sixteen of each.
const WANTS: usize = 128 << 10;
/// How long a store may take to answer when it is opened.
const FIRST_ANSWER: Duration = Duration::from_secs(20);
/// Faults of one object are logged once in this time.
const QUIET: Duration = Duration::from_secs(60);
/// Objects whose faults are remembered for it.
const FAULTY: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// A store, what is remembered of it, and who was reading what.
#[derive(Debug)]
pub struct ServedStore {
    pub(crate) library: Arc<Library>,
    pub(crate) peers: Peers,
    ledger: Ledger,
}

impl ServedStore {
    /// Opens a store to serve it, and asks it for something. `claims` is who is asked for what it does not have; `state` is
    /// the state folder.
    ///
    /// # Errors
    /// It is not there, cannot be read or does not answer; or the state folder cannot be written.
    pub async fn open(
        location: &Location,
        claims: Option<claims::Settings>,
        state: &Path,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let bucket = location.open(Access::Read)?;
        let counted = |store, kind| -> Arc<Counted> { Counted::new(store, kind, &metrics.store) };
        let bucket = Bucket {
            carpark: counted(bucket.carpark, "car"),
            dudewhere: counted(bucket.dudewhere, "listing"),
            satnav: counted(bucket.satnav, "index"),
            index: counted(bucket.index, "run"),
        };
        check(location, &bucket).await?;
        let peers = Peers::open(state).map_err(|error| StoreError::State { path: state.to_path_buf(), error })?;
        let faults = Faults { metrics: metrics.clone(), logged: Mutex::new(LruCache::new(FAULTY)) };
        let config = Config {
            index_bytes: INDEXES,
            car_bytes: SMALL_CARS,
            section_bytes: SECTIONS,
            wants: WANTS,
            ..Config::new(Arc::new(Software), Arc::new(TokioTimer), Arc::new(faults))
        };
        let runs = Runs::new(bucket.clone(), lookup::Settings::of(&config));
        let mut locators = Locators { runs: Some(Arc::new(runs)), ..Locators::default() };
        if let Some(settings) = claims {
            tracing::info!(service = %settings.service, "claims are asked for what the store does not have");
            locators.others.push(Arc::new(Claims::new(settings, bucket.clone(), metrics.clone())?));
        }
        tracing::info!(store = %location, "opened");
        let ledger = Ledger::new(Budget { waiting: WAITING, bytes: READ_AHEAD, ..Budget::UNLIMITED });
        Ok(Self { library: Library::with_locators(bucket, config, locators), peers, ledger })
    }

    /// Brings the gauges of what is in memory up to date.
    pub(crate) fn count(&self, metrics: &StoreMetrics) {
        let cached = self.library.cached();
        // Both are bounded by what is set above.
        metrics.index_cache.set(cached.indexes as i64);
        metrics.car_cache.set(cached.cars as i64);
    }

    /// The account of one more peer.
    pub(crate) fn account(&self) -> Account {
        self.ledger.account()
    }
}

/// Lists the first of the roots: that shows an address, a bucket and credentials that are right.
async fn check(location: &Location, bucket: &Bucket) -> Result<(), StoreError> {
    let failed = |why| StoreError::Unreadable { location: location.clone(), why };
    let mut roots = bucket.dudewhere.list(None);
    match tokio::time::timeout(FIRST_ANSWER, roots.next()).await {
        Ok(Some(Ok(_))) => Ok(()),
        Ok(None) => {
            tracing::warn!(store = %location, "the store has no roots yet: `hoverboard import` puts CARs there");
            Ok(())
        }
        Ok(Some(Err(error))) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {} s", FIRST_ANSWER.as_secs()))),
    }
}

/// Timers of the runtime that the connections run on.
struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }
}

/// Counts faults and logs them, those of one object not without end.
struct Faults {
    metrics: Arc<Metrics>,
    /// When a fault of the object was logged last.
    logged: Mutex<LruCache<String, Instant>>,
}

impl Observer for Faults {
    fn fault(&self, key: &str, what: &dyn fmt::Display) {
        self.metrics.store.faults.inc();
        let mut logged = self.logged.lock();
        let lately = logged.get(key).is_some_and(|last| last.elapsed() < QUIET);
        if !lately {
            logged.put(key.to_owned(), Instant::now());
        }
        drop(logged);
        if lately {
            tracing::debug!(key, %what, "an object of the store is not what it should be");
        } else {
            tracing::warn!(key, %what, "an object of the store is not what it should be");
        }
    }
}
