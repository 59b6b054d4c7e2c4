//! One page of a run, checked once and then searched in place.

use bytes::Bytes;

use super::{MAX_OVERFLOW_PAGES, PAGE_ENTRIES, PageAddress, Run};
use crate::entry::{ENTRY_LEN, Encoded, Ordinals, fingerprint};
use crate::page::{self, Kind, PageError, PageFault};
use crate::{Entry, Fingerprint, MAX_PLACES, Place};

/// A page of which every entry is known to be in order and to make sense. It holds its bytes.
#[derive(Clone, Debug)]
pub struct Page {
    bytes: Bytes,
    records: u16,
    overflow: u32,
    /// What the lookup of a block that is not here needs, and what its entries are counted from.
    run: Run,
    address: PageAddress,
}

/// What a run says of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Where it is: youngest CAR first, at most [`MAX_PLACES`].
    pub places: Vec<Place>,
    /// Whether CARs that are not among the places have it too.
    pub more: bool,
}

impl Found {
    /// Whether the run does not have the block at all.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && !self.more
    }

    pub(super) fn add(&mut self, entry: Entry) {
        self.places.extend(entry.place);
        self.more |= entry.more;
    }
}

/// The outcome of a search in one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// What is here. If it is not empty, it is all that the run has of the block.
    pub found: Found,
    /// The overflow page that has the block if the run has it. `None`: what is found here is final.
    pub next: Option<PageAddress>,
}

impl Page {
    /// Checks that `bytes` are the page of `run` that lies at `address`.
    ///
    /// # Errors
    ///
    /// The bytes are not exactly those that were written for this place, or were written by something that is broken.
    pub fn parse(run: &Run, address: PageAddress, bytes: Bytes) -> Result<Self, PageError> {
        let page = Self::open(run, address, bytes).map_err(|fault| fault.at(address.page))?;
        page.check().map_err(|fault| fault.at(address.page))?;
        Ok(page)
    }

    /// Searches for a block. To be asked of the page that [`Run::address`] or [`Lookup::next`] named.
    pub fn lookup(&self, fingerprint: Fingerprint) -> Lookup {
        let found = self.find(fingerprint);
        // The largest went over, and no block is both here and there.
        let next = (self.overflow > 0 && self.last().is_none_or(|last| fingerprint > last))
            .then(|| self.run.shape.overflow_address(fingerprint, self.address.shard, self.overflow));
        Lookup { found, next }
    }

    /// Bytes of memory that it holds, for caches.
    pub fn held_bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    pub(super) fn find(&self, fingerprint: Fingerprint) -> Found {
        let mut found = Found::default();
        let from = self.encoded().partition_point(|entry| crate::entry::fingerprint(entry) < fingerprint);
        let entries = self.encoded()[from..].iter().take_while(|entry| crate::entry::fingerprint(entry) == fingerprint);
        entries.take(MAX_PLACES).filter_map(|entry| self.decode(entry)).for_each(|entry| found.add(entry));
        found
    }

    /// The overflow pages of the shard, if this page overflowed; else 0.
    pub(super) const fn overflow(&self) -> u32 {
        self.overflow
    }

    pub(super) const fn len(&self) -> usize {
        self.records as usize
    }

    pub(super) fn entry(&self, number: usize) -> Option<Entry> {
        self.encoded().get(number).and_then(|entry| self.decode(entry))
    }

    /// The bytes, which were all checked: none fails to decode.
    fn decode(&self, entry: &Encoded) -> Option<Entry> {
        Entry::decode(entry, self.numbering()).ok()
    }

    fn numbering(&self) -> Ordinals {
        self.run.numbering()
    }

    fn encoded(&self) -> &[Encoded] {
        page::body(&self.bytes)[..self.len() * ENTRY_LEN].as_chunks().0
    }

    fn last(&self) -> Option<Fingerprint> {
        self.encoded().last().map(fingerprint)
    }

    fn open(run: &Run, address: PageAddress, bytes: Bytes) -> Result<Self, PageFault> {
        let head = page::open(&bytes, Kind::Run, run.id.seed(address.shard, address.page))?;
        if usize::from(head.records) > PAGE_ENTRIES {
            return Err(PageFault::Records(head.records));
        }
        let main = address.page < run.shape.pages();
        if head.overflow > MAX_OVERFLOW_PAGES || (head.overflow > 0 && !main) {
            return Err(PageFault::Overflow(head.overflow));
        }
        Ok(Self { bytes, records: head.records, overflow: head.overflow, run: *run, address })
    }

    /// Every entry makes sense, is in order, in its page, and one of at most four.
    fn check(&self) -> Result<(), PageFault> {
        let main = self.address.page < self.run.shape.pages();
        let entries = self.encoded();
        for (number, encoded) in entries.iter().enumerate() {
            let record = number as u16;
            let entry =
                Entry::decode(encoded, self.numbering()).map_err(|error| PageFault::Record { record, error })?;
            let address = self.run.address(entry.fingerprint);
            let at_home = address.shard == self.address.shard && (!main || address.page == self.address.page);
            let in_order = number == 0 || fingerprint(&entries[number - 1]) <= entry.fingerprint;
            let one_too_many = number >= MAX_PLACES && fingerprint(&entries[number - MAX_PLACES]) == entry.fingerprint;
            if !at_home || !in_order || one_too_many {
                return Err(PageFault::Order(record));
            }
        }
        Ok(())
    }
}
