//! A Bitswap message as a value. [`decode`] and [`encode`] turn it from and into bytes; what a
//! wantlist means is the engine's business.

mod decode;
mod encode;

use bytes::Bytes;
use cid::Cid;
use serde::{Deserialize, Serialize};

pub(crate) use encode::{BlockHead, EncodedCid, PENDING_BYTES, presence_len, put_presence};

use crate::Prefix;

/// One message, of any version of the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What the sender wants, if it says anything about it.
    pub wantlist: Option<Wantlist>,
    /// The blocks it sends.
    pub blocks: Vec<Block>,
    /// What it says to have and not to have (1.2.0).
    pub presences: Vec<(Cid, Presence)>,
    /// How many bytes of answers it has queued behind this message (1.2.0).
    pub pending_bytes: i32,
}

/// What a peer wants: a change to what it wanted before, or all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wantlist {
    /// The wants and cancels, to be taken in this order.
    pub entries: Vec<Entry>,
    /// Whether these are all of the peer's wants, and any that it had before are void.
    pub full: bool,
}

/// One want, or the end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The block it is about.
    pub cid: Cid,
    /// The higher, the sooner. It has a meaning only among the wants of one peer.
    pub priority: i32,
    /// Whether the want is withdrawn; then only the CID counts.
    pub cancel: bool,
    /// What is wanted.
    pub kind: WantKind,
    /// Whether the peer wants to be told if the block is not there.
    pub send_dont_have: bool,
}

/// What is wanted of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WantKind {
    /// The block itself.
    #[default]
    Block,
    /// Whether it is there.
    Have,
}

/// A block in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// How the sender names the block, but for the digest. 1.0.0 and the bare protocol have no
    /// prefixes: the block is a CIDv0's, or whatever its reader asked for.
    pub prefix: Option<Prefix>,
    /// The bytes of the block, unverified.
    pub data: Bytes,
}

/// Whether a peer has a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Presence {
    /// It does.
    Have,
    /// It does not.
    DontHave,
}
