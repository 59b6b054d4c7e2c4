//! One run: an immutable hash table, in pages, cut into shards.
//!
//! The high half of a fingerprint names its shard and page, monotonously, so that the entries of a shard lie sorted. What
//! does not fit its page lies in an overflow page behind the shard's main pages, which the low half names. A block is
//! found, or proved not to be there, by one read of a page, and a second where the first says so.

mod batch;
mod build;
mod search;
mod shape;
mod slice;

pub use self::batch::{Batch, Sorted};
pub use self::build::{BuildError, MAX_OVERFLOW_PAGES, Shard, build_shard};
pub use self::search::{Found, Lookup, Page};
pub use self::shape::{MAX_ENTRIES, MAX_PAGES, MAX_SHARD_BITS, PAGE_ENTRIES, PAGE_FILL, Piece, Shape, TooLarge};
pub use self::slice::{Opened, Partial, Slice};

use std::ops::Range;

use crate::entry::Ordinals;
use crate::page::PAGE_LEN;
use crate::{Fingerprint, ObjectId};

/// A run as the manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// What its objects are called.
    pub id: ObjectId,
    /// The ordinal of the first of its CARs. Its bytes count from there, so that they do not depend on it.
    pub first: u32,
    /// How many ordinals there are from the first to the last of its CARs.
    pub cars: u32,
    /// How many entries it has.
    pub entries: u64,
    /// How they lie.
    pub shape: Shape,
}

/// A run whose CARs have no ordinals in the CAR table yet: they are counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// What its objects are called.
    pub id: ObjectId,
    /// How many CARs it is over.
    pub cars: u32,
    /// How many entries it has.
    pub entries: u64,
    /// How they lie.
    pub shape: Shape,
}

impl Fresh {
    /// The run, when its first CAR has this ordinal.
    pub const fn at(self, first: u32) -> Run {
        Run { id: self.id, first, cars: self.cars, entries: self.entries, shape: self.shape }
    }
}

/// A page of a run. Pages behind the main pages of a shard are overflow pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageAddress {
    /// The shard.
    pub shard: u32,
    /// The page's number in the shard's object.
    pub page: u32,
}

impl PageAddress {
    /// The bytes of the shard's object that are this page.
    pub const fn range(self) -> Range<u64> {
        byte_range(self.page, self.page.saturating_add(1))
    }
}

impl Run {
    /// The main page that has the block, if the run has it and the page did not overflow.
    pub fn address(&self, fingerprint: Fingerprint) -> PageAddress {
        self.shape.address(fingerprint)
    }

    /// How many shards there are.
    pub const fn shards(&self) -> u32 {
        self.shape.shards()
    }

    /// The key of a shard's object in the index's place.
    pub fn shard_key(&self, shard: u32) -> String {
        format!("runs/{}/{shard:04x}", self.id)
    }

    /// The ordinals that its CARs have.
    pub const fn ordinals(&self) -> Range<u32> {
        self.first..self.first.saturating_add(self.cars)
    }

    pub(crate) const fn numbering(&self) -> Ordinals {
        Ordinals { first: self.first, count: self.cars }
    }
}

/// The bytes of the pages `from..to`.
const fn byte_range(from: u32, to: u32) -> Range<u64> {
    from as u64 * PAGE_LEN as u64..to as u64 * PAGE_LEN as u64
}
