//! Buckets, CARs, and a host with the test's own clock.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_car::Writer;
use hoverboard_dag::Software;
use hoverboard_store::import::{Options, Survey, Surveyed, import};
use hoverboard_store::index::lookup::{Runs, Settings};
use hoverboard_store::index::{Host, Index, Progress};
use hoverboard_store::ledger::{Budget, Ledger};
use hoverboard_store::library::{Config, Located, Locator, NotLocated, Observer, Timer};
use hoverboard_store::{Bucket, CarCid, layout};
use multihash::Multihash;
use object_store::{ObjectStoreExt, PutPayload};

use super::store::{Store, World};

/// A bucket to work on.
pub(crate) struct Place {
    pub(crate) bucket: Bucket,
    pub(crate) world: Arc<World>,
    pub(crate) index: Arc<Store>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let store = |place| Store::new(place, &world);
        let index = store(3);
        let bucket = Bucket { carpark: store(0), dudewhere: store(1), satnav: store(2), index: index.clone() };
        Self { bucket, world, index }
    }

    pub(crate) fn index(&self, seed: u64) -> Index {
        Index::new(self.bucket.clone(), Arc::new(TestHost(AtomicU64::new(seed << 32 | 1))))
    }

    /// Puts a CAR, its index and the entries of its roots, as an import does.
    pub(crate) async fn put(&self, car: &Car) {
        import(&self.bucket, &car.surveyed, &car.bytes, &Options::default(), &()).await.unwrap();
    }

    /// Puts a CAR as anybody may, alone.
    pub(crate) async fn put_bare(&self, car: &Car) {
        let key = layout::car(&car.cid());
        self.bucket.carpark.put(&key, PutPayload::from_bytes(car.bytes.clone())).await.unwrap();
    }

    pub(crate) fn reader(&self) -> Reader {
        let log = Arc::<Log>::default();
        let config = Config::new(Arc::new(Software), Arc::new(Clock), log.clone());
        let begun = tokio::time::Instant::now();
        Reader { runs: Runs::new(self.bucket.clone(), Settings::of(&config)), log, begun }
    }

    /// Which CARs a new reader finds this block in.
    pub(crate) async fn find(&self, multihash: &Multihash<64>) -> Answer {
        self.reader().find(multihash).await
    }
}

/// What a reader says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    In(BTreeSet<CarCid>),
    Missing,
    Unknown,
    NoIndex,
}

impl Answer {
    pub(crate) fn only(car: &Car) -> Self {
        Self::In([car.cid()].into())
    }

    pub(crate) fn has(&self, car: &Car) -> bool {
        matches!(self, Self::In(cars) if cars.contains(&car.cid()))
    }
}

pub(crate) struct Reader {
    pub(crate) runs: Runs,
    pub(crate) log: Arc<Log>,
    begun: tokio::time::Instant,
}

impl Reader {
    pub(crate) async fn locate(&self, multihashes: &[Multihash<64>]) -> Vec<Answer> {
        self.runs.set_now(self.begun.elapsed());
        let account = Ledger::new(Budget::UNLIMITED).account();
        match self.runs.locate(multihashes.to_vec(), account).await {
            Ok(located) => located.into_iter().map(answer).collect(),
            Err(NotLocated::NoIndex) => vec![Answer::NoIndex; multihashes.len()],
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn find(&self, multihash: &Multihash<64>) -> Answer {
        self.locate(&[*multihash]).await.remove(0)
    }
}

fn answer(located: Located) -> Answer {
    match located {
        Located::At { places, .. } => Answer::In(places.iter().map(|place| place.car).collect()),
        Located::Missing => Answer::Missing,
        Located::Unknown => Answer::Unknown,
        Located::Block(_) => panic!("runs have no bytes"),
    }
}

/// A CAR and what it holds.
#[derive(Clone)]
pub(crate) struct Car {
    pub(crate) bytes: Bytes,
    pub(crate) surveyed: Surveyed,
    pub(crate) blocks: Vec<Cid>,
}

impl Car {
    /// A CAR with one block for each of these numbers. The first is its root.
    pub(crate) fn new(numbers: impl IntoIterator<Item = u64>) -> Self {
        let datas: Vec<[u8; 8]> = numbers.into_iter().map(u64::to_be_bytes).collect();
        let blocks: Vec<Cid> = datas.iter().map(|data| cid(data)).collect();
        let mut writer = Writer::new(Vec::new(), &blocks[..1]).unwrap();
        for (cid, data) in blocks.iter().zip(&datas) {
            writer.write(cid, data).unwrap();
        }
        let bytes = Bytes::from(writer.finish().unwrap());
        let surveyed = Survey::new(&[]).push(&bytes).unwrap().finish().unwrap();
        Self { bytes, surveyed, blocks }
    }

    pub(crate) fn cid(&self) -> CarCid {
        self.surveyed.car
    }

    pub(crate) fn multihashes(&self) -> Vec<Multihash<64>> {
        self.blocks.iter().map(|cid| *cid.hash()).collect()
    }
}

fn cid(data: &[u8]) -> Cid {
    Cid::new_v1(0x55, hoverboard_dag::multihash(0x12, 32, data).unwrap())
}

/// The multihash of the block of this number.
pub(crate) fn block(number: u64) -> Multihash<64> {
    *cid(&number.to_be_bytes()).hash()
}

/// The test's own clock, which stands still while anything can be done.
pub(crate) struct Clock;

impl Timer for Clock {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }
}

struct TestHost(AtomicU64);

impl Timer for TestHost {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }
}

impl Host for TestHost {
    fn unix_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn random(&self) -> [u8; 16] {
        let digest = cid(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        digest.hash().digest()[..16].try_into().unwrap()
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

impl Progress for Log {
    fn fault(&self, what: &dyn fmt::Display) {
        self.0.lock().unwrap().push(what.to_string());
    }
}

impl Log {
    pub(crate) fn said(&self, what: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(what))
    }
}
