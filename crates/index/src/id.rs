//! Names of objects that never change once they are written.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The name of a run or of a piece of the CAR table: the first 16 bytes of a sha2-256 over all that determines its
/// bytes. Work that is done twice so writes the same object twice.
///
/// As text it is 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 16]);

impl ObjectId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The seed of the checksum of a page: one of another object, shard or page has another, so that whatever lies in
    /// the wrong place fails its checksum.
    pub(crate) fn seed(self, shard: u32, page: u32) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(first) ^ (u64::from(shard) << 32 | u64::from(page))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An id in the making.
pub(crate) struct IdHasher(Sha256);

impl IdHasher {
    /// Begins with what kind of thing is named.
    pub(crate) fn new(domain: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.number(domain.len() as u64);
        hasher.bytes(domain.as_bytes());
        hasher
    }

    /// Adds bytes whose length is fixed, or was added before.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    /// The id.
    pub(crate) fn finish(self) -> ObjectId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0.finalize()[..16]);
        ObjectId(id)
    }
}
