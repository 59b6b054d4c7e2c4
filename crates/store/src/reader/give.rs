//! Blocks given out once they are checked; and what becomes of the wants whose read brought something else, or nothing.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use hoverboard_car::{Options, SectionHead, SectionOffset};

use super::{Found, Next, Reader, Want};
use crate::cut::Section;
use crate::layout;
use crate::ledger::Work;
use crate::library::{Failure, Whole};
use crate::plan::Place;

/// So often what is read may be something else than the block, before its place is given up: the transfer may be at
/// fault once.
const WRONG: u32 = 2;

impl Reader {
    /// Gives out a section that was read before it was wanted.
    pub(super) fn give_hit(&mut self) -> bool {
        let Some(place) = self.hits.pop_front() else { return false };
        if let Some(section) = self.window.take(place) {
            self.give(place, section);
        }
        true
    }

    /// Gives out a block of a CAR that is in memory.
    pub(super) fn give_from_whole(&mut self) -> bool {
        let Some((number, whole)) = self.whole.last() else { return false };
        let (number, whole) = (*number, Arc::clone(whole));
        match self.plan.first_in(number, 0..u64::MAX) {
            None => drop(self.whole.pop()),
            Some(offset) => {
                let place = Place { car: number, offset };
                match self.plan.bare_end(place) {
                    Some(end) => match bytes_of(&whole, offset..end) {
                        Ok(data) => self.give_bare(place, data),
                        Err(what) => self.is_broken(place, &what),
                    },
                    None => match section_of(&whole, offset) {
                        Ok(section) => self.give(place, section),
                        Err(what) => self.is_broken(place, &what),
                    },
                }
            }
        }
        true
    }

    /// Gives out a section to all who want it, if it is what they want.
    pub(super) fn give(&mut self, place: Place, section: Section) {
        let keys = self.plan.take(place);
        let (right, other): (Vec<u64>, Vec<u64>) = keys
            .into_iter()
            .filter(|key| self.wants.contains_key(key))
            .partition(|key| self.wants.get(key).is_some_and(|entry| entry.cid.hash() == section.cid.hash()));
        if !other.is_empty() {
            self.is_wrong(place, section.end, other, &format!("{} is there, where its index has another", section.cid));
        }
        if right.is_empty() {
            return;
        }
        self.account.charge(&Work { hashed: section.data.len() as u64, ..Work::default() });
        let verified = hoverboard_dag::verify_with(&*self.library.config.sha256, &section.cid, &section.data);
        if let Err(error) = verified {
            return self.is_wrong(place, section.end, right, &format!("{}: {error}", section.cid));
        }
        if let Some(car) = self.cars.get_mut(place.car) {
            car.expected = car.expected.max(section.end - section.offset);
        }
        self.plan.served(place, section.end - section.offset);
        right.into_iter().for_each(|key| self.hand_out(key, &section.data));
    }

    /// Gives out a block that was read by itself to all who want it, if it is what they want: only the hash tells.
    pub(super) fn give_bare(&mut self, place: Place, data: Bytes) {
        let end = place.offset + data.len() as u64;
        let mut wrong = Vec::new();
        for key in self.plan.take(place) {
            let Some(cid) = self.wants.get(&key).map(|entry| entry.cid) else { continue };
            if self.is_block(&cid, &data) { self.hand_out(key, &data) } else { wrong.push(key) }
        }
        if wrong.is_empty() {
            self.plan.served(place, data.len() as u64);
        } else {
            self.is_wrong(place, end, wrong, "it is not the block that is said to be there");
        }
    }

    /// Whether these are the bytes of a block.
    pub(super) fn is_block(&self, cid: &Cid, data: &[u8]) -> bool {
        self.account.charge(&Work { hashed: data.len() as u64, ..Work::default() });
        hoverboard_dag::verify_with(&*self.library.config.sha256, cid, data).is_ok()
    }

    /// Answers a want, which is in no plan any more, by a block that was checked.
    pub(super) fn hand_out(&mut self, key: u64, data: &Bytes) {
        let Some(want) = self.wants.get(&key).map(|entry| entry.want) else { return };
        let found = match want {
            Want::Have { inline_limit } if data.len() > inline_limit => Found::Have { size: data.len() as u64 },
            _ => Found::Block(data.clone()),
        };
        self.answer(key, found);
    }

    /// What was read at a place is not what these wants, which are not in the plan, want there. It is read once more,
    /// and then the place is given up.
    fn is_wrong(&mut self, place: Place, end: u64, keys: Vec<u64>, what: &str) {
        let Some(cid) = self.cars.get(place.car).map(|car| car.cid) else { return };
        self.library.fault(&layout::car(&cid), &format_args!("at byte {}: {what}", place.offset));
        self.whole.retain(|(number, _)| *number != place.car);
        self.library.forget_whole(&cid);
        for key in keys {
            let Some(entry) = self.wants.get_mut(&key) else { continue };
            entry.wrong += 1;
            if entry.wrong < WRONG {
                match entry.bare {
                    true => self.plan.insert_bare(place, end, key),
                    false => self.plan.insert(place, end, key),
                }
            } else {
                entry.bad.push(place);
                self.look_up_again(key);
            }
        }
    }

    /// There is no section at a place, or not a whole one.
    pub(super) fn is_broken(&mut self, place: Place, what: &str) {
        let end = self.plan.bare_end(place).unwrap_or(place.offset.saturating_add(1));
        let keys = self.plan.take(place);
        self.is_wrong(place, end, keys, what);
    }

    /// A read of these places of a CAR brought nothing.
    pub(super) fn failed(&mut self, number: u32, places: Vec<Place>, failure: &Failure) {
        let Some(car) = self.cars.get_mut(number) else { return };
        let retry = self.library.config.retry;
        match failure {
            Failure::Spent(_) => self.note_spent(),
            Failure::Gone => {
                self.cars.forget(number);
                let places: Vec<Place> = self.plan.all_in(number, 0..u64::MAX).collect();
                let keys: Vec<u64> = places.into_iter().flat_map(|place| self.plan.take(place)).collect();
                for key in keys {
                    if let Some(entry) = self.wants.get_mut(&key) {
                        // Whether there is another CAR is to be asked anew.
                        entry.next = Next::Runs;
                    }
                    self.look_up_again(key);
                }
            }
            Failure::Wrong(what) => {
                let key = layout::car(&car.cid);
                self.library.fault(&key, what);
                places.into_iter().take(1).for_each(|place| self.give_up(place));
            }
            Failure::Failed(_) | Failure::Replaced | Failure::NoRoom => {
                car.failures += 1;
                car.wait = Some(self.library.config.timer.sleep(retry.wait(car.failures)));
                places.into_iter().for_each(|place| self.count_try(place));
            }
        }
    }

    /// The last read of a place did not bring what is there, and the next one may.
    pub(super) fn count_try(&mut self, place: Place) {
        let mut over = false;
        for key in self.plan.keys_at(place) {
            if let Some(entry) = self.wants.get_mut(&key) {
                entry.tries += 1;
                over |= entry.tries >= self.library.config.retry.tries;
            }
        }
        if over {
            self.give_up(place);
        }
    }

    /// Looks elsewhere for what should be at a place.
    fn give_up(&mut self, place: Place) {
        for key in self.plan.keys_at(place) {
            if let Some(entry) = self.wants.get_mut(&key) {
                entry.bad.push(place);
            }
            self.look_up_again(key);
        }
    }
}

/// The section at a place of a CAR that is in memory. Its data is copied, so that it does not keep the CAR there.
fn section_of(whole: &Whole, offset: u64) -> Result<Section, String> {
    let short = || format!("it ends at byte {}, within the section at {offset}", whole.bytes.len());
    let rest = usize::try_from(offset).ok().and_then(|offset| whole.bytes.get(offset..)).ok_or_else(short)?;
    let head = SectionHead::parse(rest, SectionOffset(offset), 0, &Options::default());
    let head = head.map_err(|error| error.to_string())?.ok_or_else(short)?;
    let end = usize::try_from(head.section_len()).map_err(|_| short())?;
    let data = rest.get(head.head_len() as usize..end).ok_or_else(short)?;
    Ok(Section { offset, cid: head.cid, data: Bytes::copy_from_slice(data), end: head.end().0 })
}

/// Bytes of a CAR that is in memory, copied for the same reason.
fn bytes_of(whole: &Whole, range: Range<u64>) -> Result<Bytes, String> {
    let short = || format!("it ends at byte {}, within the block at {}", whole.bytes.len(), range.start);
    let start = usize::try_from(range.start).map_err(|_| short())?;
    let end = usize::try_from(range.end).map_err(|_| short())?;
    whole.bytes.get(start..end).map(Bytes::copy_from_slice).ok_or_else(short)
}
