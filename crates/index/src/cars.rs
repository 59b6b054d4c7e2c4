//! The table of CARs: a record for each ordinal, in pieces that never change.
//!
//! | bytes of a record | are |
//! |---|---|
//! | 32 | sha2-256 of the CAR; all zeros: it was removed, and nothing names it any more |
//! | 6 | its size in bytes, little-endian |
//! | 2 | flags, little-endian; bit 0: it lies under a `.blob` key |
//! | 8 | [`Key::etag_hash`](crate::Key::etag_hash) of its ETag, little-endian; 0: unknown |
//!
//! A segment is pages of [`CARS_A_PAGE`] records; only the last has fewer. A CAR that was removed keeps its record and its
//! ordinal. Whether a CAR is indexed is asked of the runs, by [`Key::car_fingerprint`](crate::Key::car_fingerprint).

use std::ops::Range;

use bytes::Bytes;

use crate::id::IdHasher;
use crate::page::{self, BODY_LEN, Head, Kind, PAGE_LEN, PageError, PageFault};
use crate::{MAX_OFFSET, ObjectId};

/// Records of a page.
pub const CARS_A_PAGE: u32 = (BODY_LEN / RECORD_LEN) as u32;
/// The most records of a segment: 16 MiB.
pub const MAX_SEGMENT_CARS: u32 = CARS_A_PAGE * 1024;

/// Bytes of a record.
const RECORD_LEN: usize = 48;
/// The flag of a CAR that lies under a `.blob` key.
const BLOB: u16 = 1;

/// What is kept of a CAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The sha2-256 of its bytes.
    pub digest: [u8; 32],
    /// Its size in bytes; at most [`MAX_OFFSET`].
    pub size: u64,
    /// [`Key::etag_hash`](crate::Key::etag_hash) of the ETag under which it was indexed; 0: unknown.
    pub etag_hash: u64,
    /// Whether it lies under a `.blob` key.
    pub blob: bool,
}

/// A piece of the table as the manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What its object is called.
    pub id: ObjectId,
    /// The ordinal of its first record. Its bytes do not depend on it.
    pub first: u32,
    /// How many records it has.
    pub cars: u32,
}

/// A piece of the table, built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What the object is called.
    pub id: ObjectId,
    /// How many records it has.
    pub cars: u32,
    /// The object.
    pub bytes: Vec<u8>,
}

/// What makes no piece of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// None, or over [`MAX_SEGMENT_CARS`].
    #[error("{0} CARs do not make a piece of the CAR table, which has 1 to {MAX_SEGMENT_CARS}")]
    Cars(usize),
    /// Over [`MAX_OFFSET`].
    #[error("a CAR of {0} bytes is too large")]
    Size(u64),
}

/// Builds a piece of the table. The same records give the same bytes and the same id.
///
/// # Errors
///
/// No record, too many, or one that cannot be written.
pub fn build(records: &[Record]) -> Result<Table, TableError> {
    let cars = u32::try_from(records.len()).ok().filter(|cars| (1..=MAX_SEGMENT_CARS).contains(cars));
    let cars = cars.ok_or(TableError::Cars(records.len()))?;
    if let Some(large) = records.iter().find(|record| record.size > MAX_OFFSET) {
        return Err(TableError::Size(large.size));
    }
    let mut hasher = IdHasher::new("hoverboard CAR table 1");
    hasher.number(records.len() as u64);
    let pages = records.chunks(CARS_A_PAGE as usize);
    let mut bytes = vec![0; pages.len() * PAGE_LEN];
    for (page, records) in bytes.chunks_exact_mut(PAGE_LEN).zip(pages.clone()) {
        for (out, record) in page::body_mut(page).as_chunks_mut().0.iter_mut().zip(records) {
            *out = record.encode();
            hasher.bytes(out);
        }
    }
    let id = hasher.finish();
    for ((number, page), records) in bytes.chunks_exact_mut(PAGE_LEN).enumerate().zip(pages) {
        page::seal(page, Kind::Cars, Head { records: records.len() as u16, overflow: 0 }, id.seed(0, number as u32));
    }
    Ok(Table { id, cars, bytes })
}

impl Segment {
    /// The key of its object in the index's place.
    pub fn object_key(&self) -> String {
        object_key(self.id)
    }

    /// The ordinals that it has records of.
    pub const fn ordinals(&self) -> Range<u32> {
        self.first..self.first.saturating_add(self.cars)
    }

    /// How many pages its object has.
    pub const fn pages(&self) -> u32 {
        self.cars.div_ceil(CARS_A_PAGE)
    }

    /// The page that has the record of a CAR. `None`: it has no record of it.
    pub fn page_of(&self, ordinal: u32) -> Option<u32> {
        self.ordinals().contains(&ordinal).then(|| (ordinal - self.first) / CARS_A_PAGE)
    }

    /// Checks its whole object, and gives the records in order.
    ///
    /// # Errors
    ///
    /// The bytes are not exactly those that were written for this segment.
    pub fn records(&self, bytes: &Bytes) -> Result<Vec<Record>, PageError> {
        let expected = self.pages() as usize * PAGE_LEN;
        if bytes.len() != expected {
            return Err(PageFault::Length { len: bytes.len(), expected }.at(0));
        }
        let mut records = Vec::with_capacity(expected / RECORD_LEN);
        for (number, at) in (0..self.pages()).zip((0..expected).step_by(PAGE_LEN)) {
            let page = Page::parse(self, number, bytes.slice(at..at + PAGE_LEN))?;
            records.extend(page.encoded().iter().map(Record::decode));
        }
        Ok(records)
    }
}

/// The key of the object with this id in the index's place.
pub fn object_key(id: ObjectId) -> String {
    format!("cars/{id}")
}

/// The bytes of a segment's object that are this page.
pub const fn page_range(page: u32) -> Range<u64> {
    page as u64 * PAGE_LEN as u64..(page as u64 + 1) * PAGE_LEN as u64
}

/// A page of the table that was checked. It holds its bytes.
#[derive(Clone, Debug)]
pub struct Page {
    bytes: Bytes,
    first: u32,
    records: u16,
}

impl Page {
    /// Checks that `bytes` are this page of the segment.
    ///
    /// # Errors
    ///
    /// The bytes are not exactly those that were written for this place.
    pub fn parse(segment: &Segment, number: u32, bytes: Bytes) -> Result<Self, PageError> {
        let head = page::open(&bytes, Kind::Cars, segment.id.seed(0, number)).map_err(|fault| fault.at(number))?;
        let before = number.saturating_mul(CARS_A_PAGE);
        let expected = segment.cars.saturating_sub(before).min(CARS_A_PAGE);
        if u32::from(head.records) != expected {
            return Err(PageFault::Records(head.records).at(number));
        }
        if head.overflow != 0 {
            return Err(PageFault::Overflow(head.overflow).at(number));
        }
        Ok(Self { bytes, first: segment.first.saturating_add(before), records: head.records })
    }

    /// The record of a CAR, if it is in this page.
    pub fn record(&self, ordinal: u32) -> Option<Record> {
        let number = ordinal.checked_sub(self.first)?;
        self.encoded().get(number as usize).map(Record::decode)
    }

    fn encoded(&self) -> &[[u8; RECORD_LEN]] {
        &page::body(&self.bytes).as_chunks().0[..usize::from(self.records)]
    }
}

impl Record {
    fn encode(&self) -> [u8; RECORD_LEN] {
        let mut out = [0; RECORD_LEN];
        out[..32].copy_from_slice(&self.digest);
        out[32..38].copy_from_slice(&self.size.to_le_bytes()[..6]);
        out[38..40].copy_from_slice(&(if self.blob { BLOB } else { 0 }).to_le_bytes());
        out[40..].copy_from_slice(&self.etag_hash.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; RECORD_LEN]) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[..32]);
        let mut size = [0; 8];
        size[..6].copy_from_slice(&bytes[32..38]);
        let mut etag_hash = [0; 8];
        etag_hash.copy_from_slice(&bytes[40..]);
        Self {
            digest,
            size: u64::from_le_bytes(size),
            etag_hash: u64::from_le_bytes(etag_hash),
            // The other bits mean nothing yet, and may be ignored.
            blob: u16::from_le_bytes([bytes[38], bytes[39]]) & BLOB != 0,
        }
    }
}
