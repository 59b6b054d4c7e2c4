//! Which CARs hold a block, by the runs of a bucket: one read of a page for each large run, and none for the small ones,
//! which are in memory.
//!
//! An answer rests on a manifest that was the newest not longer ago than [`Config::life`](Settings::life). A block is
//! [missing](Located::Missing) only if every run was read and none has it; whatever could not be read, or fails its
//! checksum, makes it [unknown](Located::Unknown).

mod entered;
mod pages;
mod search;
mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use multihash::Multihash;
use parking_lot::Mutex;

use self::pages::{CarPages, Pages, Residents};
use self::view::View;
use crate::Bucket;
use crate::ledger::Account;
use crate::library::{Config, Failure, Flights, Located, Locator, NotLocated, Observer, Retry, Timer};

/// How lookups are made.
#[derive(Clone)]
pub struct Settings {
    /// The host's timers.
    pub timer: Arc<dyn Timer>,
    /// Who is told of objects that are missing or damaged.
    pub observer: Arc<dyn Observer>,
    /// When reads are tried again.
    pub retry: Retry,
    /// How old the knowledge may be which manifest is the newest: 10 s.
    pub life: Duration,
    /// Memory for pages of large runs, in bytes: 1 MiB. On top come up to 5 MiB of small runs, a quarter of a MiB of the
    /// manifest, and a quarter of this for pages of the CAR table.
    pub page_bytes: usize,
}

impl Settings {
    /// The settings that go with a library's.
    pub fn of(config: &Config) -> Self {
        Self {
            timer: Arc::clone(&config.timer),
            observer: Arc::clone(&config.observer),
            retry: config.retry,
            life: config.listing_life,
            page_bytes: 1 << 20,
        }
    }
}

/// The runs of a bucket, to look blocks up in: a [`Locator`]. Cloning shares everything.
#[derive(Clone)]
pub struct Runs(Arc<Inner>);

struct Inner {
    bucket: Bucket,
    settings: Settings,
    shelves: Arc<Mutex<Shelves>>,
    views: Flights<(), Option<Arc<View>>>,
    pages: Pages,
    residents: Residents,
    cars: CarPages,
}

/// Everything that is remembered.
struct Shelves {
    now: Duration,
    /// The newest manifest, and when it was seen to be that. `None` within: the bucket has no index.
    view: Option<(Duration, Option<Arc<View>>)>,
    pages: pages::Shelf,
}

impl Runs {
    /// The runs of this bucket, with nothing in memory.
    pub fn new(bucket: Bucket, settings: Settings) -> Self {
        let shelves = Shelves { now: Duration::ZERO, view: None, pages: pages::Shelf::new(settings.page_bytes) };
        Self::over(bucket, settings, Arc::new(Mutex::new(shelves)))
    }

    fn over(bucket: Bucket, settings: Settings, shelves: Arc<Mutex<Shelves>>) -> Self {
        Self(Arc::new(Inner {
            bucket,
            settings,
            shelves,
            views: Flights::default(),
            pages: Flights::default(),
            residents: Flights::default(),
            cars: Flights::default(),
        }))
    }

    /// Bytes of runs and of the CAR table that are in memory.
    pub fn cached_bytes(&self) -> usize {
        self.0.shelves.lock().pages.bytes()
    }
}

impl Locator for Runs {
    fn locate(
        &self,
        multihashes: Vec<Multihash<64>>,
        account: Account,
    ) -> BoxFuture<'static, Result<Vec<Located>, NotLocated>> {
        let inner = Arc::clone(&self.0);
        async move {
            match inner.locate(&multihashes, &account).await {
                Ok(Some(located)) => Ok(located),
                Ok(None) => Err(NotLocated::NoIndex),
                Err(Failure::Spent(spent)) => Err(NotLocated::Spent(spent)),
                Err(_) => Ok(vec![Located::Unknown; multihashes.len()]),
            }
        }
        .boxed()
    }

    fn set_now(&self, now: Duration) {
        self.0.shelves.lock().now = now;
    }

    fn beside(&self, bucket: &Bucket) -> Option<Arc<dyn Locator>> {
        let Inner { settings, shelves, .. } = &*self.0;
        Some(Arc::new(Self::over(bucket.clone(), settings.clone(), Arc::clone(shelves))))
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs").field("bucket", &self.0.bucket).finish_non_exhaustive()
    }
}
