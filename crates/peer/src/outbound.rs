//! The one stream on which we send Bitswap messages: opened when there is something to say, reused, and ended
//! when nothing was said for a while, since some clients give a silent stream up.

use std::collections::VecDeque;
use std::time::Duration;

use hoverboard_bitswap::Protocol;
use hoverboard_wire::Connection;
use hoverboard_wire::yamux::StreamId;
use serde::{Deserialize, Serialize};

/// How long the stream may be silent: helia aborts it after ten seconds.
const LINGER: Duration = Duration::from_secs(5);

/// How long the peer may take to read an ended stream to its end, and to end it too.
const FAREWELL: Duration = Duration::from_secs(60);

/// Ended streams that are remembered. One is ended in five seconds at most, so that it is the time that counts.
const MAX_ENDED: usize = 16;

/// All places of the protocol list, preferred first.
const ALL: [usize; Protocol::ALL.len()] = [0, 1, 2, 3];

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outbound {
    state: State,
    /// What the peer spoke to us, which it will speak when we open a stream.
    spoken: Option<Protocol>,
    /// When something was last sent.
    used: Duration,
    /// Since when something waits for the stream and none of it leaves.
    stalled_since: Option<Duration>,
    /// Streams that we ended and the peer may not have, and when; the oldest first.
    ended: VecDeque<(StreamId, Duration)>,
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

    fn current(&self) -> Option<StreamId> {
        match self.state {
            State::Closed => None,
            State::Proposed(stream) | State::Open(stream, _) => Some(stream),
        }
    }

    /// Whether this is the stream.
    pub(crate) fn is(&self, stream: StreamId) -> bool {
        self.current() == Some(stream)
    }

    /// Whether the next message needs a new stream.
    pub(crate) fn is_closed(&self) -> bool {
        self.current().is_none()
    }

    /// Bytes that wait on the stream.
    pub(crate) fn queued(&self, connection: &Connection) -> usize {
        self.current().map_or(0, |stream| connection.queued_on(stream))
    }

    /// Notes whether something waits for the stream, and whether some of it has just left.
    pub(crate) fn moved(&mut self, waits: bool, left: bool, now: Duration) {
        self.stalled_since = match self.stalled_since {
            _ if !waits || left => None,
            Some(since) => Some(since),
            None => Some(now),
        };
    }

    /// Since when something waits for the stream and none of it leaves.
    pub(crate) fn stalled_since(&self) -> Option<Duration> {
        self.stalled_since
    }

    /// A stream is gone. `true` if it was the one in use: the next message opens another.
    pub(crate) fn lost(&mut self, stream: StreamId) -> bool {
        let ours = self.is(stream);
        if ours {
            self.state = State::Closed;
        }
        ours
    }

    /// The peer does not speak what was proposed. `true` if there is nothing else to propose.
    pub(crate) fn refused(&mut self) -> bool {
        self.spoken.take().is_none()
    }

    /// When [`end_silent`](Self::end_silent) has something to do.
    pub(crate) fn silent_at(&self) -> Option<Duration> {
        matches!(self.state, State::Open(..)).then(|| self.used + LINGER)
    }

    /// Ends the stream if it has been silent for too long. To be called when everything was said on it.
    pub(crate) fn end_silent(
        &mut self,
        connection: &mut Connection,
        now: Duration,
    ) -> Result<(), hoverboard_wire::Error> {
        if let State::Open(stream, _) = self.state
            && self.silent_at().is_some_and(|at| now >= at)
        {
            connection.finish(stream);
            self.state = State::Closed;
            self.ended.push_back((stream, now));
            if self.ended.len() > MAX_ENDED
                && let Some((oldest, _)) = self.ended.pop_front()
            {
                connection.reset(oldest)?;
            }
        }
        Ok(())
    }

    /// When [`reset_ended`](Self::reset_ended) has something to do.
    pub(crate) fn farewell_at(&self, connection: &Connection) -> Option<Duration> {
        let left = self.ended.iter().find(|(stream, _)| connection.has(*stream));
        left.map(|(_, ended_at)| *ended_at + FAREWELL)
    }

    /// Gives up the streams that the peer has left open for too long: they must not pile up. Not at once, as a reset
    /// may cost it what it has not read yet.
    pub(crate) fn reset_ended(
        &mut self,
        connection: &mut Connection,
        now: Duration,
    ) -> Result<(), hoverboard_wire::Error> {
        while let Some((stream, _)) = self.ended.pop_front_if(|(_, ended_at)| now >= *ended_at + FAREWELL) {
            connection.reset(stream)?;
        }
        Ok(())
    }
}
