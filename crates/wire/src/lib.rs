//! libp2p over one byte pipe: multistream-select, Noise, yamux, identify and ping, as listener and as dialler.
//!
//! There is no I/O here: bytes, time and random bytes are arguments; what to do next is a return value. A host
//! moves bytes between a socket and a [`Connection`], hands its [`Event`]s to the application, and calls
//! [`Connection::wake`] at its [deadline](Connection::deadline). An established connection is plain data: it
//! can be [frozen](Connection::freeze) between any two calls and thawed in another process. What is spoken over
//! the streams, transports and secure channels other than Noise are not here.

pub mod aead;
mod config;
mod connection;
mod error;
mod established;
mod identify;
pub mod identity;
mod multistream;
mod noise;
mod transport;
pub mod yamux;

use serde::{Deserialize, Serialize};

pub use self::config::Config;
pub use self::connection::{Connection, ThawError};
pub use self::error::Error;
pub use self::established::Event;
pub use self::identify::Info;
pub use self::transport::{MAX_FRAME, MAX_PLAINTEXT};
pub use libp2p_identity::PeerId;
pub use multiaddr::Multiaddr;

/// Which side of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The side that connected.
    Dialler,
    /// The side that was connected to.
    Listener,
}
