//! Where the wanted blocks are: in the CARs that the peer was reading, or in those that a listing names.

use std::sync::Arc;
use std::task::{Context, Poll};

use cid::Cid;
use futures_util::{FutureExt, StreamExt};

use super::search::{Asked, Outcome, search};
use super::{Found, Listed, Reader, Stage, Want};
use crate::library::{Failure, Listing};
use crate::plan::Place;
use crate::satnav;

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
        while let Poll::Ready(Some(listed)) = self.listings.poll_next_unpin(cx) {
            self.named.push_back(listed);
        }
        // One listing after another: its CARs are searched before those of the next one push them out.
        if self.fresh.is_empty()
            && self.search.is_none()
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
        let known: Vec<_> = self
            .cars
            .known()
            .filter(|(_, car)| !self.library.is_gone(car))
            .map(|(number, car)| (number, car, self.library.cached_index(&car)))
            .collect();
        let mut asked = Vec::new();
        for key in fresh {
            let Some(entry) = self.wants.get_mut(&key).filter(|entry| entry.stage == Stage::Fresh) else { continue };
            let bad = entry.bad.clone();
            let want = Asked { key, multihash: *entry.cid.hash(), last: entry.listed || !bad.is_empty(), bad };
            let mut settled = true;
            let place = known.iter().find_map(|(number, _, index)| {
                let index = index.as_ref().filter(|index| !want.last || index.is_sure());
                let found = index.and_then(|index| index.locate_now(&want.multihash));
                settled &= found.is_some();
                Some((*number, want.choose(*number, &found?)?))
            });
            match place {
                Some((number, found)) => self.place(key, number, found),
                None if settled => self.absent(key, false),
                None => {
                    entry.stage = Stage::Searching;
                    asked.push(want);
                }
            }
        }
        if !asked.is_empty() {
            let cars = known.into_iter().map(|(number, car, _)| (number, car)).collect();
            self.search = Some(search(Arc::clone(&self.library), self.account.clone(), cars, asked).boxed());
        }
        true
    }

    fn searched(&mut self, outcome: Outcome) {
        outcome.gone.iter().for_each(|number| self.cars.forget(*number));
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
                    self.absent(key, doubt);
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

    /// A want was found: it is answered at once if that is all it asks, or else planned.
    fn place(&mut self, key: u64, number: u32, found: satnav::Found) {
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
            let size = found.next.map_or(u64::MAX, |next| (next - found.offset).saturating_sub(head));
            if size > inline_limit as u64 {
                return self.answer(key, Found::Have { size });
            }
        }
        entry.stage = Stage::At(place);
        let end = found.next.unwrap_or(found.offset.saturating_add(expected)).min(longest);
        self.plan.insert(place, end.max(found.offset.saturating_add(1)), key);
        if self.window.contains(place) {
            self.hits.push_back(place);
        }
    }

    /// A want is in none of the CARs that are known.
    fn absent(&mut self, key: u64, doubt: bool) {
        let Some(entry) = self.wants.get_mut(&key) else { return };
        entry.doubt |= doubt;
        if !entry.listed {
            entry.stage = Stage::Stray;
            self.strays.push_back(key);
            return;
        }
        let found = match entry.doubt || !entry.bad.is_empty() {
            true => Found::Unknown,
            false => Found::Missing,
        };
        self.answer(key, found);
    }

    /// Makes listings for wants that are in no known CAR, as many as may be made at a time.
    fn list_strays(&mut self) -> bool {
        let mut moved = false;
        let vain = self.is_vain();
        // The first want is most likely the root, and what its listing names holds the others.
        let at_once = self.library.config.listings.min(1 + self.vain.count as usize);
        while self.listings.len() + self.named.len() < at_once
            && self.fresh.is_empty()
            && self.search.is_none()
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
        let asks = |cid: &Cid, entry: &super::Entry| entry.stage == Stage::Listing && entry.cid == *cid;
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
        entry.listed = true;
        entry.doubt |= listing.more;
        let there = listing.cars.iter().filter(|car| !self.library.is_gone(car)).copied();
        let new = self.cars.add(there);
        // Even where it named nothing: another want's listing may have found the CAR meanwhile.
        self.look_up_again(key);
        if !new {
            return;
        }
        self.vain.count = 0;
        let plan = &self.plan;
        self.cars.sweep(|number| plan.first_in(number, 0..u64::MAX).is_some());
        // What else was looked for in vain may be in the same CARs.
        let strays = std::mem::take(&mut self.strays);
        for key in strays {
            if self.wants.get(&key).is_some_and(|entry| entry.stage == Stage::Stray) {
                self.look_up_again(key);
            }
        }
    }
}
