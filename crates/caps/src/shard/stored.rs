//! A shard as bytes, so that a restart forgets nothing.

use super::{MAX_LEASES, Shard};

/// The version of the stored form, its first byte. Another one is not read.
pub const STATE_VERSION: u8 = 1;

/// Why bytes are no stored shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// There are none.
    #[error("it is empty")]
    Empty,
    /// They were written by another version of this program.
    #[error("it is of version {0}, not {STATE_VERSION}")]
    Version(u8),
    /// They are cut short, or something else.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] postcard::Error),
    /// Something follows.
    #[error("{0} bytes follow its end")]
    Surplus(usize),
    /// It has more records than a shard has, or other than it says.
    #[error("it does not keep to the bounds of a ledger")]
    Unsound,
}

impl Shard {
    /// The shard as bytes: about 40 bytes a record. [Pruning](Self::prune) before makes it smaller.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![STATE_VERSION];
        // Nothing in it can fail to be written to memory.
        bytes.extend(postcard::to_allocvec(self).unwrap_or_default());
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote. What was out on lease then is out still, and counts as spent once it
    /// has expired, unless its holder comes back.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let (version, bytes) = bytes.split_first().ok_or(StateError::Empty)?;
        if *version != STATE_VERSION {
            return Err(StateError::Version(*version));
        }
        let (shard, rest): (Self, &[u8]) = postcard::take_from_bytes(bytes)?;
        if !rest.is_empty() {
            return Err(StateError::Surplus(rest.len()));
        }
        if !shard.sites.is_sound() || shard.leases.len() > MAX_LEASES {
            return Err(StateError::Unsound);
        }
        Ok(shard)
    }
}
