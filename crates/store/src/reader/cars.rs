//! The CARs that one reader knows, under the numbers that its plan has for them.

use std::collections::{BTreeMap, VecDeque};

use futures_util::future::BoxFuture;

use crate::CarCid;
use crate::memory::MAX_CARS;

/// What a section is taken to be long before one of its CAR was seen, in bytes.
const EXPECTED: u64 = 64 << 10;

/// A CAR that blocks were found in, or may be.
pub(super) struct Car {
    pub(super) cid: CarCid,
    /// The longest section seen: what a section is taken to be where the index does not say.
    pub(super) expected: u64,
    /// Reads of it that were begun.
    pub(super) reads: u32,
    /// It is not to be read whole: it is too long, or there was no room.
    pub(super) streamed: bool,
    /// Reads that failed, one after another.
    pub(super) failures: u32,
    /// It is left alone until this is over.
    pub(super) wait: Option<BoxFuture<'static, ()>>,
}

/// The CARs where this peer's blocks are looked up, the one that helped last first; and those that are no longer
/// among them but still have wants.
pub(super) struct Cars {
    known: VecDeque<u32>,
    all: BTreeMap<u32, Car>,
    next: u32,
    changed: bool,
}

impl Cars {
    pub(super) fn new(remembered: Vec<CarCid>) -> Self {
        let mut cars = Self { known: VecDeque::new(), all: BTreeMap::new(), next: 0, changed: false };
        cars.add(remembered);
        cars.changed = false;
        cars
    }

    /// Adds those that are not known yet, and says whether there was one. The oldest make room.
    pub(super) fn add(&mut self, cars: impl IntoIterator<Item = CarCid>) -> bool {
        let mut added = Vec::new();
        for cid in cars {
            if added.len() < MAX_CARS && self.known.iter().all(|number| self.all[number].cid != cid) {
                let car = Car { cid, expected: EXPECTED, reads: 0, streamed: false, failures: 0, wait: None };
                self.all.insert(self.next, car);
                added.push(self.next);
                self.next += 1;
            }
        }
        added.iter().rev().for_each(|number| self.known.push_front(*number));
        self.known.truncate(MAX_CARS);
        self.changed |= !added.is_empty();
        !added.is_empty()
    }

    /// A block was found in it: look there first.
    pub(super) fn helped(&mut self, number: u32) {
        if self.known.front() != Some(&number)
            && let Some(place) = self.known.iter().position(|other| *other == number)
        {
            self.known.remove(place);
            self.known.push_front(number);
        }
    }

    /// It is gone from the bucket.
    pub(super) fn forget(&mut self, number: u32) {
        let before = self.known.len();
        self.known.retain(|other| *other != number);
        self.changed |= self.known.len() < before;
    }

    /// Drops those that are not known any more and of which nothing is wanted.
    pub(super) fn sweep(&mut self, wanted: impl Fn(u32) -> bool) {
        if self.all.len() > 2 * MAX_CARS {
            let known = &self.known;
            self.all.retain(|number, _| known.contains(number) || wanted(*number));
        }
    }

    pub(super) fn known(&self) -> impl Iterator<Item = (u32, CarCid)> {
        self.known.iter().map(|number| (*number, self.all[number].cid))
    }

    pub(super) fn get(&self, number: u32) -> Option<&Car> {
        self.all.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Car> {
        self.all.get_mut(&number)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (u32, &mut Car)> {
        self.all.iter_mut().map(|(number, car)| (*number, car))
    }

    pub(super) fn cids(&self) -> impl Iterator<Item = &CarCid> {
        self.known.iter().map(|number| &self.all[number].cid)
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}
