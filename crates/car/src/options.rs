//! What a reader of CARs accepts, and how much it is ready to hold in memory.

use crate::section::MAX_CID_LEN;

/// Bounds and leniencies of [`Decoder`](crate::Decoder), [`Reader`](crate::Reader) and
/// [`Scanner`](crate::Scanner).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What a section length of zero means. Refused by default.
    pub zero_length: ZeroLength,
    /// The longest section accepted, CID and data together, in bytes. The default is 4 MiB of data and the longest CID:
    /// more than any Bitswap message carries.
    pub max_section: u64,
    /// The longest CARv1 header accepted, in bytes: 1 MiB by default, which is about 25,000 roots.
    pub max_header: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { zero_length: ZeroLength::Refuse, max_section: (4 << 20) + MAX_CID_LEN as u64, max_header: 1 << 20 }
    }
}

/// What to make of a section whose length varint is zero: the specification forbids it, and some writers pad with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroLength {
    /// It is an error.
    #[default]
    Refuse,
    /// It is padding of one byte, and is passed over.
    Padding,
}
