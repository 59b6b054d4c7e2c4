//! The network of the native host: sockets on one side, sessions on the other.
//!
//! | module | it is |
//! |---|---|
//! | [`pipe`] | TCP and WebSocket as one kind of byte pipe |
//! | [`metered`] | a socket that counts |
//! | [`link`] | a session on a pipe: what every connection does, serving or asking |
//! | [`serve`] | accepting connections |
//! | [`served`] | one peer that is answered |
//! | [`capped`] | how much it may have |
//! | [`denied`] | the blocks that it may not have |
//! | [`files`] | its reads from the catalog |
//! | [`stored`] | its reads from the store |
//! | [`client`] | dialling a peer and asking it |
//!
//! What is said over the pipes is the core crates' business.

mod capped;
pub mod client;
mod denied;
mod files;
mod link;
mod metered;
mod pipe;
mod serve;
mod served;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use hoverboard_peer::wire;
use libp2p_identity::Keypair;
use multiaddr::Multiaddr;
use tokio::time::Instant;

pub use self::link::Ended;
pub use self::serve::{serve, serve_with};

/// The clock of the sessions: time since the process's first connection.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> Duration {
        self.0.elapsed()
    }

    fn at(self, time: Duration) -> Instant {
        self.0 + time
    }
}

/// 32 bytes that nobody can guess, for keys.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has a source of random bytes");
    bytes
}

/// The settings of the sessions of this process.
fn session_config(
    identity: &Keypair,
    listen_addrs: Vec<Multiaddr>,
    serve: bool,
    tune: impl FnOnce(&mut wire::Config),
) -> Result<hoverboard_peer::Config, wire::identity::KeyError> {
    let identity = wire::identity::Identity::new(identity, random())?;
    let mut config = wire::Config::new(identity, Arc::new(wire::aead::Ring), hoverboard_peer::protocols());
    config.listen_addrs = listen_addrs;
    if !serve {
        // What we fetch is large, and comes by few connections.
        config.yamux.receive_window = 16 * 1024 * 1024;
    }
    tune(&mut config);
    let [a, b, c, d, e, f, g, h, ..] = random();
    let engine = hoverboard_bitswap::Limits {
        max_queued: hoverboard_peer::bounds::MAX_ALLOWANCE,
        table_key: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        ..hoverboard_bitswap::Limits::default()
    };
    Ok(hoverboard_peer::Config { wire: Arc::new(config), engine, serve })
}
