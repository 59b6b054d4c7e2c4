//! Content claims: what others say about where blocks lie.
//!
//! | item | it is |
//! |---|---|
//! | [`read`], [`Claim`] | the claims in a service's answer |
//! | [`write`] | location claims of our own, in the same format |
//! | [`shards::ShardedIndex`] | a sharded dag index: which bytes of which blobs are which blocks |
//! | [`Walk`] | from a block to its places: what to ask next, within limits |
//! | [`Policy`] | which URLs may be asked at all |
//!
//! Nothing here asks anybody. A [`Walk`] says what it wants and takes the bytes that the host got.
//!
//! # What a claim is worth
//!
//! It is a hint. Signatures, issuers and expiry are not looked at: whoever made a claim, the bytes it leads to are only
//! good if their hash is that of the block. What a false claim can cost is bounded by [`Limits`], and where it can lead,
//! by [`Policy`].
//!
//! # Specifications
//!
//! `assert/location`, `inclusion`, `index`, `partition`, `relation` and `equals` as web3.storage's content-claims has them:
//! UCAN 0.9.1 invocations in dag-cbor, each in a CAR of its own, and these as blocks of a CAR without roots.
//! `index/sharded/dag@0.1` as its w3-index specification says it, and as its writers wrote it.

mod archive;
mod cbor;
mod claim;
mod error;
mod policy;
pub mod shards;
mod walk;
mod write;

pub use self::archive::{Claims, MAX_CLAIM, MAX_CLAIMS, MAX_RESPONSE, read};
pub use self::claim::{Assertion, ByteRange, Claim, MAX_PARTS, MAX_URL_LEN, MAX_URLS, Part};
pub use self::error::Error;
pub use self::policy::{Addresses, Allowed, AllowedError, Carpark, CarparkError, Policy, Refusal, Site, is_public};
pub use self::walk::{Ask, At, Limits, Place, Request, Walk};
pub use self::write::{Did, DidError, Location, write};
