//! An index of every block, as a table in memory: right, wrong or silent, as a test has it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_index::Extent;
use hoverboard_store::ledger::{Account, Kind};
use hoverboard_store::library::{CarPlace, Located, Locator, MAX_ASKED, NotLocated};
use multihash::Multihash;

use super::Car;

/// What a test says of blocks.
#[derive(Default)]
pub(crate) struct Table {
    places: Mutex<BTreeMap<Vec<u8>, Located>>,
    /// Blocks that were asked for, and how many calls that took.
    pub(crate) asked: AtomicUsize,
    pub(crate) calls: AtomicUsize,
    /// There is no index.
    pub(crate) none: AtomicBool,
    /// It cannot be read.
    pub(crate) fails: AtomicBool,
}

/// Where a block of a CAR lies.
pub(crate) fn exact(car: &Car, block: usize) -> CarPlace {
    let offset = car.offsets[block];
    let length = car.offsets[block + 1] - offset;
    let extent = Extent::exact(hoverboard_car::SectionOffset(offset), length, 36);
    CarPlace { car: car.cid, extent }
}

fn at(places: impl IntoIterator<Item = CarPlace>) -> Located {
    Located::At { places: places.into_iter().collect(), more: false }
}

impl Table {
    /// A table that knows all blocks of these CARs.
    pub(crate) fn of<'a>(cars: impl IntoIterator<Item = &'a std::sync::Arc<Car>>) -> Self {
        let table = Self::default();
        for car in cars {
            for (block, cid) in car.cids().iter().enumerate() {
                table.add(cid.hash(), exact(car, block));
            }
        }
        table
    }

    pub(crate) fn add(&self, multihash: &Multihash<64>, place: CarPlace) {
        let mut places = self.places.lock().unwrap();
        match places.entry(multihash.to_bytes()).or_insert_with(|| at([])) {
            Located::At { places, .. } => places.push(place),
            other => *other = at([place]),
        }
    }

    pub(crate) fn say(&self, multihash: &Multihash<64>, located: Located) {
        self.places.lock().unwrap().insert(multihash.to_bytes(), located);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Locator for Table {
    fn locate(
        &self,
        multihashes: Vec<Multihash<64>>,
        account: Account,
    ) -> BoxFuture<'static, Result<Vec<Located>, NotLocated>> {
        assert!((1..=MAX_ASKED).contains(&multihashes.len()));
        self.asked.fetch_add(multihashes.len(), Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        let places = self.places.lock().unwrap();
        let said = |hash: &Multihash<64>| places.get(&hash.to_bytes()).cloned().unwrap_or(Located::Missing);
        let located: Vec<Located> = match self.fails.load(Ordering::Relaxed) {
            true => vec![Located::Unknown; multihashes.len()],
            false => multihashes.iter().map(said).collect(),
        };
        let none = self.none.load(Ordering::Relaxed);
        async move {
            drop(account.request(Kind::Read).await?);
            tokio::task::yield_now().await;
            if none { Err(NotLocated::NoIndex) } else { Ok(located) }
        }
        .boxed()
    }
}
