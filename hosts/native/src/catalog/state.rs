//! The CARs served at this moment and the table over them, under one lock that is never held for long.
//!
//! A CAR comes in one shard of the table at a time, and the one it replaces leaves in the same way afterwards: a
//! block that is in both is found at every moment.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use super::car::Car;
use super::table::{Batch, Place, Table};

/// Records hashed at a time: bounds what a huge CAR takes in passing, to some 30 MiB.
const BATCH: usize = 1 << 20;

/// The CARs and the table over them.
#[derive(Debug)]
pub(crate) struct State(RwLock<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    cars: Vec<Option<Arc<Car>>>,
    /// Numbers in `cars` that nothing uses
    free: Vec<usize>,
    table: Table,
}

/// A block's place in a CAR.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) car: Arc<Car>,
    pub(crate) record: u32,
    pub(crate) offset: hoverboard_car::SectionOffset,
}

impl State {
    pub(crate) fn new() -> Self {
        Self(RwLock::new(Inner { cars: Vec::new(), free: Vec::new(), table: Table::new() }))
    }

    /// For any number of lookups at one moment.
    pub(crate) fn lock(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read()
    }

    /// The CARs served now.
    pub(crate) fn cars(&self) -> Vec<Arc<Car>> {
        self.0.read().cars.iter().flatten().cloned().collect()
    }

    /// Serves a CAR.
    pub(crate) fn insert(&self, car: Arc<Car>) {
        let (slot, hasher) = {
            let mut inner = self.0.write();
            let slot = inner.free.pop().unwrap_or_else(|| {
                inner.cars.push(None);
                inner.cars.len() - 1
            });
            inner.cars[slot] = Some(car.clone());
            (slot, inner.table.hasher())
        };
        batches(&hasher, slot, &car, |batch, shard| {
            let mut inner = self.0.write();
            let Inner { cars, table, .. } = &mut *inner;
            table.insert(batch, shard, |place| digest(cars, place));
        });
    }

    /// Serves a CAR no more.
    pub(crate) fn remove(&self, car: &Car) {
        let (slot, hasher) = {
            let inner = self.0.read();
            let Some(slot) =
                inner.cars.iter().position(|other| other.as_ref().is_some_and(|other| other.serial == car.serial))
            else {
                return;
            };
            (slot, inner.table.hasher())
        };
        batches(&hasher, slot, car, |batch, shard| self.0.write().table.remove(batch, shard));
        let mut inner = self.0.write();
        inner.cars[slot] = None;
        inner.free.push(slot);
    }
}

impl Inner {
    /// Where a block may be, best first; nothing if it is in no CAR.
    pub(crate) fn candidates<'a>(&'a self, code: u64, digest: &'a [u8]) -> impl Iterator<Item = Candidate> + 'a {
        let is_it = move |place: Place| self.car(place).is_some_and(|car| car.is(place.record, code, digest));
        self.table.places(digest, is_it).filter_map(|place| Some((self.car(place)?, place.record))).flat_map(
            |(car, record)| car.same(record).map(|(record, offset)| Candidate { car: car.clone(), record, offset }),
        )
    }

    fn car(&self, place: Place) -> Option<&Arc<Car>> {
        self.cars.get(place.car as usize)?.as_ref()
    }
}

fn digest(cars: &[Option<Arc<Car>>], place: Place) -> &[u8] {
    cars.get(place.car as usize).and_then(Option::as_ref).map_or(&[], |car| car.digest(place.record))
}

/// Calls `each` for every shard of every batch of a car's records.
fn batches(hasher: &foldhash::quality::RandomState, slot: usize, car: &Car, mut each: impl FnMut(&Batch, usize)) {
    // A slot over 32 bits would take more memory than there is.
    let slot = u32::try_from(slot).unwrap_or(u32::MAX);
    let mut records = car.distinct().peekable();
    while records.peek().is_some() {
        let batch = Batch::new(hasher, slot, records.by_ref().take(BATCH));
        for shard in batch.shards() {
            each(&batch, shard);
        }
    }
}
