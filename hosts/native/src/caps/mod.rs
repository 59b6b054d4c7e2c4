//! Who may have how much, for the native host: one ledger over the state folder, which all connections share.
//!
//! | module | it is |
//! |---|---|
//! | [`settings`] | what the flags say |
//! | [`ledger`] | the shard of this process, and its files |
//! | [`journal`] | those files: a snapshot, and what was reported since |
//! | [`tab`] | one session's account with it |
//! | [`page`] | what the operator sees: `/peers` and `hoverboard peers` |
//!
//! What is counted and how is the core's business (`hoverboard_caps`). The ledger is asked in passing, by a lock: nobody
//! gets anything without having asked.

mod journal;
mod ledger;
pub mod page;
mod settings;
mod tab;

pub use self::ledger::{Caps, CapsError};
pub use self::settings::Settings;
pub(crate) use self::tab::Tab;
