//! What all connections of a host share: its identity, its protocols, its bounds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use multiaddr::Multiaddr;

use crate::aead::Aead;
use crate::identity::Identity;
use crate::yamux;

/// The settings of every connection of a host.
#[derive(Clone)]
pub struct Config {
    /// Who this host is.
    pub identity: Identity,
    /// What seals and opens frames.
    pub aead: Arc<dyn Aead>,
    /// The program's name and version, as identify tells it.
    pub agent: String,
    /// Where this host can be dialled, as identify tells it.
    pub listen_addrs: Vec<Multiaddr>,
    /// The application's protocols, preferred first; at most 200. Events name them by their place in this list.
    pub protocols: Vec<String>,
    /// Bounds of the multiplexer.
    pub yamux: yamux::Limits,
    /// How long a peer may take until its streams can be opened.
    pub handshake_timeout: Duration,
    /// How long a peer may be silent before it is asked for a sign of life.
    pub idle_timeout: Duration,
    /// How long it may take to give that sign.
    pub ping_timeout: Duration,
    /// How long a message may stand still: one that waits for the peer, which takes none of it, or one that is half
    /// received and does not go on. It is kept to by whoever knows the messages, as the connection does not.
    pub stall_timeout: Duration,
}

impl Config {
    /// The defaults for a host of this identity that serves `protocols`: 15 s for a handshake, 150 s of silence,
    /// 60 s for the answer, and as long for a message that stands still.
    pub fn new(identity: Identity, aead: Arc<dyn Aead>, protocols: Vec<String>) -> Self {
        Self {
            identity,
            aead,
            agent: concat!("hoverboard/", env!("CARGO_PKG_VERSION")).to_owned(),
            listen_addrs: Vec::new(),
            protocols,
            yamux: yamux::Limits::default(),
            handshake_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(150),
            ping_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("identity", &self.identity).field("agent", &self.agent).finish_non_exhaustive()
    }
}
