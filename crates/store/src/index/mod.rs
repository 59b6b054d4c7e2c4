//! The index over all CARs of a bucket, as objects: block runs, made, kept and looked up. Their format, and all that can be
//! computed about them, is in [`hoverboard_index`].
//!
//! | module | it is |
//! |---|---|
//! | `handle` | [`Index`]: a bucket's index to work on, and the [`Host`] that brings a clock |
//! | `chain` | which manifest is the newest, and how the next one comes about |
//! | `objects` | runs and segments, written and read whole |
//! | `described`, `satnav`, `records` | what a CAR holds, from its SATNAV index or from itself |
//! | `gather` | CARs that are to be added, as runs |
//! | `update`, `known` | the index brought up to date with CARPARK |
//! | `adopting` | CARs that another index describes |
//! | `imported` | CARs that were just imported |
//! | `settle` | single CARs, by what lies in CARPARK now |
//! | `verify` | a CAR read in pieces, for who has little time and memory |
//! | `compact`, `steps` | runs merged, at once or a shard at a time |
//! | `remove`, `sweep` | CARs taken out of the bucket, and what is left of those that are gone |
//! | `check` | what is missing, damaged or orphaned; and mended |
//! | `collect` | objects that nobody needs any more |
//! | [`lookup`] | which CARs hold a block |
//!
//! Whoever works on an index may be killed at any point, and any number may do so at once: objects are written before a
//! manifest names them, and a manifest is created once or not at all.

mod adopting;
mod backoff;
mod chain;
mod change;
mod check;
mod collect;
mod compact;
mod described;
mod error;
mod gather;
mod handle;
mod imported;
mod known;
pub mod lookup;
mod mend;
mod objects;
mod records;
mod remove;
mod satnav;
mod settle;
mod stats;
mod steps;
mod sweep;
mod update;
mod verify;

pub use self::adopting::{Adopted, Adopting, Foreign};
pub use self::check::{Checked, Finding};
pub use self::collect::Orphans;
pub use self::compact::Compacted;
pub use self::error::IndexError;
pub use self::gather::Listed;
pub use self::handle::{Host, Index};
pub use self::imported::Importing;
pub use self::remove::{Removal, Removed};
pub use self::settle::{Portion, Settled};
pub use self::stats::Stats;
pub use self::steps::{Merging, Stepped};
pub use self::sweep::Swept;
pub use self::update::{MANY_RUNS, Options, Progress, Updated};
pub use self::verify::{Piece, Verified};
