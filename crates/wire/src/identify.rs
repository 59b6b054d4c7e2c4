//! identify and identify push: what a peer says of itself. Specification: libp2p `identify` 1.0.0.
//!
//! Messages are length-prefixed; a peer may send several, which are merged, of 64 KiB together at most.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Error;

pub(crate) const PROTOCOL: &str = "/ipfs/id/1.0.0";
pub(crate) const PUSH_PROTOCOL: &str = "/ipfs/id/push/1.0.0";

/// The most bytes of identify messages that are read from one stream.
const MAX_BYTES: usize = 64 * 1024;

/// The version of the libp2p protocols as a whole, as peers expect to read it.
const PROTOCOL_VERSION: &str = "ipfs/0.1.0";

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "vec", optional, tag = "1")]
    public_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    listen_addrs: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "3")]
    protocols: Vec<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    observed_addr: Option<Vec<u8>>,
    #[prost(string, optional, tag = "5")]
    protocol_version: Option<String>,
    #[prost(string, optional, tag = "6")]
    agent_version: Option<String>,
}

/// What a peer says of itself. Nothing in it is proven but the peer id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The peer, as its handshake proved it.
    pub peer: PeerId,
    /// Its program's name and version.
    pub agent: String,
    /// The protocols it speaks.
    pub protocols: Vec<String>,
    /// Where it says that it listens.
    pub listen_addrs: Vec<Multiaddr>,
    /// Our address as it sees it.
    pub observed_addr: Option<Multiaddr>,
}

/// This host's own message, with its length before it.
pub(crate) fn own<S: AsRef<str>>(config: &Config, table: &[S], observed: Option<&Multiaddr>) -> Vec<u8> {
    Message {
        public_key: Some(config.identity.public_key().to_vec()),
        listen_addrs: config.listen_addrs.iter().map(|a| a.to_vec()).collect(),
        protocols: table.iter().map(|p| p.as_ref().to_owned()).collect(),
        observed_addr: observed.map(|a| a.to_vec()),
        protocol_version: Some(PROTOCOL_VERSION.to_owned()),
        agent_version: Some(config.agent.clone()),
    }
    .encode_length_delimited_to_vec()
}

/// The bytes of a peer's messages, until it ends the stream.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.bytes.len() + bytes.len() > MAX_BYTES {
            return Err(Error::Multistream("identify messages are longer than 64 KiB"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn finish(self, peer: PeerId) -> Result<Info, Error> {
        let mut rest = self.bytes.as_slice();
        let mut message = Message::default();
        while !rest.is_empty() {
            message.merge_length_delimited(&mut rest)?;
        }
        let address = |bytes: Vec<u8>| Multiaddr::try_from(bytes).ok();
        Ok(Info {
            peer,
            agent: message.agent_version.unwrap_or_default(),
            protocols: message.protocols,
            listen_addrs: message.listen_addrs.into_iter().filter_map(address).collect(),
            observed_addr: message.observed_addr.and_then(address),
        })
    }
}
