//! Why a connection ends, and what the peer is told.

use hoverboard_peer::Error as SessionError;

use crate::kept::KeptError;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("closed by the peer")]
    ByPeer,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("a text message")]
    Text,
    #[error("the bound on what all peers hold is reached")]
    Memory,
    #[error("this connection has used what it may: come back")]
    Budget,
    #[error("{0}")]
    Kept(#[from] KeptError),
    #[error("the platform: {0}")]
    Platform(#[from] worker::Error),
}

impl Ended {
    /// The close code of RFC 6455, or of its registry.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::ByPeer => 1000,
            Self::Session(_) => 1002,
            Self::Text => 1003,
            Self::Memory => 1008,
            Self::Platform(_) => 1011,
            // The host was restarted under the session.
            Self::Kept(_) => 1012,
            Self::Budget => 1013,
        }
    }

    /// What the peer is told, in the 123 bytes that a close frame has for it.
    pub(crate) fn told(&self) -> String {
        let mut text = self.to_string();
        while text.len() > 123 {
            text.pop();
        }
        text
    }

    /// Whether the peer did what no peer should.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Text | Self::Memory)
    }
}
