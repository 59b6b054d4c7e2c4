//! What a walk knows about one thing: a block, a blob or an index.

use std::collections::VecDeque;

use hoverboard_car::{BlockOffset, SectionOffset};
use multihash::Multihash;

use super::At;
use crate::{Assertion, ByteRange, Site};

/// A thing that claims are about.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Steps from the block.
    pub(super) depth: u8,
    /// A claims service was asked about it, or will be.
    pub(super) asked: bool,
    pub(super) claims: Vec<Assertion>,
    /// Why it is of interest; nothing: it was only mentioned.
    pub(super) roles: Vec<Role>,
    /// Of an index: where it is said to be, and was not looked for yet.
    pub(super) sources: VecDeque<(Site, Option<ByteRange>)>,
    /// Of an index: it was asked for, and that did not fail.
    pub(super) fetching: bool,
    /// Of an index: what is in it.
    pub(super) hits: Option<Vec<Hit>>,
}

/// Why something is of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the block.
    Target,
    /// It is a CAR that the block should be in.
    Part,
    /// It is an index that the block should be in: of any blobs that it names itself, or of this one.
    Index { codec: u64, of: Option<Multihash<64>> },
    /// It is a blob that has the block.
    Blob(At),
}

/// What was found in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// The blob, if the index says which.
    pub(super) blob: Option<Multihash<64>>,
    pub(super) at: At,
}

impl Node {
    /// Whether nothing is left open about it: a CAR has an index, an index could be had.
    pub(super) fn is_settled(&self) -> bool {
        self.roles.iter().all(|role| match role {
            Role::Target | Role::Blob(_) => true,
            Role::Part => self.claims.iter().any(|claim| matches!(claim, Assertion::Inclusion { .. })),
            Role::Index { .. } => self.hits.is_some(),
        })
    }
}

impl At {
    /// The same place, in what has the blob at this range. `None`: the range ends before it.
    pub(super) fn inside(self, range: Option<ByteRange>) -> Option<Self> {
        let Some(range) = range else { return Some(self) };
        let start = range.offset.0;
        let within = |end: Option<u64>| match (range.length, end) {
            (Some(length), Some(end)) => end <= length,
            (_, end) => end.is_some(),
        };
        match self {
            Self::Bytes { offset, length } => {
                let length = length.or(range.length.and_then(|all| all.checked_sub(offset.0)));
                let end = offset.0.checked_add(length.unwrap_or(0)).filter(|end| end.checked_add(start).is_some());
                within(end).then_some(Self::Bytes { offset: BlockOffset(offset.0.checked_add(start)?), length })
            }
            Self::Section(offset) => {
                let end = offset.0.checked_add(1);
                within(end).then_some(Self::Section(SectionOffset(offset.0.checked_add(start)?)))
            }
        }
    }
}
