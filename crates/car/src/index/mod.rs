//! The index formats of CARv2, read in place and built.
//!
//! | codec | name | it maps |
//! |---|---|---|
//! | `0x0400` | IndexSorted | digest → section offsets; the hash function is not kept |
//! | `0x0401` | MultihashIndexSorted | multihash → section offsets. SATNAV's and the one to write |
//! | `0x0402` | MultiIndex | CAR → an index of either kind |
//!
//! An index is opened over [`Bytes`] and searched where it lies: opening costs the same for one record and
//! for a million, since records have a fixed width and are sorted by digest. Counts and lengths are checked
//! against the bytes that are there; the *order* of the records is not, because that would read them all:
//! [`SortedIndex::check`] does so, and an index of unknown origin needs it once, or a lookup may miss what is
//! there.
//!
//! The same multihash can occur more than once, with an offset for each. Identity CIDs, whose digest is the
//! data itself, are left out by [`IndexBuilder`] unless it is told otherwise: the CARv2 specification asks
//! for them only in an index that claims to be full, and no peer asks for them.

mod build;
mod multi;
mod sorted;
mod table;

use bytes::Bytes;

pub use self::build::IndexBuilder;
pub use self::multi::{MultiIndex, MultiIndexBuilder};
pub use self::sorted::{Codec, SortedIndex};
pub use self::table::{Offsets, Record};

use crate::varint::{self, Varint};

/// The multicodec of MultiIndex.
const MULTI_INDEX: u64 = 0x0402;

/// An index of any of the three codecs.
#[derive(Clone, Debug)]
pub enum Index {
    /// IndexSorted or MultihashIndexSorted: one CAR.
    Sorted(SortedIndex),
    /// MultiIndex: many CARs.
    Multi(MultiIndex),
}

impl Index {
    /// Opens the index that `bytes` are, with the codec's varint at the front. Bytes behind it are an error.
    ///
    /// # Errors
    ///
    /// An unknown codec, or counts that the bytes do not bear out.
    pub fn open(bytes: Bytes) -> Result<Self, IndexError> {
        let mut input = Input::new(bytes);
        let index = match input.peek_codec()? {
            MULTI_INDEX => Self::Multi(MultiIndex::read(&mut input)?),
            _ => Self::Sorted(SortedIndex::read(&mut input)?),
        };
        input.end()?;
        Ok(index)
    }
}

/// What is wrong with an index. Every `at` counts bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The codec is none of the three, or not the one expected.
    #[error("index codec 0x{codec:04x} at byte {at} is not supported here")]
    Codec {
        /// Where the codec's varint lies.
        at: u64,
        /// The codec found.
        codec: u64,
    },
    /// A varint is over-long or not in its shortest form.
    #[error("bad varint at byte {at} of the index")]
    Varint {
        /// Where it begins.
        at: u64,
    },
    /// The bytes end inside something.
    #[error("the index is cut short: {what} at byte {at} needs {needed} bytes and {there} are there")]
    Truncated {
        /// Where the thing that is cut begins.
        at: u64,
        /// What is cut.
        what: &'static str,
        /// The bytes it claims.
        needed: u64,
        /// The bytes that are left.
        there: u64,
    },
    /// More hash codes and widths than any real index has.
    #[error("the index has more than {max} tables at byte {at}")]
    TooManyTables {
        /// Where the table too many begins.
        at: u64,
        /// The bound.
        max: usize,
    },
    /// A table's records have no room for an offset, or its length is no multiple of its width.
    #[error("the table at byte {at} has {len} bytes of records, {width} bytes wide")]
    Width {
        /// Where the table begins.
        at: u64,
        /// The width of a record that it states.
        width: u32,
        /// The bytes of records that it states.
        len: u64,
    },
    /// A CAR's multihash cannot be read, or has a digest of more than 64 bytes.
    #[error("bad CAR multihash at byte {at} of the index")]
    Multihash {
        /// Where it begins.
        at: u64,
    },
    /// Bytes are left over behind the index.
    #[error("the index ends at byte {at} and {len} bytes follow")]
    Trailing {
        /// Where it ends.
        at: u64,
        /// How many bytes follow.
        len: u64,
    },
    /// Records or CARs are not in order, so that lookups may miss.
    #[error("the index is not sorted: entry {entry} is less than the one before")]
    Unsorted {
        /// The number of the entry that is out of order.
        entry: u64,
    },
}

/// The bytes of an index that are still to be read, and how many lie before them.
#[derive(Debug)]
struct Input {
    rest: Bytes,
    at: u64,
}

impl Input {
    fn new(rest: Bytes) -> Self {
        Self { rest, at: 0 }
    }

    fn take(&mut self, len: u64, what: &'static str) -> Result<Bytes, IndexError> {
        let there = self.rest.len() as u64;
        match usize::try_from(len) {
            Ok(len) if len <= self.rest.len() => {
                self.at += len as u64;
                Ok(self.rest.split_to(len))
            }
            _ => Err(IndexError::Truncated { at: self.at, what, needed: len, there }),
        }
    }

    fn u32_le(&mut self, what: &'static str) -> Result<u32, IndexError> {
        let mut le = [0; 4];
        le.copy_from_slice(&self.take(4, what)?);
        Ok(u32::from_le_bytes(le))
    }

    fn u64_le(&mut self, what: &'static str) -> Result<u64, IndexError> {
        let mut le = [0; 8];
        le.copy_from_slice(&self.take(8, what)?);
        Ok(u64::from_le_bytes(le))
    }

    fn varint(&mut self, what: &'static str) -> Result<u64, IndexError> {
        let (value, used) = self.peek_varint(what)?;
        self.take(used as u64, what)?;
        Ok(value)
    }

    fn peek_codec(&self) -> Result<u64, IndexError> {
        Ok(self.peek_varint("codec")?.0)
    }

    fn peek_varint(&self, what: &'static str) -> Result<(u64, usize), IndexError> {
        let (at, there) = (self.at, self.rest.len() as u64);
        match varint::read(&self.rest) {
            Varint::Value(value, used) => Ok((value, used)),
            Varint::Incomplete => Err(IndexError::Truncated { at, what, needed: there + 1, there }),
            Varint::Invalid => Err(IndexError::Varint { at }),
        }
    }

    fn end(&self) -> Result<(), IndexError> {
        match self.rest.len() as u64 {
            0 => Ok(()),
            len => Err(IndexError::Trailing { at: self.at, len }),
        }
    }
}
