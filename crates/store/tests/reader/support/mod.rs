//! Buckets made for the occasion, and a host that drives a reader.

mod cars;
mod locator;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_dag::Sha256;
use hoverboard_store::ledger::{Account, Budget, Ledger};
use hoverboard_store::library::{Config, Library, Observer, Timer};
use hoverboard_store::reader::{Found, Reader, Step, Want};
use hoverboard_store::{Bucket, CarCid};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};

pub(crate) use self::cars::{Car, shuffled};
pub(crate) use self::locator::{Table, exact};
pub(crate) use self::store::{Faults, Watched};

/// Where a test keeps its CARs, and what was asked of it.
pub(crate) struct Place {
    pub(crate) bucket: Bucket,
    pub(crate) carpark: Arc<Watched>,
    pub(crate) dudewhere: Arc<Watched>,
    pub(crate) satnav: Arc<Watched>,
    pub(crate) faults: Arc<Log>,
}

impl Place {
    pub(crate) async fn new<'a>(cars: impl IntoIterator<Item = &'a Arc<Car>>) -> Self {
        let memory = || Arc::new(Watched::new(InMemory::new()));
        let (carpark, dudewhere, satnav) = (memory(), memory(), memory());
        let index = Arc::new(InMemory::new());
        let bucket = Bucket { carpark: carpark.clone(), dudewhere: dudewhere.clone(), satnav: satnav.clone(), index };
        let place = Self { bucket, carpark, dudewhere, satnav, faults: Arc::default() };
        for car in cars {
            place.add(car).await;
        }
        place
    }

    /// Puts a CAR, its index and the entry of its root.
    pub(crate) async fn add(&self, car: &Arc<Car>) {
        use hoverboard_store::layout;
        self.carpark.add(layout::car(&car.cid), car.clone());
        self.satnav.put(&layout::index(&car.cid), PutPayload::from(car.index())).await.unwrap();
        self.dudewhere.put(&layout::entry(&car.root(), &car.cid), PutPayload::default()).await.unwrap();
    }

    pub(crate) fn requests(&self) -> usize {
        self.carpark.asked() + self.dudewhere.asked() + self.satnav.asked()
    }

    /// What a peer's reader has to know, with the hash function of [`Prefix`].
    pub(crate) fn config(&self) -> Config {
        Config::new(Arc::new(Prefix), Arc::new(Clock), self.faults.clone())
    }

    pub(crate) fn reader(&self) -> Reader {
        self.reader_with(self.config(), vec![])
    }

    pub(crate) fn reader_with(&self, config: Config, cars: Vec<CarCid>) -> Reader {
        Reader::new(Library::new(self.bucket.clone(), config), unlimited(), cars)
    }
}

pub(crate) fn unlimited() -> Account {
    Ledger::new(Budget::UNLIMITED).account()
}

/// The first bytes of a block stand for its hash: gigabytes are checked in no time.
pub(crate) struct Prefix;

impl Sha256 for Prefix {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        let len = data.len().min(32);
        digest[..len].copy_from_slice(&data[..len]);
        // All other bytes are zero, and one that is not is noticed.
        if let Some(place) = data.iter().skip(32).position(|byte| *byte != 0) {
            digest[0] ^= place as u8 | 1;
        }
        digest
    }
}

/// The test's own clock, which stands still while anything can be done.
pub(crate) struct Clock;

impl Timer for Clock {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }
}

/// What an observer was told.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn fault(&self, key: &str, what: &dyn fmt::Display) {
        self.0.lock().unwrap().push(format!("{key}: {what}"));
    }
}

impl Log {
    pub(crate) fn said(&self, key: &str, what: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(key) && line.contains(what))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Asks for one block, and is patient.
pub(crate) async fn ask(reader: &mut Reader, cid: Cid, want: Want) -> Found {
    reader.push(1 << 40, cid, want);
    match poll_fn(|cx| reader.poll_next(cx, usize::MAX)).await {
        Step::Answer(key, found) if key == 1 << 40 => found,
        step => panic!("{step:?}"),
    }
}

/// Asks for blocks, so many at a time, and returns how many came. What is unknown is asked for again `again` times.
pub(crate) async fn fetch(reader: &mut Reader, cids: &[Cid], at_once: usize, again: usize) -> Fetched {
    fetch_in_time(reader, cids, at_once, again, |_| ()).await
}

/// The same for a host that tells the time.
pub(crate) async fn fetch_in_time(
    reader: &mut Reader,
    cids: &[Cid],
    at_once: usize,
    again: usize,
    tell: impl Fn(Duration),
) -> Fetched {
    let began = tokio::time::Instant::now();
    let mut fetched = Fetched::default();
    let mut rest = cids.iter().copied();
    let mut open: BTreeMap<u64, (Cid, usize)> = BTreeMap::new();
    let mut next = 0;
    loop {
        while open.len() < at_once
            && let Some(cid) = rest.next()
        {
            reader.push(next, cid, Want::Block);
            open.insert(next, (cid, again));
            next += 1;
        }
        if open.is_empty() {
            return fetched;
        }
        tell(began.elapsed());
        match poll_fn(|cx| reader.poll_next(cx, 1 << 20)).await {
            Step::Answer(key, found) => {
                let (cid, again) = open.remove(&key).expect("an answer answers a want");
                match found {
                    Found::Block(data) => {
                        assert_eq!(cid.hash().digest(), Prefix.sha256(&data), "a wrong byte was given out");
                        fetched.blocks += 1;
                    }
                    Found::Missing | Found::Unlisted => fetched.missing += 1,
                    Found::Unknown if again > 0 => {
                        fetched.asked_again += 1;
                        tokio::time::sleep(Duration::from_secs(5)).await;
                        reader.push(next, cid, Want::Block);
                        open.insert(next, (cid, again - 1));
                        next += 1;
                    }
                    Found::Unknown => fetched.unknown += 1,
                    Found::Have { .. } => panic!("nobody asked for less than the block"),
                }
            }
            step => panic!("{step:?} with {} wants open", open.len()),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) blocks: usize,
    pub(crate) missing: usize,
    pub(crate) unknown: usize,
    pub(crate) asked_again: usize,
}

impl Fetched {
    pub(crate) fn all(blocks: usize) -> Self {
        Self { blocks, ..Self::default() }
    }
}
