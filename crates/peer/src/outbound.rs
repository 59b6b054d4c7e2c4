//! The one stream on which we send Bitswap messages: opened when there is something to say, reused, and ended
//! when nothing was said for a while, since some clients give a silent stream up.

use std::time::Duration;

use hoverboard_bitswap::Protocol;
use hoverboard_wire::Connection;
use hoverboard_wire::yamux::StreamId;
use serde::{Deserialize, Serialize};

/// How long the stream may be silent: helia aborts it after ten seconds.
const LINGER: Duration = Duration::from_secs(5);

/// All places of the protocol list, preferred first.
const ALL: [usize; Protocol::ALL.len()] = [0, 1, 2, 3];

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Outbound {
    state: State,
    /// What the peer spoke to us, which it will speak when we open a stream.
    spoken: Option<Protocol>,
    /// When something was last sent.
    used: Duration,
    /// The last stream that we ended, which the peer may not have.
    ended: Option<StreamId>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
enum State {
    #[default]
    Closed,
    Proposed(StreamId),
    Open(StreamId, Protocol),
}

impl Outbound {
    /// Notes which protocol the peer opened a stream with.
    pub(crate) fn heard(&mut self, protocol: Protocol) {
        self.spoken = Some(protocol);
    }

    /// The stream to send on, opened if need be; `None` while the peer has not agreed to it.
    pub(crate) fn stream(&mut self, connection: &mut Connection, now: Duration) -> Option<(StreamId, Protocol)> {
        if let State::Closed = self.state {
            self.used = now;
            self.state = match self.spoken {
                // What it spoke to us it understands: no need to wait for its word.
                Some(protocol) => State::Open(connection.open(&[protocol as usize], now)?, protocol),
                None => State::Proposed(connection.open(&ALL, now)?),
            };
        }
        match self.state {
            State::Open(stream, protocol) => {
                self.used = now;
                Some((stream, protocol))
            }
            _ => None,
        }
    }

    pub(crate) fn agreed(&mut self, stream: StreamId, protocol: Protocol) {
        if matches!(self.state, State::Proposed(proposed) if proposed == stream) {
            self.state = State::Open(stream, protocol);
        }
    }

    /// Whether this is the stream.
    pub(crate) fn is(&self, stream: StreamId) -> bool {
        matches!(self.state, State::Proposed(ours) | State::Open(ours, _) if ours == stream)
    }

    /// The stream is gone: the next message opens another. `true` if it was this one.
    pub(crate) fn lost(&mut self, stream: StreamId) -> bool {
        match self.state {
            State::Proposed(ours) | State::Open(ours, _) if ours == stream => {
                self.state = State::Closed;
                true
            }
            _ => false,
        }
    }

    /// The peer does not speak what was proposed. `true` if there is nothing else to propose.
    pub(crate) fn refused(&mut self, stream: StreamId) -> bool {
        self.lost(stream) && self.spoken.take().is_none()
    }

    /// When the stream has been silent for too long.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        matches!(self.state, State::Open(..)).then(|| self.used + LINGER)
    }

    /// Ends the stream if it has been silent for too long.
    pub(crate) fn wake(&mut self, connection: &mut Connection, now: Duration) -> Result<(), hoverboard_wire::Error> {
        if let State::Open(stream, _) = self.state
            && self.deadline().is_some_and(|deadline| now >= deadline)
        {
            connection.finish(stream);
            self.state = State::Closed;
            // A peer that never ends its side has had all this time: its streams must not pile up.
            if let Some(before) = self.ended.replace(stream) {
                connection.reset(before)?;
            }
        }
        Ok(())
    }
}
