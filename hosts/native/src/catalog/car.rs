//! One CAR file as it is served: what was indexed, and what has been found out since.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hoverboard_car::SectionOffset;
use hoverboard_car::index::{Codec, SortedIndex};

use super::bitmap::Bitmap;
use super::index_file::{Origin, Summary};

/// A CAR under one stamp. When the file changes, another `Car` takes its place, with nothing remembered.
#[derive(Debug)]
pub(crate) struct Car {
    /// Never used twice in a process
    pub(crate) serial: u64,
    pub(crate) path: PathBuf,
    pub(crate) summary: Summary,
    pub(crate) index: SortedIndex,
    /// Whether the stamp was settled before the index was made
    pub(crate) was_settled: bool,
    /// Records whose block was hashed under this stamp and matched
    pub(crate) verified: Bitmap,
    /// Records whose block was hashed under this stamp and did not match
    pub(crate) corrupt: Bitmap,
    /// Records whose fault was logged, so that it is logged once
    pub(crate) reported: Bitmap,
    /// All section heads were read: the index is our own, or it was compared with them
    confirmed: AtomicBool,
    /// The index has been caught out: it is another program's, and an entry of it points at no such block
    doubted: AtomicBool,
    /// The last read failed, and that was logged
    read_failed: AtomicBool,
    /// It is served no more
    retired: AtomicBool,
}

impl Car {
    pub(crate) fn new(path: PathBuf, summary: Summary, index: SortedIndex, was_settled: bool) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let records = index.len();
        let is_own = summary.origin == Origin::Scan;
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            path,
            summary,
            index,
            was_settled,
            verified: Bitmap::new(records),
            corrupt: Bitmap::new(records),
            reported: Bitmap::new(records),
            confirmed: AtomicBool::new(is_own),
            doubted: AtomicBool::new(false),
            read_failed: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// The digest of a record; empty if there is none of this number.
    pub(crate) fn digest(&self, record: u32) -> &[u8] {
        self.index.record(record as usize).map_or(&[], |record| record.digest)
    }

    /// The records, by number, without the second and later of the same multihash: [`Self::same`] finds those again.
    pub(crate) fn distinct(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut before = None;
        (0..).zip(self.index.iter()).filter_map(move |(number, record)| {
            let this = (record.code, record.digest);
            (before.replace(this) != Some(this)).then_some((number, record.digest))
        })
    }

    /// `record` and the ones after it of the same multihash, with their places.
    pub(crate) fn same(&self, record: u32) -> impl Iterator<Item = (u32, SectionOffset)> {
        let first = self.index.record(record as usize).map(|record| (record.code, record.digest));
        (record..)
            .map_while(|number| Some((number, self.index.record(number as usize)?)))
            .take_while(move |(_, record)| Some((record.code, record.digest)) == first)
            .map(|(number, record)| (number, record.offset))
    }

    /// Whether a record is of this multihash. An IndexSorted does not know hash codes: there the section decides.
    pub(crate) fn is(&self, record: u32, code: u64, digest: &[u8]) -> bool {
        self.index
            .record(record as usize)
            .is_some_and(|record| record.digest == digest && record.code.is_none_or(|this| this == code))
    }

    /// The length of a section, on average.
    pub(crate) fn typical_section(&self) -> u64 {
        let payload = &self.summary.payload;
        payload.end.saturating_sub(payload.start) / (self.index.len() as u64).max(1)
    }

    /// Whether the index keeps hash codes, so that the section of a record cannot hold a block of another.
    pub(crate) fn knows_codes(&self) -> bool {
        self.index.codec() == Codec::MultihashIndexSorted
    }

    /// Whether there may be blocks in it that cannot be found.
    pub(crate) fn may_hide_blocks(&self) -> bool {
        !self.is_confirmed() || self.summary.fault.as_ref().is_some_and(|fault| fault.hides_blocks)
    }

    /// Remembers that the index was compared with the section heads and is right.
    pub(crate) fn confirm(&self) {
        self.confirmed.store(true, Ordering::Release);
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Remembers that another program's index was caught out, and says whether that is news.
    pub(crate) fn doubt(&self) -> bool {
        !self.is_confirmed() && !self.doubted.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// Remembers that a read failed, and says whether that is news.
    pub(crate) fn note_read_failure(&self) -> bool {
        !self.read_failed.swap(true, Ordering::Relaxed)
    }

    /// Remembers that a read went well, and says whether that is news.
    pub(crate) fn note_read(&self) -> bool {
        self.read_failed.load(Ordering::Relaxed) && self.read_failed.swap(false, Ordering::Relaxed)
    }

    /// Remembers that it is served no more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }
}
