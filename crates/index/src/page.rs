//! The frame that all pages have: 16 KiB, a head that says what it is, a checksum at the end.
//!
//! | bytes | are |
//! |---|---|
//! | 0 | `R` for a page of a run, `C` for one of the CAR table |
//! | 1 | version: 1 |
//! | 2..4 | how many records there are, little-endian |
//! | 4..8 | in a run: the overflow pages of this shard if this page overflowed, little-endian; else 0 |
//! | 8.. | the records, then zeros |
//! | 16376.. | XXH3-64 of all bytes before, little-endian, under the seed of this page |

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::PlaceError;

/// Bytes of a page: what one read of a lookup takes.
pub const PAGE_LEN: usize = 16 << 10;
/// The version of the layouts that this crate writes, and the only one it reads.
pub const VERSION: u8 = 1;

/// Bytes before the records.
const HEAD_LEN: usize = 8;
/// Where the checksum lies.
const CHECKSUM_AT: usize = PAGE_LEN - 8;
/// Bytes for records.
pub(crate) const BODY_LEN: usize = CHECKSUM_AT - HEAD_LEN;

/// What a page is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Run = b'R' as isize,
    Cars = b'C' as isize,
}

/// The head of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) records: u16,
    pub(crate) overflow: u32,
}

/// A page that cannot be used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("page {page}: {fault}")]
pub struct PageError {
    /// The page's number in its object.
    pub page: u32,
    /// What is wrong with it.
    pub fault: PageFault,
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageFault {
    /// Not [`PAGE_LEN`] bytes a page.
    #[error("{len} bytes where {expected} belong")]
    Length {
        /// The bytes that are there.
        len: usize,
        /// The bytes that there should be.
        expected: usize,
    },
    /// The bytes are not those that were written for this place.
    #[error("wrong checksum: damaged, or of another place")]
    Checksum,
    /// Not a page of this kind.
    #[error("not a page of the expected kind")]
    Kind,
    /// Another version of the layout.
    #[error("version {0} is not supported here")]
    Version(u8),
    /// More records than fit, or another number than there must be.
    #[error("{0} records cannot be")]
    Records(u16),
    /// A record is out of order, in the wrong page, or one place too many of its block.
    #[error("record {0} is out of place")]
    Order(u16),
    /// A record that says nonsense.
    #[error("record {record}: {error}")]
    Record {
        /// The record's number.
        record: u16,
        /// What is wrong with it.
        error: PlaceError,
    },
    /// The number of overflow pages cannot be, or pages of a shard disagree about it.
    #[error("{0} overflow pages cannot be")]
    Overflow(u32),
}

impl PageFault {
    pub(crate) const fn at(self, page: u32) -> PageError {
        PageError { page, fault: self }
    }
}

/// The bytes for records of a page that is being written.
pub(crate) fn body_mut(page: &mut [u8]) -> &mut [u8] {
    &mut page[HEAD_LEN..CHECKSUM_AT]
}

/// The bytes for records of a page.
pub(crate) fn body(page: &[u8]) -> &[u8] {
    &page[HEAD_LEN..CHECKSUM_AT]
}

/// Writes head and checksum around the records of a page of [`PAGE_LEN`] bytes.
pub(crate) fn seal(page: &mut [u8], kind: Kind, head: Head, seed: u64) {
    page[0] = kind as u8;
    page[1] = VERSION;
    page[2..4].copy_from_slice(&head.records.to_le_bytes());
    page[4..8].copy_from_slice(&head.overflow.to_le_bytes());
    let checksum = xxh3_64_with_seed(&page[..CHECKSUM_AT], seed);
    page[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
}

/// Checks the frame and reads the head.
pub(crate) fn open(page: &[u8], kind: Kind, seed: u64) -> Result<Head, PageFault> {
    if page.len() != PAGE_LEN {
        return Err(PageFault::Length { len: page.len(), expected: PAGE_LEN });
    }
    // Before the checksum, whose place another version may have changed.
    if page[0] != kind as u8 {
        return Err(PageFault::Kind);
    }
    if page[1] != VERSION {
        return Err(PageFault::Version(page[1]));
    }
    if xxh3_64_with_seed(&page[..CHECKSUM_AT], seed).to_le_bytes() != page[CHECKSUM_AT..] {
        return Err(PageFault::Checksum);
    }
    Ok(Head {
        records: u16::from_le_bytes([page[2], page[3]]),
        overflow: u32::from_le_bytes([page[4], page[5], page[6], page[7]]),
    })
}
