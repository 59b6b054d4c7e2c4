//! Which places of a block a run keeps, when it has many.
//!
//! The empty directory or a page of zeros lies in every other CAR. Of each block at most four places are kept: one in each of
//! the youngest CARs first, then others in the same CARs. If a CAR drops out entirely, the block's entries say
//! that more exist, and go on saying so through every merge.

use std::iter::Peekable;

use crate::{Entry, Fingerprint, Place, Struck};

/// The most places that a run keeps of one block.
pub const MAX_PLACES: usize = 4;

/// The places of one block, as they come, in any order.
#[derive(Debug, Default)]
struct Kept {
    /// By CAR from the youngest, then by extent from the first.
    places: Vec<Place>,
    more: bool,
}

impl Kept {
    fn clear(&mut self) {
        self.places.clear();
        self.more = false;
    }

    fn add(&mut self, place: Place) {
        if let Some(known) =
            self.places.iter_mut().find(|known| known.car == place.car && known.extent.same(&place.extent))
        {
            // The same place from an index and from the CAR itself: an exact extent comes first in their order.
            known.extent = known.extent.min(place.extent);
            return;
        }
        let order = |place: &Place| (u32::MAX - place.car, place.extent);
        let at = self.places.partition_point(|known| order(known) < order(&place));
        self.places.insert(at, place);
        if self.places.len() > MAX_PLACES {
            self.drop_one();
        }
    }

    /// Drops the oldest CAR's last place, of the CARs that have several; if none has, the oldest CAR.
    fn drop_one(&mut self) {
        let repeated = (1..self.places.len()).rev().find(|&at| self.places[at].car == self.places[at - 1].car);
        match repeated {
            Some(at) => {
                self.places.remove(at);
            }
            None => {
                self.places.pop();
                self.more = true;
            }
        }
    }

    fn entries(&self, fingerprint: Fingerprint) -> impl Iterator<Item = Entry> {
        let more = self.more;
        let nowhere = (self.places.is_empty() && more).then_some(Entry { fingerprint, place: None, more });
        self.places.iter().map(move |place| Entry { fingerprint, place: Some(*place), more }).chain(nowhere)
    }
}

/// Entries sorted by fingerprint, with what need not be kept left out: places in struck CARs, and those over four.
#[derive(Debug)]
pub(crate) struct Condensed<'a, I: Iterator<Item = Entry>> {
    sorted: Peekable<I>,
    struck: &'a Struck,
    kept: Kept,
    /// Entries of the last block, in reverse.
    ready: Vec<Entry>,
}

impl<'a, I: Iterator<Item = Entry>> Condensed<'a, I> {
    pub(crate) fn new(sorted: I, struck: &'a Struck) -> Self {
        Self { sorted: sorted.peekable(), struck, kept: Kept::default(), ready: Vec::with_capacity(MAX_PLACES) }
    }
}

impl<I: Iterator<Item = Entry>> Iterator for Condensed<'_, I> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while self.ready.is_empty() {
            let first = self.sorted.next()?;
            let fingerprint = first.fingerprint;
            self.kept.clear();
            let mut next = Some(first);
            while let Some(entry) = next {
                self.kept.more |= entry.more;
                if let Some(place) = entry.place.filter(|place| !self.struck.contains(place.car)) {
                    self.kept.add(place);
                }
                next = self.sorted.next_if(|entry| entry.fingerprint == fingerprint);
            }
            self.ready.extend(self.kept.entries(fingerprint));
            self.ready.reverse();
        }
        self.ready.pop()
    }
}
