//! Where the wanted blocks are: in the CARs that the peer was reading, or in those that a listing names.

use std::sync::Arc;
use std::task::{Context, Poll};

use cid::Cid;
use futures_util::{FutureExt, StreamExt};

use super::search::{Asked, Outcome, Searched, search};
use super::{Entry, Found, Listed, Next, Reader, Stage, Want};
use crate::library::{Failure, Listing};
use crate::plan::Place;
use crate::satnav;

/// So many places may turn out not to have a block before it is given up.
const MAX_BAD: usize = 32;

impl Reader {
    /// Goes on looking up, and says whether anything came of it.
    pub(super) fn poll_lookups(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if let Some(search) = &mut self.search
            && let Poll::Ready(outcome) = search.poll_unpin(cx)
        {
            self.search = None;
            self.searched(outcome);
            moved = true;
        }
        if self.spent.is_none() {
            moved |= self.look_up();
        }
        moved |= self.poll_locating(cx);
        if self.spent.is_none() {
            moved |= self.locate_strays();
        }
        while let Poll::Ready(Some(listed)) = self.listings.poll_next_unpin(cx) {
            self.named.push_back(listed);
        }
        // One listing after another: its CARs are searched before those of the next one push them out.
        if self.fresh.is_empty()
            && self.search.is_none()
            && self.locating.is_none()
            && let Some(listed) = self.named.pop_front()
        {
            self.listed(listed);
            moved = true;
        }
        if self.spent.is_none() {
            moved |= self.list_strays();
        }
        moved
    }

    /// Looks the fresh wants up in the indexes that are in memory, and starts a search for what that does not settle.
    fn look_up(&mut self) -> bool {
        if self.fresh.is_empty() || self.search.is_some() {
            return false;
        }
        let fresh = std::mem::take(&mut self.fresh);
        let upto = self.cars.now();
        let from = fresh.iter().filter_map(|key| self.wants.get(key)).map(Entry::search_from).min().unwrap_or(upto);
        let known: Vec<_> = self
            .cars
            .known()
            .filter(|(_, cid, since)| *since >= from && !self.library.is_no_place(cid))
            .map(|(number, cid, since)| (Searched { number, cid, since }, self.library.cached_index(&cid)))
            .collect();
        let mut asked = Vec::new();
        let mut looks = 0;
        for key in fresh {
            let Some(entry) = self.wants.get_mut(&key).filter(|entry| entry.stage == Stage::Fresh) else { continue };
            let (bad, from) = (entry.bad.clone(), entry.search_from());
            let want = Asked { key, multihash: *entry.cid.hash(), from, last: entry.is_last(), bad };
            let mut settled = true;
            let place = known.iter().filter(|(car, _)| car.since >= from).find_map(|(car, index)| {
                let index = index.as_ref().filter(|index| !want.last || index.is_sure());
                let found = index.and_then(|index| index.locate_now(&want.multihash));
                settled &= found.is_some();
                looks += usize::from(found.is_some());
                Some((car.number, want.choose(car.number, &found?)?))
            });
            match place {
                Some((number, found)) => self.place(key, number, found),
                None if settled => self.absent(key, upto, false),
                None => {
                    entry.stage = Stage::Searching;
                    asked.push(want);
                }
            }
        }
        self.library.count_look_ups(looks);
        if !asked.is_empty() {
            let cars = known.into_iter().map(|(car, _)| car).collect();
            self.search = Some(search(Arc::clone(&self.library), self.account.clone(), cars, upto, asked).boxed());
        }
        true
    }

    fn searched(&mut self, outcome: Outcome) {
        outcome.gone.iter().for_each(|number| self.cars.forget_unindexed(*number));
        // A want may have been cancelled since, and another one pushed under its key.
        let searching =
            |reader: &Self, key: &u64| reader.wants.get(key).is_some_and(|entry| entry.stage == Stage::Searching);
        for (key, number, found) in outcome.found {
            if searching(self, &key) {
                self.place(key, number, found);
            }
        }
        for (keys, doubt) in [(outcome.absent, false), (outcome.doubtful, true)] {
            for key in keys {
                if searching(self, &key) {
                    self.absent(key, outcome.upto, doubt);
                }
            }
        }
        for key in outcome.unfinished {
            if searching(self, &key) {
                self.look_up_again(key);
            }
        }
        if outcome.spent.is_some() {
            self.note_spent();
        }
    }

    /// A want was found in an index, which does not say how long it is but only where the next one begins.
    pub(super) fn place(&mut self, key: u64, number: u32, found: satnav::Found) {
        let Some(entry) = self.wants.get(&key) else { return };
        // What one listing named and another want needs shows that the wants belong together.
        if !entry.is_listed() {
            self.lonely = 0;
        }
        self.place_sized(key, number, found, None);
    }

    /// A want was found: it is answered at once if that is all it asks, or else planned. `size` is the block's, if it is
    /// known.
    pub(super) fn place_sized(&mut self, key: u64, number: u32, found: satnav::Found, size: Option<u64>) {
        let Some(car) = self.cars.get(number) else { return self.look_up_again(key) };
        let extent = self.library.cached_index(&car.cid).and_then(|index| index.extent());
        // Behind the last section is nothing that would be read for nothing.
        let expected = if extent == Some(found.offset) { satnav::MAX_SECTION } else { car.expected };
        let Some(entry) = self.wants.get_mut(&key) else { return };
        self.cars.helped(number);
        let place = Place { car: number, offset: found.offset };
        let longest = found.offset.saturating_add(satnav::MAX_SECTION);
        if let Want::Have { inline_limit } = entry.want {
            // The head of the section is its length and most likely the same CID.
            let head = 2 + entry.cid.encoded_len() as u64;
            let about = || found.next.map_or(u64::MAX, |next| next.saturating_sub(found.offset).saturating_sub(head));
            let size = size.unwrap_or_else(about);
            if size > inline_limit as u64 {
                return self.answer(key, Found::Have { size });
            }
        }
        (entry.stage, entry.bare) = (Stage::At(place), false);
        let end = found.next.unwrap_or(found.offset.saturating_add(expected)).min(longest);
        self.plan.insert(place, end.max(found.offset.saturating_add(1)), key);
        if self.window.contains(place) {
            self.hits.push_back(place);
        }
    }

    /// The same for a want whose own bytes lie there, so many.
    pub(super) fn place_bare(&mut self, key: u64, place: Place, length: u32) {
        let Some(entry) = self.wants.get_mut(&key) else { return };
        self.cars.helped(place.car);
        let size = u64::from(length);
        if let Want::Have { inline_limit } = entry.want
            && size > inline_limit as u64
        {
            return self.answer(key, Found::Have { size });
        }
        (entry.stage, entry.bare) = (Stage::At(place), true);
        self.plan.insert_bare(place, place.offset.saturating_add(size), key);
    }

    /// A want is in none of the CARs that came to be known before `upto`.
    pub(super) fn absent(&mut self, key: u64, upto: u32, doubt: bool) {
        let locators = &self.library.locators;
        let Some(entry) = self.wants.get_mut(&key) else { return };
        entry.doubt |= doubt;
        entry.searched = upto;
        if entry.next == Next::Runs && locators.runs.is_none() {
            entry.next = Next::Listing;
        }
        let found = match entry.next {
            _ if entry.bad.len() >= MAX_BAD => Found::Unknown,
            Next::Listing => {
                entry.stage = Stage::Stray;
                return self.strays.push_back(key);
            }
            Next::Other(number) if number >= locators.others.len() => entry.conclusion(),
            Next::Runs | Next::Other(_) => {
                entry.stage = Stage::Stray;
                return self.unlocated.push_back(key);
            }
        };
        self.answer(key, found);
    }

    /// Makes listings for wants that are in no known CAR, as many as may be made at a time.
    fn list_strays(&mut self) -> bool {
        let mut moved = false;
        let vain = self.is_vain();
        // The first want is most likely the root, and what its listing names holds the others. Where they turn out to be
        // roots of their own, or nothing, there is no reason to wait for one another.
        let at_once = self.library.config.listings.min(1 + (self.vain.count.saturating_add(self.lonely)) as usize);
        while self.listings.len() + self.named.len() < at_once
            && self.fresh.is_empty()
            && self.search.is_none()
            && self.locating.is_none()
            && self.unlocated.is_empty()
            && let Some(key) = self.strays.pop_front()
        {
            let Some(entry) = self.wants.get_mut(&key).filter(|entry| entry.stage == Stage::Stray) else { continue };
            moved = true;
            let cid = entry.cid;
            if let Some(listing) = self.library.cached_listing(&cid) {
                self.found_listing(key, &listing);
            } else if vain {
                self.answer(key, Found::Unknown);
            } else {
                entry.stage = Stage::Listing;
                let (library, account) = (Arc::clone(&self.library), self.account.clone());
                self.listings.push(async move { (key, cid, library.cars_of(&cid, &account).await) }.boxed());
            }
        }
        moved
    }

    /// Whether so many listings found nothing of late that another one is not to be made.
    fn is_vain(&mut self) -> bool {
        let now = self.library.now();
        if now.saturating_sub(self.vain.since) >= self.library.config.listing_life {
            self.vain.count = 0;
        }
        self.vain.count >= self.library.config.vain_listings
    }

    fn listed(&mut self, (key, cid, listing): Listed) {
        let asks = |cid: &Cid, entry: &Entry| entry.stage == Stage::Listing && entry.cid == *cid;
        let Some(entry) = self.wants.get_mut(&key).filter(|entry| asks(&cid, entry)) else { return };
        match listing {
            Ok(listing) => {
                if listing.cars.is_empty() {
                    if self.vain.count == 0 {
                        self.vain.since = self.library.now();
                    }
                    self.vain.count += 1;
                }
                self.found_listing(key, &listing);
            }
            Err(Failure::Spent(_)) => {
                entry.stage = Stage::Stray;
                self.strays.push_front(key);
                self.note_spent();
            }
            Err(failure) => {
                let key_of_root = crate::layout::entries(&cid);
                self.library.fault(&key_of_root, &failure);
                self.answer(key, Found::Unknown);
            }
        }
    }

    fn found_listing(&mut self, key: u64, listing: &Listing) {
        let Some(entry) = self.wants.get_mut(&key) else { return };
        entry.next = Next::Other(0);
        entry.doubt |= listing.more;
        let there = listing.cars.iter().filter(|car| !self.library.is_no_place(car)).copied();
        let new = self.cars.add(there);
        // Even where it named nothing: another want's listing may have found the CAR meanwhile.
        self.look_up_again(key);
        if new {
            self.vain.count = 0;
            self.lonely = self.lonely.saturating_add(1);
            self.sweep_cars();
            self.look_strays_up();
        }
    }
}
