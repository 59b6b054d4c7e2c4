//! The CARs that one reader knows, under the numbers that its plan has for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::future::BoxFuture;

use crate::CarCid;
use crate::memory::MAX_CARS;

/// What a section is taken to be long before one of its CAR was seen, in bytes.
const EXPECTED: u64 = 64 << 10;

/// A CAR that blocks were found in, or may be.
pub(super) struct Car {
    pub(super) cid: CarCid,
    /// When it came to be among those that are known: all that did so later have higher numbers.
    since: u32,
    /// Blocks that a locator found in it.
    named: u32,
    /// It has no index.
    unindexed: bool,
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
    /// What the next one that is known will have for [`Car::since`].
    next_since: u32,
    changed: bool,
}

impl Cars {
    pub(super) fn new(remembered: Vec<CarCid>) -> Self {
        let (known, all) = (VecDeque::new(), BTreeMap::new());
        let mut cars = Self { known, all, next: 0, next_since: 0, changed: false };
        cars.add(remembered);
        cars.changed = false;
        cars
    }

    /// Adds those that are not known yet, and says whether there was one. The oldest make room.
    pub(super) fn add(&mut self, cars: impl IntoIterator<Item = CarCid>) -> bool {
        let mut added = Vec::new();
        for cid in cars {
            if added.len() == MAX_CARS {
                break;
            }
            let number = self.number_of(cid);
            if let Some(car) = self.all.get_mut(&number)
                && !self.known.contains(&number)
                && !added.contains(&number)
            {
                car.since = self.next_since;
                self.next_since += 1;
                added.push(number);
            }
        }
        added.iter().rev().for_each(|number| self.known.push_front(*number));
        self.known.truncate(MAX_CARS);
        self.changed |= !added.is_empty();
        !added.is_empty()
    }

    /// The number of a CAR, whether it is known or only read from.
    pub(super) fn number_of(&mut self, cid: CarCid) -> u32 {
        if let Some((number, _)) = self.all.iter().find(|(_, car)| car.cid == cid) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        let car = Car {
            cid,
            since: 0,
            named: 0,
            unindexed: false,
            expected: EXPECTED,
            reads: 0,
            streamed: false,
            failures: 0,
            wait: None,
        };
        self.all.insert(number, car);
        number
    }

    /// A locator found a block in it. One that holds two is worth its index: it is known from then on, which is what is
    /// returned.
    pub(super) fn named(&mut self, number: u32) -> bool {
        let Some(car) = self.all.get_mut(&number) else { return false };
        car.named = car.named.saturating_add(1);
        let cid = car.cid;
        car.named >= 2 && !car.unindexed && self.add([cid])
    }

    /// It has no index, although it may be there itself.
    pub(super) fn forget_unindexed(&mut self, number: u32) {
        if let Some(car) = self.all.get_mut(&number) {
            car.unindexed = true;
        }
        self.forget(number);
    }

    /// All that are known from now on will have this for their [`Car::since`], or more.
    pub(super) fn now(&self) -> u32 {
        self.next_since
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

    /// Whether there are so many that those are to be dropped that nobody needs.
    pub(super) fn is_crowded(&self) -> bool {
        self.all.len() > 2 * MAX_CARS
    }

    /// Drops those that are neither known nor needed.
    pub(super) fn sweep(&mut self, needed: &BTreeSet<u32>) {
        let known = &self.known;
        self.all.retain(|number, _| known.contains(number) || needed.contains(number));
    }

    /// Those that are known, each with when it came to be so.
    pub(super) fn known(&self) -> impl Iterator<Item = (u32, CarCid, u32)> {
        self.known.iter().map(|number| {
            let car = &self.all[number];
            (*number, car.cid, car.since)
        })
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
