//! Sections that were read ahead of the wants, kept until they are wanted.

use std::collections::{BTreeMap, VecDeque};

use crate::cut::Section;
use crate::ledger::{Account, Held};
use crate::plan::Place;

/// Memory is reserved in pieces of this many bytes.
const PIECE: usize = 64 << 10;

/// A bounded number of bytes, and one block more: whether there is room is asked before a block's length is known.
pub(super) struct Window {
    account: Account,
    limit: usize,
    sections: BTreeMap<Place, Section>,
    /// In the order of arrival; some may have been taken.
    order: VecDeque<Place>,
    bytes: usize,
    held: Vec<Held>,
}

impl Window {
    pub(super) fn new(account: Account, limit: usize) -> Self {
        Self { account, limit, sections: BTreeMap::new(), order: VecDeque::new(), bytes: 0, held: Vec::new() }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Whether another section may be kept. Its memory is reserved then.
    pub(super) fn has_room(&mut self) -> bool {
        while self.bytes < self.limit {
            if self.held.len() * PIECE > self.bytes {
                return true;
            }
            match self.account.reserve(PIECE) {
                Some(held) => self.held.push(held),
                None => return false,
            }
        }
        false
    }

    /// Keeps a section; the oldest make room for it. It is dropped if there is none even so.
    pub(super) fn push(&mut self, place: Place, section: Section) {
        while !self.has_room() {
            match self.order.pop_front() {
                Some(oldest) => drop(self.take(oldest)),
                None => return,
            }
        }
        // What it costs beside its data keeps a window of empty blocks from being endless.
        self.bytes += section.data.len() + size_of::<Section>();
        self.order.push_back(place);
        if let Some(old) = self.sections.insert(place, section) {
            self.bytes -= old.data.len() + size_of::<Section>();
        }
    }

    pub(super) fn contains(&self, place: Place) -> bool {
        self.sections.contains_key(&place)
    }

    pub(super) fn take(&mut self, place: Place) -> Option<Section> {
        let section = self.sections.remove(&place)?;
        self.bytes -= section.data.len() + size_of::<Section>();
        self.held.truncate(self.bytes / PIECE + 1);
        if self.order.len() > 2 * self.sections.len() + 16 {
            self.order.retain(|place| self.sections.contains_key(place));
        }
        Some(section)
    }

    pub(super) fn clear(&mut self) {
        self.sections.clear();
        self.order.clear();
        self.held.clear();
        self.bytes = 0;
    }
}
