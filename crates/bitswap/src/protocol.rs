//! The protocol ids of Bitswap, and what a message of each version can say.

use serde::{Deserialize, Serialize};

/// A version of the Bitswap protocol, as negotiated for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// `/ipfs/bitswap/1.2.0`: blocks with a CID prefix, want-have, HAVE, DONT_HAVE, pending bytes.
    V1_2_0,
    /// `/ipfs/bitswap/1.1.0`: blocks with a CID prefix, and no presences.
    V1_1_0,
    /// `/ipfs/bitswap/1.0.0`: bare block bytes.
    V1_0_0,
    /// `/ipfs/bitswap`, from before there were versions: as 1.0.0.
    Bare,
}

impl Protocol {
    /// All of them, preferred first: the order in which to offer them.
    pub const ALL: [Self; 4] = [Self::V1_2_0, Self::V1_1_0, Self::V1_0_0, Self::Bare];

    /// The protocol id, as multistream-select has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_2_0 => "/ipfs/bitswap/1.2.0",
            Self::V1_1_0 => "/ipfs/bitswap/1.1.0",
            Self::V1_0_0 => "/ipfs/bitswap/1.0.0",
            Self::Bare => "/ipfs/bitswap",
        }
    }

    /// The protocol of that id, or `None` if it is not one of Bitswap's.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Whether want-have, HAVE, DONT_HAVE and pending bytes exist in it.
    pub const fn has_presences(self) -> bool {
        matches!(self, Self::V1_2_0)
    }

    /// Whether blocks carry the prefix of their CID.
    pub const fn has_prefixes(self) -> bool {
        matches!(self, Self::V1_2_0 | Self::V1_1_0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_is_found_by_its_name() {
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::from_name(protocol.name()), Some(protocol));
        }
    }

    #[test]
    fn a_name_is_not_matched_in_part() {
        for name in ["", "/ipfs/bitswap/", "/ipfs/bitswap/1.2", "/ipfs/bitswap/1.2.0 "] {
            assert_eq!(Protocol::from_name(name), None, "{name:?}");
        }
    }
}
