//! Consecutive pages of a shard and what overflowed from them: a whole shard in memory, or what one step of a merge reads.

use std::ops::Range;

use bytes::Bytes;

use super::{Found, MAX_OVERFLOW_PAGES, Page, PageAddress, Piece, Run, byte_range};
use crate::page::{PAGE_LEN, PageError, PageFault};
use crate::{Entry, Fingerprint};

/// Pages in order, with all entries that belong in them.
#[derive(Clone, Debug)]
pub struct Slice {
    run: Run,
    shard: u32,
    first: u32,
    pages: Vec<Page>,
    /// What overflowed from these pages, sorted.
    overflow: Vec<Entry>,
}

/// Pages that were read.
#[derive(Clone, Debug)]
pub enum Opened {
    /// Nothing lies elsewhere.
    Whole(Slice),
    /// Some overflowed: the overflow pages are needed, too.
    Overflowing(Partial),
}

/// Pages whose overflow has not been read yet.
#[derive(Clone, Debug)]
pub struct Partial {
    slice: Slice,
    overflow: u32,
}

impl Slice {
    /// Checks a whole shard: `bytes` are all of its object.
    ///
    /// # Errors
    ///
    /// The bytes are not exactly those that were written for this shard.
    pub fn whole(run: &Run, shard: u32, mut bytes: Bytes) -> Result<Self, PageError> {
        let pages = 0..run.shape.pages();
        let main = run.shape.pages() as usize * PAGE_LEN;
        let overflow = bytes.split_off(main.min(bytes.len()));
        match Self::open(run, &Piece { shard, pages: pages.clone() }, bytes)? {
            Opened::Whole(slice) if overflow.is_empty() => Ok(slice),
            Opened::Whole(_) => Err(PageFault::Length { len: main + overflow.len(), expected: main }.at(pages.end)),
            Opened::Overflowing(partial) => partial.complete(overflow),
        }
    }

    /// Checks some main pages: `bytes` are those of [`Piece::range`] of the shard's object.
    ///
    /// # Errors
    ///
    /// The bytes are not exactly those that were written for these pages.
    pub fn open(run: &Run, piece: &Piece, bytes: Bytes) -> Result<Opened, PageError> {
        let pages = pages(run, piece.shard, piece.pages.clone(), bytes)?;
        let mut overflow = 0;
        for (number, page) in piece.pages.clone().zip(&pages) {
            match (overflow, page.overflow()) {
                (_, 0) => {}
                (0, first) => overflow = first,
                (known, other) if known != other => return Err(PageFault::Overflow(other).at(number)),
                _ => {}
            }
        }
        let slice = Self { run: *run, shard: piece.shard, first: piece.pages.start, pages, overflow: Vec::new() };
        match overflow {
            0 => Ok(Opened::Whole(slice)),
            _ => Ok(Opened::Overflowing(Partial { slice, overflow })),
        }
    }

    /// What the run says of a block that belongs in these pages, and nothing of others.
    pub fn lookup(&self, fingerprint: Fingerprint) -> Found {
        let address = self.run.address(fingerprint);
        let page = address.page.checked_sub(self.first).and_then(|number| self.pages.get(number as usize));
        let Some(page) = page.filter(|_| address.shard == self.shard) else {
            return Found::default();
        };
        let found = page.find(fingerprint);
        if !found.is_empty() {
            return found;
        }
        let from = self.overflow.partition_point(|entry| entry.fingerprint < fingerprint);
        let entries = self.overflow[from..].iter().take_while(|entry| entry.fingerprint == fingerprint);
        let mut found = Found::default();
        entries.for_each(|entry| found.add(*entry));
        found
    }

    /// All entries, sorted by fingerprint.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let mut main =
            self.pages.iter().flat_map(|page| (0..page.len()).filter_map(|number| page.entry(number))).peekable();
        let mut overflow = self.overflow.iter().copied().peekable();
        std::iter::from_fn(move || match (main.peek(), overflow.peek()) {
            (Some(here), Some(over)) if over.fingerprint < here.fingerprint => overflow.next(),
            (Some(_), _) => main.next(),
            (None, _) => overflow.next(),
        })
    }

    /// Bytes of memory that it holds, for caches.
    pub fn held_bytes(&self) -> usize {
        self.pages.iter().map(Page::held_bytes).sum::<usize>() + self.overflow.len() * size_of::<Entry>()
    }
}

impl Partial {
    /// The bytes of the shard's object that are its overflow pages, all of them.
    pub fn range(&self) -> Range<u64> {
        let pages = self.overflow_pages();
        byte_range(pages.start, pages.end)
    }

    /// Takes the bytes that were asked for.
    ///
    /// # Errors
    ///
    /// The bytes are not exactly those that were written for these pages.
    pub fn complete(self, bytes: Bytes) -> Result<Slice, PageError> {
        let addresses = self.overflow_pages();
        let mut slice = self.slice;
        let own = slice.first..slice.first + slice.pages.len() as u32;
        for page in pages(&slice.run, slice.shard, addresses, bytes)? {
            let entries = (0..page.len()).filter_map(|number| page.entry(number));
            // The others overflowed from pages of this shard that are not here.
            slice.overflow.extend(entries.filter(|entry| own.contains(&slice.run.address(entry.fingerprint).page)));
        }
        // Stable: the places of a block lie in one page, in their order.
        slice.overflow.sort_by_key(|entry| entry.fingerprint);
        Ok(slice)
    }

    fn overflow_pages(&self) -> Range<u32> {
        let main = self.slice.run.shape.pages();
        main..main + self.overflow.min(MAX_OVERFLOW_PAGES)
    }
}

/// Checks pages that lie one behind the other.
fn pages(run: &Run, shard: u32, numbers: Range<u32>, bytes: Bytes) -> Result<Vec<Page>, PageError> {
    let expected = numbers.len() * PAGE_LEN;
    if bytes.len() != expected {
        return Err(PageFault::Length { len: bytes.len(), expected }.at(numbers.start));
    }
    let page = |(at, page)| Page::parse(run, PageAddress { shard, page }, bytes.slice(at..at + PAGE_LEN));
    (0..expected).step_by(PAGE_LEN).zip(numbers).map(page).collect()
}
