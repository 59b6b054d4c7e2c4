//! What a block is once its bytes are here: whether they match the CID, which blocks it links to, and what file or
//! directory it is part of.
//!
//! | item | it is |
//! |---|---|
//! | [`verify`], [`multihash`] | the hash functions of the multihash table, and the check of a block against its CID |
//! | [`links`] | the CIDs in a raw, dag-pb, dag-cbor or dag-json block |
//! | [`pb`] | dag-pb nodes |
//! | [`unixfs`] | files, directories and HAMT shards, as far as it takes to walk them |
//! | [`Walk`] | a DAG in depth-first order: which block is wanted next |
//!
//! Nothing here fetches a block or stores one. Every parser takes bytes from strangers: none recurses further than
//! a fixed depth, and none needs more memory than a small multiple of the block.

mod cbor;
pub mod codec;
mod hash;
mod links;
pub mod pb;
mod proto;
pub mod unixfs;
mod verify;
mod walk;

pub use self::hash::{Sha256, Software, multihash, multihash_with};
pub use self::links::{LinksError, links};
pub use self::verify::{MIN_DIGEST_LEN, VerifyError, verify, verify_with};
pub use self::walk::{Walk, WalkError, WalkOptions};
