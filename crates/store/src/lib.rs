//! CARs in a bucket, and blocks out of them.
//!
//! | module | it is |
//! |---|---|
//! | [`layout`] | which key holds what: CARPARK, DUDEWHERE, SATNAV, and the index |
//! | [`Bucket`] | the four places, over any [`object_store::ObjectStore`] |
//! | [`index`] | which CARs hold a block, whatever its root: block runs, made, kept and looked up |
//! | [`import`] | a CAR into the bucket: checked, indexed, and found by its roots |
//! | [`reader`] | one peer's reads: what is wanted, found and given out, block by block |
//! | [`library`] | what all peers share: listings, indexes and small CARs in bounded memory |
//! | [`plan`], [`cut`] | which range to read next, and the sections in it as its bytes arrive |
//! | [`ledger`] | what an event may spend, and who of its peers how much of it |
//! | [`memory`] | which CARs a peer was reading |
//! | [`service`] | where blocks are, over HTTP, for other gateways |
//! | `suite` | what every store must do, as cases for a host's tests (feature `suite`) |
//!
//! No runtime, socket or clock is in here: whoever drives the futures brings those with the store that it hands in, and
//! a [`Timer`](library::Timer) where something has to wait. The same code serves a local folder, S3, R2 over its binding in a Worker,
//! and memory.

mod bucket;
pub mod cut;
pub mod import;
pub mod index;
pub mod layout;
pub mod ledger;
pub mod library;
pub mod memory;
pub mod plan;
pub mod reader;
mod satnav;
pub mod service;
#[cfg(feature = "suite")]
pub mod suite;

pub use self::bucket::Bucket;
pub use self::layout::CarCid;
