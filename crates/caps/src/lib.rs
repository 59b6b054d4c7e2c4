//! Caps: how much work is done for each peer, each address and all of them, an hour and a day; and who gets no more.
//!
//! | module | it is |
//! |---|---|
//! | [`work`] | what is counted, and what it costs |
//! | [`limits`] | how much of it, an hour and a day, as a person writes it |
//! | [`rules`] | whose limits are which |
//! | [`caller`] | who the work is for: a peer, and the address that it comes from |
//! | [`time`] | the hours and days that are counted by |
//! | [`shard`] | the ledger: counts, grants leases, forgets what is over |
//! | [`meter`] | a session's side of it: spends a lease, and says when to ask for another |
//! | [`allowance`] | the little that an address gets without a call to the ledger |
//!
//! Identities are free, so a peer's cap bounds an honest peer's mistakes; what bounds a dishonest one is the cap of its
//! address, and what bounds all of them is the ceiling of the deployment.
//!
//! There is no I/O here and no clock. A host says what time it is, carries [reports](meter::Report) to the shard that has
//! the address, and [verdicts](shard::Verdict) back; how, where a shard is kept, and what is done with a want that
//! comes after the cap are its own affair. What one event may spend is not counted here, but in the store's ledger.

pub mod allowance;
pub mod caller;
pub mod limits;
pub mod meter;
pub mod rules;
pub mod shard;
pub mod time;
pub mod work;

pub use self::caller::{Address, Caller, Site};
pub use self::limits::Limits;
pub use self::meter::{Gate, Meter, Report};
pub use self::rules::{Override, Policy, Rules};
pub use self::shard::{Lease, Refusal, Scope, Shard, Verdict};
pub use self::time::Timestamp;
pub use self::work::{Money, Prices, Work};
