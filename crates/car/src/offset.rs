//! The two kinds of offset into a CAR, as two types, so that one is never taken for the other.

use std::fmt;

/// Where a section begins: the offset of its length varint, in bytes from the start of the CARv1 payload.
///
/// This is the convention of every CARv2 index (and so of SATNAV and MultiIndex files).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionOffset(pub u64);

/// Where a block's own bytes begin, after length varint and CID, in bytes from the start of the CARv1 payload.
///
/// This is the convention of location claims, sharded DAG indexes and E-IPFS's tables, all of which name a length too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockOffset(pub u64);

impl fmt::Display for SectionOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BlockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
