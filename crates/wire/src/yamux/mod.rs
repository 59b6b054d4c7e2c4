//! yamux over a byte pipe, without I/O: frames in and out, flow control, stream limits, pings, GoAway.
//!
//! It knows nothing of protocols: it carries bytes of numbered streams. Bounds: [`Limits::streams`] streams that
//! the peer opened (more are reset), [`Limits::control_frames`] answers that wait to be sent (more end the
//! connection), a receive window a stream that grows from 256 KiB to [`Limits::receive_window`]. What the
//! application queues to be sent is the application's bound to keep.

mod frame;
mod pings;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use self::frame::{ACK, FIN, HEADER, Header, Kind, RST, SYN};
use self::pings::Pings;
use self::stream::Stream;
use crate::Role;
use crate::error::Error;

/// A stream's number on its connection.
pub type StreamId = u32;

/// A data frame is not begun for fewer bytes than this while more wait: the next frame takes them.
const SMALLEST_SPLIT: usize = 512;

/// Bounds of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams that the peer may have open at a time; a further one is reset.
    pub streams: usize,
    /// Control frames that may wait to be sent, of 12 bytes each; the next one ends the connection.
    pub control_frames: usize,
    /// What the receive window of a stream may grow to, in bytes; at least 256 KiB.
    pub receive_window: u32,
    /// Stream bytes that may be sent without proof that they arrived: a ping behind them is the proof. `None`
    /// where the pipe itself pushes back. 1 KiB is the least that is kept to.
    pub unproven: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 256, control_frames: 4_096, receive_window: stream::INITIAL_WINDOW, unproven: None }
    }
}

/// What the peer did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The peer opened a stream.
    Opened(StreamId),
    /// Bytes of a stream. They count against its window until [`Mux::consume`].
    Data(StreamId, &'a [u8]),
    /// The peer sends nothing more on a stream.
    Finished(StreamId),
    /// A stream is gone, with what was queued on it.
    Reset(StreamId),
    /// A ping of ours came back after this time.
    Pong(Duration),
    /// The peer opens and accepts no more streams.
    GoAway(u32),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mux {
    role: Role,
    next_id: u32,
    streams: BTreeMap<StreamId, Stream>,
    remote_streams: usize,
    /// The header that is only partly here.
    partial: Vec<u8>,
    /// The data frame being received, and how much of it is still to come.
    body: Option<(StreamId, u32)>,
    /// The stream that ends when the bytes of the last frame have been handed on.
    ending: Option<StreamId>,
    control: VecDeque<[u8; HEADER]>,
    /// Streams with something to send, in turn.
    ready: VecDeque<StreamId>,
    queued: usize,
    pings: Pings,
    /// The peer opens and accepts no more streams; we do not.
    peer_away: bool,
    we_away: bool,
}

impl Mux {
    /// `ping_key` is 32 bytes that the peer cannot know.
    pub(crate) fn new(role: Role, ping_key: [u8; 32]) -> Self {
        Self {
            role,
            next_id: if role == Role::Dialler { 1 } else { 2 },
            streams: BTreeMap::new(),
            remote_streams: 0,
            partial: Vec::new(),
            body: None,
            ending: None,
            control: VecDeque::new(),
            ready: VecDeque::new(),
            queued: 0,
            pings: Pings::new(ping_key),
            peer_away: false,
            we_away: false,
        }
    }

    /// Stream bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn queued_on(&self, id: StreamId) -> usize {
        self.streams.get(&id).map_or(0, |s| s.queued)
    }

    /// Whether no frame is half received and nothing waits to be sent.
    pub(crate) fn is_quiet(&self) -> bool {
        self.partial.is_empty()
            && self.body.is_none()
            && self.ending.is_none()
            && self.queued == 0
            && self.control.is_empty()
    }

    pub(crate) fn has(&self, id: StreamId) -> bool {
        self.streams.contains_key(&id)
    }

    pub(crate) fn is_peer_away(&self) -> bool {
        self.peer_away
    }

    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.pings.rtt()
    }

    /// Stream bytes sent and not proven to have arrived.
    pub(crate) fn unproven(&self) -> u64 {
        self.pings.unproven()
    }

    /// Bounds them for this connection, whatever [`Limits::unproven`] says.
    pub(crate) fn set_unproven(&mut self, bytes: u64) {
        self.pings.set_bound(bytes);
    }

    /// Opens a stream, unless the peer went away. Its first frame leaves with its first bytes.
    pub(crate) fn open(&mut self, now: Duration) -> Option<StreamId> {
        if self.peer_away {
            return None;
        }
        let id = self.next_id;
        self.next_id = id.checked_add(2)?;
        self.streams.insert(id, Stream::dialled(now));
        Some(id)
    }

    /// Queues bytes on a stream; they are dropped if the stream is gone or ended by us.
    pub(crate) fn send(&mut self, id: StreamId, bytes: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if bytes.is_empty() || stream.fin_queued {
            return;
        }
        stream.queued += bytes.len();
        self.queued += bytes.len();
        stream.queue.push_back(bytes);
        self.make_ready(id);
    }

    /// Ends our side of a stream behind what is queued.
    pub(crate) fn finish(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.fin_queued = true;
            self.make_ready(id);
        }
    }

    /// Gives a stream up at once.
    pub(crate) fn reset(&mut self, id: StreamId, limits: &Limits) -> Result<(), Error> {
        if self.remove(id).is_some() {
            self.push(Header { kind: Kind::WindowUpdate, flags: RST, stream: id, length: 0 }, limits)?;
        }
        Ok(())
    }

    /// Says that `n` received bytes of a stream were used up, and lets the peer send as many more.
    pub(crate) fn consume(&mut self, id: StreamId, n: usize, now: Duration, limits: &Limits) -> Result<(), Error> {
        let rtt = self.pings.rtt();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        stream.consumed += n as u32;
        if let Some(length) = stream.credit(now, rtt, limits.receive_window) {
            let flags = std::mem::take(&mut stream.opening);
            self.push(Header { kind: Kind::WindowUpdate, flags, stream: id, length }, limits)?;
        }
        Ok(())
    }

    /// Sends a ping; its answer gives the round-trip time.
    pub(crate) fn ping(&mut self, now: Duration, limits: &Limits) -> Result<(), Error> {
        let value = self.pings.next(now);
        self.push(Header { kind: Kind::Ping, flags: SYN, stream: 0, length: value }, limits)
    }

    /// Accepts no more streams; those that are open go on. GoAway is not sent: both go-yamux and js-yamux close
    /// everything at once when they get it.
    pub(crate) fn stop_accepting(&mut self) {
        self.we_away = true;
    }

    /// Says that this is the end: peers close everything at once when they get it.
    pub(crate) fn go_away(&mut self, limits: &Limits) -> Result<(), Error> {
        self.we_away = true;
        self.push(Header { kind: Kind::GoAway, flags: 0, stream: 0, length: 0 }, limits)
    }

    /// Takes bytes from the front of `input` until something happened or they are used up.
    pub(crate) fn receive<'a>(
        &mut self,
        input: &mut &'a [u8],
        now: Duration,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, Error> {
        loop {
            if let Some((id, len)) = self.body {
                if len > 0 && input.is_empty() {
                    return Ok(None);
                }
                let n = (len as usize).min(input.len());
                let (bytes, rest) = input.split_at(n);
                *input = rest;
                let left = len - n as u32;
                self.body = (left > 0).then_some((id, left));
                if n > 0 && self.streams.contains_key(&id) {
                    return Ok(Some(Event::Data(id, bytes)));
                }
                continue;
            }
            if let Some(event) = self.ending.take().and_then(|id| self.finished(id)) {
                return Ok(Some(event));
            }
            let Some(header) = self.next_header(input)? else {
                return Ok(None);
            };
            if let Some(event) = self.frame(header, now, limits)? {
                return Ok(Some(event));
            }
        }
    }

    fn next_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Error> {
        if self.partial.is_empty()
            && let Some((header, rest)) = input.split_first_chunk::<HEADER>()
        {
            *input = rest;
            return Header::decode(header).map(Some);
        }
        let n = (HEADER - self.partial.len()).min(input.len());
        let (head, rest) = input.split_at(n);
        self.partial.extend_from_slice(head);
        *input = rest;
        match self.partial.first_chunk::<HEADER>() {
            Some(header) => {
                let header = Header::decode(header)?;
                self.partial = Vec::new();
                Ok(Some(header))
            }
            None => Ok(None),
        }
    }

    fn frame<'a>(&mut self, header: Header, now: Duration, limits: &Limits) -> Result<Option<Event<'a>>, Error> {
        match header.kind {
            Kind::Ping if header.has(SYN) => {
                self.push(Header { flags: ACK, ..header }, limits)?;
                Ok(None)
            }
            Kind::Ping => Ok(self.pings.answered(header.length, now).map(Event::Pong)),
            Kind::GoAway => {
                self.peer_away = true;
                Ok(Some(Event::GoAway(header.length)))
            }
            Kind::Data | Kind::WindowUpdate => self.stream_frame(header, now, limits),
        }
    }

    fn stream_frame<'a>(&mut self, header: Header, now: Duration, limits: &Limits) -> Result<Option<Event<'a>>, Error> {
        let id = header.stream;
        let opened = header.has(SYN) && self.accept(id, now, limits)?;
        let length = header.length;
        let Some(stream) = self.streams.get_mut(&id) else {
            // A stream that was reset or refused: what is still on its way to it is passed over.
            if header.kind == Kind::Data {
                self.body = (length > 0).then_some((id, length));
            }
            return Ok(None);
        };
        if header.has(RST) {
            if header.kind == Kind::Data {
                self.body = (length > 0).then_some((id, length));
            }
            self.remove(id);
            // A stream opened and given up by one frame never was.
            return Ok((!opened).then_some(Event::Reset(id)));
        }
        match header.kind {
            Kind::Data => {
                stream.receive_window = stream
                    .receive_window
                    .checked_sub(length)
                    .ok_or(Error::Yamux("the peer sent more than the window of a stream allows"))?;
                self.body = (length > 0).then_some((id, length));
            }
            _ => {
                stream.send_window = stream.send_window.saturating_add(length);
                self.make_ready(id);
            }
        }
        // The end of a stream comes after its opening and its last bytes.
        self.ending = header.has(FIN).then_some(id);
        Ok(opened.then_some(Event::Opened(id)))
    }

    fn finished<'a>(&mut self, id: StreamId) -> Option<Event<'a>> {
        let stream = self.streams.get_mut(&id).filter(|stream| !stream.fin_received)?;
        stream.fin_received = true;
        self.remove_if_over(id);
        Some(Event::Finished(id))
    }

    /// Registers a stream that the peer opens; `false` if there are too many or none are wanted, and it is reset.
    fn accept(&mut self, id: StreamId, now: Duration, limits: &Limits) -> Result<bool, Error> {
        let theirs = if self.role == Role::Dialler { 0 } else { 1 };
        if id == 0 || id % 2 != theirs {
            return Err(Error::Yamux("the peer opened a stream with a number of ours"));
        }
        if self.streams.contains_key(&id) {
            return Err(Error::Yamux("the peer opened a stream twice"));
        }
        if self.we_away || self.remote_streams >= limits.streams {
            self.push(Header { kind: Kind::WindowUpdate, flags: RST, stream: id, length: 0 }, limits)?;
            return Ok(false);
        }
        let mut stream = Stream::accepted(now);
        let flags = std::mem::take(&mut stream.opening);
        self.streams.insert(id, stream);
        self.remote_streams += 1;
        self.push(Header { kind: Kind::WindowUpdate, flags, stream: id, length: 0 }, limits)?;
        Ok(true)
    }

    /// Appends up to `room` bytes of frames to `out`: control frames first, then streams in turn.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>, room: usize, now: Duration, limits: &Limits) -> Result<(), Error> {
        let end = out.len() + room;
        while end - out.len() >= HEADER
            && let Some(frame) = self.control.pop_front()
        {
            out.extend_from_slice(&frame);
        }
        if self.control.is_empty() {
            // What a burst took is given back.
            self.control = VecDeque::new();
        }
        while end - out.len() > HEADER
            && let Some(id) = self.ready.pop_front()
        {
            let space = (end - out.len() - HEADER).min(self.pings.room(limits));
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            let possible = stream.queued.min(stream.send_window as usize);
            let n = possible.min(space);
            if n < possible && n < SMALLEST_SPLIT {
                self.ready.push_front(id);
                break;
            }
            stream.ready = false;
            if !stream.sendable() {
                continue;
            }
            let mut flags = std::mem::take(&mut stream.opening);
            // The end goes in a frame of its own: js-yamux passes over data that comes along with it.
            if stream.queued == 0 && stream.fin_queued && !stream.fin_sent {
                stream.fin_sent = true;
                flags |= FIN;
            }
            out.extend_from_slice(&Header { kind: Kind::Data, flags, stream: id, length: n as u32 }.encode());
            stream.take(n, out);
            self.queued -= n;
            self.pings.note_sent(n);
            self.make_ready(id);
            self.remove_if_over(id);
        }
        if self.pings.is_due(limits) {
            self.ping(now, limits)?;
        }
        Ok(())
    }

    fn push(&mut self, header: Header, limits: &Limits) -> Result<(), Error> {
        if self.control.len() >= limits.control_frames {
            return Err(Error::ControlFlood(limits.control_frames));
        }
        self.control.push_back(header.encode());
        Ok(())
    }

    fn make_ready(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.ready
            && stream.sendable()
        {
            stream.ready = true;
            self.ready.push_back(id);
        }
    }

    fn remove_if_over(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_over) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(&id)?;
        self.queued -= stream.queued;
        if id % 2 != self.next_id % 2 {
            self.remote_streams -= 1;
        }
        if stream.ready {
            self.ready.retain(|ready| *ready != id);
        }
        Some(stream)
    }
}

#[cfg(test)]
mod tests;
