//! Why a connection ends: one error type for the whole wire.
//!
//! Every error here is fatal to the connection and harmless to every other.

use libp2p_identity::PeerId;

use crate::aead::Forged;

/// What went wrong on a connection. The text names the layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A frame does not open under the session's key.
    #[error("noise: {0}")]
    Forged(#[from] Forged),
    /// A frame is too short to hold its authenticator.
    #[error("noise: a frame is shorter than its authenticator")]
    ShortFrame,
    /// 2^64 - 1 frames were sealed or opened under one key.
    #[error("noise: the frame counter is exhausted")]
    NonceExhausted,
    /// The handshake's cryptography failed.
    #[error("noise: handshake: {0}")]
    Handshake(#[from] snow::Error),
    /// The handshake's payload is not what libp2p puts there.
    #[error("noise: handshake payload: {0}")]
    Payload(&'static str),
    /// The peer's identity key cannot be used.
    #[error("identity: {0}")]
    Identity(#[from] crate::identity::KeyError),
    /// The peer that answered is not the one that was dialled.
    #[error("identity: dialled {expected}, but {found} answered")]
    WrongPeer {
        /// The peer that was dialled.
        expected: Box<PeerId>,
        /// The peer that proved its identity.
        found: Box<PeerId>,
    },
    /// A negotiation message breaks multistream-select.
    #[error("multistream-select: {0}")]
    Multistream(&'static str),
    /// The peer speaks none of the protocols that the connection needs.
    #[error("multistream-select: the peer does not speak {0}")]
    NoCommonProtocol(&'static str),
    /// A frame breaks yamux.
    #[error("yamux: {0}")]
    Yamux(&'static str),
    /// The peer asked for more answers than it reads.
    #[error("yamux: more than {0} control frames wait to be sent")]
    ControlFlood(usize),
    /// The peer closed the connection with a reason that is not "normal".
    #[error("yamux: the peer went away with code {0}")]
    GoneAway(u32),
    /// An identify message cannot be read.
    #[error("identify: {0}")]
    Identify(#[from] prost::DecodeError),
    /// Nothing came for longer than the limit.
    #[error("timed out {0}")]
    TimedOut(&'static str),
}
