//! One shard's object, out of its entries in order.

use super::{MAX_PAGES, PAGE_ENTRIES, Run};
use crate::entry::{ENTRY_LEN, Encoded, fingerprint};
use crate::page::{self, Head, Kind, PAGE_LEN};
use crate::{Entry, MAX_PLACES, PlaceError};

/// The most overflow pages of a shard. Nobody who does not know the key gets near it.
pub const MAX_OVERFLOW_PAGES: u32 = 1 << 16;

/// Entries that an overflow page has on average at most, at first: half of what fits.
const OVERFLOW_FILL: usize = PAGE_ENTRIES / 2;

/// A shard's object, built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The object.
    pub bytes: Vec<u8>,
    /// How many entries it has.
    pub entries: u64,
}

/// Why a shard cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An entry is out of order, of another shard, or one place too many of its block.
    #[error("an entry of shard {shard} is out of place")]
    Order {
        /// The shard.
        shard: u32,
    },
    /// An entry that cannot be written.
    #[error("an entry cannot be written: {0}")]
    Place(#[from] PlaceError),
    /// So many entries share a page, and an overflow page too, that somebody must have made them so.
    #[error("shard {shard} needs more than {MAX_OVERFLOW_PAGES} overflow pages")]
    Overflow {
        /// The shard.
        shard: u32,
    },
}

/// Builds a shard out of all its entries, sorted by fingerprint, at most [`MAX_PLACES`] of each, as
/// [`merge`](crate::merge::merge) and [`Batch`](super::Batch) give them.
///
/// Takes as much memory as the object, and 30 bytes an entry that overflows its page.
///
/// # Errors
///
/// Entries that are not so, that no page can say, or that were made to collide.
pub fn build_shard(run: &Run, shard: u32, entries: impl IntoIterator<Item = Entry>) -> Result<Shard, BuildError> {
    let mut writer = Writer::new(run, shard);
    let mut group: Vec<Encoded> = Vec::with_capacity(MAX_PLACES);
    for entry in entries {
        if run.shape.shard_of(entry.fingerprint) != shard {
            return Err(BuildError::Order { shard });
        }
        let encoded = entry.encode(run.numbering())?;
        match group.first().map(|first| fingerprint(first).cmp(&entry.fingerprint)) {
            Some(std::cmp::Ordering::Greater) => return Err(BuildError::Order { shard }),
            Some(std::cmp::Ordering::Equal) if group.len() == MAX_PLACES => return Err(BuildError::Order { shard }),
            Some(std::cmp::Ordering::Less) => {
                writer.add(&group);
                group.clear();
            }
            Some(std::cmp::Ordering::Equal) | None => {}
        }
        group.push(encoded);
    }
    writer.add(&group);
    writer.finish()
}

/// Main pages as they fill, and what did not fit.
struct Writer<'a> {
    run: &'a Run,
    shard: u32,
    bytes: Vec<u8>,
    /// Records of each main page, and whether it overflowed.
    pages: Vec<(u16, bool)>,
    overflow: Vec<Encoded>,
    entries: u64,
}

impl<'a> Writer<'a> {
    fn new(run: &'a Run, shard: u32) -> Self {
        let pages = run.shape.pages().min(MAX_PAGES) as usize;
        Self {
            run,
            shard,
            bytes: vec![0; pages * PAGE_LEN],
            pages: vec![(0, false); pages],
            overflow: Vec::new(),
            entries: 0,
        }
    }

    /// Adds all entries of one block. They stay together, so that whoever finds one has found all.
    fn add(&mut self, group: &[Encoded]) {
        let Some(first) = group.first() else { return };
        let page = self.run.address(fingerprint(first)).page as usize;
        self.entries += group.len() as u64;
        let (records, overflowed) = &mut self.pages[page];
        // Once a block went over, so do all behind it: the page's last entry says what may be elsewhere.
        if *overflowed || usize::from(*records) + group.len() > PAGE_ENTRIES {
            *overflowed = true;
            self.overflow.extend_from_slice(group);
            return;
        }
        let body = page::body_mut(&mut self.bytes[page * PAGE_LEN..][..PAGE_LEN]);
        body[usize::from(*records) * ENTRY_LEN..][..group.len() * ENTRY_LEN].copy_from_slice(group.as_flattened());
        *records += group.len() as u16;
    }

    fn finish(mut self) -> Result<Shard, BuildError> {
        let (run, shard) = (self.run, self.shard);
        let overflow_pages = self.place_overflow()?;
        let seal = |bytes: &mut [u8], number: usize, records, overflow| {
            page::seal(bytes, Kind::Run, Head { records, overflow }, run.id.seed(shard, number as u32));
        };
        let main = self.pages.len();
        for (number, (records, overflowed)) in self.pages.iter().enumerate() {
            let overflow = if *overflowed { overflow_pages.len() as u32 } else { 0 };
            seal(&mut self.bytes[number * PAGE_LEN..][..PAGE_LEN], number, *records, overflow);
        }
        for (number, records) in overflow_pages.iter().enumerate() {
            seal(&mut self.bytes[(main + number) * PAGE_LEN..][..PAGE_LEN], main + number, *records, 0);
        }
        Ok(Shard { bytes: self.bytes, entries: self.entries })
    }

    /// Puts what overflowed into pages behind the main pages, as few as hold it, and gives their record counts.
    fn place_overflow(&mut self) -> Result<Vec<u16>, BuildError> {
        let shape = self.run.shape;
        let mut count = self.overflow.len().div_ceil(OVERFLOW_FILL);
        let counted = loop {
            if count > MAX_OVERFLOW_PAGES as usize {
                return Err(BuildError::Overflow { shard: self.shard });
            }
            let mut records = vec![0_u32; count];
            for entry in &self.overflow {
                let page = shape.overflow_address(fingerprint(entry), self.shard, count as u32).page - shape.pages();
                records[page as usize] += 1;
            }
            if records.iter().all(|records| *records as usize <= PAGE_ENTRIES) {
                break records;
            }
            count *= 2;
        };
        let main = self.bytes.len();
        self.bytes.resize(main + count * PAGE_LEN, 0);
        // In order of fingerprints, so that each page is sorted, too.
        let mut filled = vec![0_u16; count];
        for entry in &self.overflow {
            let page = shape.overflow_address(fingerprint(entry), self.shard, count as u32).page as usize;
            let records = &mut filled[page - shape.pages() as usize];
            let body = page::body_mut(&mut self.bytes[page * PAGE_LEN..][..PAGE_LEN]);
            body[usize::from(*records) * ENTRY_LEN..][..ENTRY_LEN].copy_from_slice(entry);
            *records += 1;
        }
        debug_assert!(filled.iter().zip(&counted).all(|(filled, counted)| u32::from(*filled) == *counted));
        Ok(filled)
    }
}
