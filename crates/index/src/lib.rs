//! Block runs: which CAR of a bucket holds a block, and where in it.
//!
//! A *run* is an immutable hash table over the blocks of many CARs, in pages of 16 KiB, cut into shards. A *manifest* names
//! the runs, and pieces of a table of the CARs; it is followed by another with the next number, and never changed. Runs
//! are merged as they grow in number. `docs/block-runs.md` specifies all that is written, byte by byte.
//!
//! | module | it is |
//! |---|---|
//! | [`Key`], [`Fingerprint`] | a multihash as 128 bits that only the bucket's owner can compute |
//! | [`Entry`], [`Place`], [`Extent`] | what a run says of a block |
//! | [`run`] | pages and shards: built, searched, read in order |
//! | [`merge`] | several runs into one |
//! | [`manifest`] | which runs and CARs there are, and the next state of that |
//! | [`cars`] | the table of CARs |
//! | [`tiers`] | when to merge, and what to keep in memory |
//!
//! Nothing here reads, writes, waits or chooses at random: bytes come in, bytes go out, and what to read next is a return
//! value. What is read may be damaged or missing: a page that is not what was written is an error, never another answer.

pub mod cars;
mod entry;
mod id;
mod kept;
mod key;
pub mod manifest;
pub mod merge;
mod page;
pub mod run;
mod struck;
pub mod tiers;

pub use self::entry::{Entry, Extent, MAX_CID_LEN, MAX_LENGTH, MAX_OFFSET, MAX_ORDINAL, Place, PlaceError};
pub use self::id::ObjectId;
pub use self::kept::MAX_PLACES;
pub use self::key::{Fingerprint, Key};
pub use self::page::{PAGE_LEN, PageError, PageFault, VERSION};
pub use self::struck::Struck;
