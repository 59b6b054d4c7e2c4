//! Wants that are in none of the peer's CARs, looked up by the [locators](crate::library::Locators).
//!
//! The first want is most likely a root, so it is looked up alone: the next one shows whether its DAG lies in the same
//! CAR. A CAR that was named twice is known from then on, and the rest is looked up in its index; so a DAG costs a page or
//! two and then memory. Wants that lie scattered are looked up together, and cost no more than their pages.

use std::collections::BTreeSet;
use std::task::{Context, Poll};

use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_index::Extent;

use super::{Next, Reader, Stage};
use crate::library::{CarPlace, Located, MAX_ASKED, MAX_PLACES, NotLocated};
use crate::plan::Place;
use crate::satnav::{Found, MAX_SECTION};

/// A look-up under way.
pub(super) type Locating = BoxFuture<'static, Answers>;

/// What one locator said of some wants.
pub(super) struct Answers {
    asked: Next,
    keys: Vec<(u64, Cid)>,
    located: Result<Vec<Located>, NotLocated>,
}

/// How what was looked up of late lies in the bucket.
#[derive(Default)]
pub(super) struct Spread {
    /// The CAR of the last one that was found.
    last: Option<u32>,
    /// They lie in several, or nowhere.
    scattered: bool,
}

impl Spread {
    fn found(&mut self, car: Option<u32>) {
        self.scattered |= car.is_none() || (self.last.is_some() && self.last != car);
        self.last = car.or(self.last);
    }
}

impl Reader {
    /// Waits for what is being looked up, and says whether it came.
    pub(super) fn poll_locating(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(locating) = &mut self.locating else { return false };
        let Poll::Ready(answers) = locating.poll_unpin(cx) else { return false };
        self.locating = None;
        self.located(answers);
        true
    }

    /// Has wants looked up that are in no known CAR, and says whether there were any.
    pub(super) fn locate_strays(&mut self) -> bool {
        if self.locating.is_some() || self.search.is_some() || !self.fresh.is_empty() {
            return false;
        }
        let at_once = if self.spread.scattered { MAX_ASKED } else { 1 };
        let mut keys: Vec<(u64, Cid)> = Vec::new();
        let mut asked = Next::Runs;
        while keys.len() < at_once
            && let Some(key) = self.unlocated.front().copied()
        {
            let entry = self.wants.get_mut(&key).filter(|entry| entry.stage == Stage::Stray);
            if let Some(entry) = entry {
                if !keys.is_empty() && entry.next != asked {
                    break;
                }
                asked = entry.next;
                entry.stage = Stage::Locating;
                keys.push((key, entry.cid));
            }
            self.unlocated.pop_front();
        }
        let locators = &self.library.locators;
        let locator = match asked {
            Next::Other(number) => locators.others.get(number),
            Next::Runs | Next::Listing => locators.runs.as_ref(),
        };
        let Some(locator) = locator.filter(|_| !keys.is_empty()) else {
            self.spread.scattered = false;
            return false;
        };
        let multihashes = keys.iter().map(|(_, cid)| *cid.hash()).collect();
        let locate = locator.locate(multihashes, self.account.clone());
        self.locating = Some(async move { Answers { asked, keys, located: locate.await } }.boxed());
        true
    }

    fn located(&mut self, answers: Answers) {
        let Answers { asked, keys, located } = answers;
        let located = match located {
            Ok(located) => located.into_iter().chain(std::iter::repeat(Located::Unknown)),
            Err(NotLocated::Spent(_)) => {
                for (key, cid) in keys.into_iter().rev() {
                    if self.is_locating(key, &cid) {
                        self.set_stage(key, Stage::Stray);
                        self.unlocated.push_front(key);
                    }
                }
                return self.note_spent();
            }
            Err(NotLocated::NoIndex) => {
                for (key, cid) in keys {
                    if self.is_locating(key, &cid) {
                        self.go_on(key);
                    }
                }
                return;
            }
        };
        let mut promoted = false;
        for ((key, cid), located) in keys.into_iter().zip(located) {
            if !self.is_locating(key, &cid) {
                continue;
            }
            let car = match located {
                Located::At { places, more } => {
                    let car = self.found_at(key, &places, more);
                    // Where all of them are gone, and there are no others, it is missing.
                    if car.is_none() && !more {
                        self.note_indexed(key, asked);
                    }
                    car
                }
                Located::Block(data) => {
                    if self.is_block(&cid, &data) {
                        self.hand_out(key, &data);
                        continue;
                    }
                    self.doubt(key);
                    None
                }
                Located::Missing => {
                    self.note_indexed(key, asked);
                    None
                }
                Located::Unknown => {
                    self.doubt(key);
                    None
                }
            };
            match car {
                Some(number) => promoted |= self.cars.named(number),
                None => self.go_on(key),
            }
            if asked == Next::Runs {
                self.spread.found(car);
            }
        }
        self.sweep_cars();
        if promoted {
            self.spread.scattered = false;
            self.look_strays_up();
        }
    }

    /// Whether a want still waits for what is said of it: it may have been cancelled since, and another one pushed under its
    /// key.
    fn is_locating(&self, key: u64, cid: &Cid) -> bool {
        self.wants.get(&key).is_some_and(|entry| entry.stage == Stage::Locating && entry.cid == *cid)
    }

    /// Plans a want where it should lie, at the first place that is still any good. Returns the CAR.
    fn found_at(&mut self, key: u64, places: &[CarPlace], more: bool) -> Option<u32> {
        for CarPlace { car, extent } in places.iter().take(MAX_PLACES) {
            // A CAR that is gone is a miss as far as it goes.
            if self.library.is_gone(car) {
                continue;
            }
            let number = self.cars.number_of(*car);
            let (offset, length) = match extent {
                Extent::Exact { offset, length, .. } => (offset.0, Some(*length)),
                Extent::Section { offset, at_most } => (offset.0, *at_most),
                Extent::Bytes { offset, length } => (offset.0, Some(*length)),
            };
            let place = Place { car: number, offset };
            let entry = self.wants.get_mut(&key)?;
            // An upper bound may be any; a length must be one.
            let too_long =
                !matches!(extent, Extent::Section { .. }) && length.is_some_and(|len| u64::from(len) > MAX_SECTION);
            if too_long || entry.bad.contains(&place) {
                entry.doubt = true;
                continue;
            }
            let end = length.map(|length| offset.saturating_add(u64::from(length)));
            match extent {
                Extent::Section { .. } => self.place(key, number, Found { offset, next: end }),
                Extent::Exact { .. } => {
                    let size = extent.block().map(|(_, len)| u64::from(len));
                    self.place_sized(key, number, Found { offset, next: end }, size);
                }
                Extent::Bytes { length, .. } => self.place_bare(key, place, *length),
            }
            return Some(number);
        }
        if let Some(entry) = self.wants.get_mut(&key) {
            entry.doubt |= more || places.len() > MAX_PLACES;
        }
        None
    }

    /// One place to look for it was of no use: on to the next.
    fn go_on(&mut self, key: u64) {
        let Some(entry) = self.wants.get_mut(&key) else { return };
        entry.next = match entry.next {
            Next::Runs => Next::Listing,
            Next::Listing => Next::Other(0),
            Next::Other(number) => Next::Other(number + 1),
        };
        let searched = entry.searched;
        self.absent(key, searched, false);
    }

    /// One locator had the last word on a want as far as it goes.
    fn note_indexed(&mut self, key: u64, asked: Next) {
        if let Some(entry) = self.wants.get_mut(&key) {
            entry.indexed |= asked == Next::Runs;
        }
    }

    fn doubt(&mut self, key: u64) {
        if let Some(entry) = self.wants.get_mut(&key) {
            entry.doubt = true;
        }
    }

    fn set_stage(&mut self, key: u64, stage: Stage) {
        if let Some(entry) = self.wants.get_mut(&key) {
            entry.stage = stage;
        }
    }

    /// There are new CARs: what was looked for in vain may be in them.
    pub(super) fn look_strays_up(&mut self) {
        // Those that came to be listed came first.
        let strays: Vec<u64> = self.strays.drain(..).chain(self.unlocated.drain(..)).collect();
        for key in strays {
            if self.wants.get(&key).is_some_and(|entry| entry.stage == Stage::Stray) {
                self.look_up_again(key);
            }
        }
    }

    /// Forgets CARs that are neither known nor wanted, where there are many. One that a want is not to be looked for in
    /// keeps its number.
    pub(super) fn sweep_cars(&mut self) {
        if self.cars.is_crowded() {
            let places = self.wants.values().flat_map(|entry| {
                let at = if let Stage::At(place) = entry.stage { Some(place) } else { None };
                at.into_iter().chain(entry.bad.iter().copied())
            });
            let needed: BTreeSet<u32> = places.map(|place| place.car).chain(self.spread.last).collect();
            self.cars.sweep(&needed);
        }
    }
}
