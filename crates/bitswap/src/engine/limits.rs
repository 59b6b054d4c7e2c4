//! What one peer may take up. Everything here has a default that suits a public server.

use serde::{Deserialize, Serialize};

/// The bounds of an [`Engine`](super::Engine).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How many wants are held, at whatever stage. Default 4,096: boxo holds 1,024, helia asks
    /// for up to 1,024 in one message.
    pub max_wants: usize,
    /// How many bytes of answers may wait to be sent before no more lookups are handed out.
    /// Default 1 MiB. What is outstanding then may add to it, but of block data never more than
    /// one block beyond it is kept.
    pub max_queued: usize,
    /// How many lookups may be outstanding. Default 1,024. It is for hosts that answer later;
    /// one that answers at once has one outstanding.
    pub max_outstanding: usize,
    /// The size, in bytes, up to which a want-have is answered with the block itself. Default
    /// 1,024, as boxo and helia have it.
    pub inline_limit: usize,
    /// The bytes of block data at which a message is full enough to be sent. Default 64 KiB. A
    /// larger block goes in a message of its own. boxo's is 16 KiB; every client takes 4 MiB.
    pub message_target: usize,
    /// Keys the hash table of wants, so that a peer cannot choose CIDs that collide in it. Draw it
    /// at random, once a process, where there is a source of randomness; on targets without address
    /// space randomisation, wasm among them, the default of 0 leaves the table unkeyed.
    pub table_key: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_wants: 4096,
            max_queued: 1 << 20,
            max_outstanding: 1024,
            inline_limit: 1024,
            message_target: 64 << 10,
            table_key: 0,
        }
    }
}
