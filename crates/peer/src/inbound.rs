//! The streams on which the peer sends messages: put together here, each stream for itself, and watched, so that no
//! message stays half received for ever. What the messages say is not looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hoverboard_bitswap::{Decoder, Message, Protocol};
use hoverboard_wire::yamux::StreamId;
use serde::{Deserialize, Serialize};

/// All such streams of a session.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Inbound {
    streams: BTreeMap<StreamId, Stream>,
}

#[derive(Serialize, Deserialize)]
struct Stream {
    protocol: Protocol,
    decoder: Decoder,
    /// When bytes last came on it.
    heard: Duration,
}

impl Inbound {
    pub(crate) fn opened(&mut self, stream: StreamId, protocol: Protocol, now: Duration) {
        self.streams.insert(stream, Stream { protocol, decoder: Decoder::new(), heard: now });
    }

    /// The stream is gone, and what was begun on it.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// Takes bytes of a stream up to the end of a message, and gives that. `None` if all were taken, which they are at
    /// once for a stream that is not one of these.
    pub(crate) fn receive(
        &mut self,
        stream: StreamId,
        bytes: &mut Bytes,
        now: Duration,
    ) -> Result<Option<(Message, Protocol)>, hoverboard_bitswap::Error> {
        let Some(stream) = self.streams.get_mut(&stream) else { return Ok(None) };
        stream.heard = now;
        let Some(body) = stream.decoder.decode(bytes)? else { return Ok(None) };
        Ok(Some((Message::decode(body)?, stream.protocol)))
    }

    /// Bytes held of messages that are not whole yet.
    pub(crate) fn unfinished(&self) -> usize {
        self.streams.values().map(|stream| stream.decoder.buffered_bytes()).sum()
    }

    /// Since when a message that has begun has not gone on; of several, the longest.
    pub(crate) fn stalled_since(&self) -> Option<Duration> {
        let begun = self.streams.values().filter(|stream| !stream.decoder.is_between_messages());
        begun.map(|stream| stream.heard).min()
    }

    pub(crate) fn is_between_messages(&self) -> bool {
        self.stalled_since().is_none()
    }
}
