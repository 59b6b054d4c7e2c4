//! A session: one connection, the Bitswap streams on it, the engine that answers, and what we ask ourselves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Answer, Decoder, Engine, Limits, Lookup, MAX_RECEIVED, Message, Protocol, Ticket, WantKind};
use hoverboard_wire as wire;
use hoverboard_wire::yamux::StreamId;
use hoverboard_wire::{Connection, Info, Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

use crate::asking::Asking;
use crate::outbound::Outbound;

/// Answers are moved from the engine to the multiplexer until this many bytes wait there: enough to fill a socket,
/// few enough that a cancel still finds its block in the engine.
const MUX_QUEUE: usize = 256 * 1024;

/// What all sessions of a host share.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its protocols must be [`protocols`].
    pub wire: Arc<wire::Config>,
    /// Bounds of what a peer may want.
    pub engine: Limits,
    /// Whether peers are served; without it their wants are passed over.
    pub serve: bool,
}

/// The protocols of a session, in the order that [`wire::Config::protocols`] needs.
pub fn protocols() -> Vec<String> {
    Protocol::ALL.iter().map(|protocol| protocol.name().to_owned()).collect()
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection broke its rules, or timed out.
    #[error(transparent)]
    Wire(#[from] wire::Error),
    /// The peer sent a message that is not Bitswap.
    #[error("bitswap: {0}")]
    Bitswap(#[from] hoverboard_bitswap::Error),
    /// The peer began more messages than it may at a time.
    #[error("bitswap: unfinished messages of more than {MAX_RECEIVED} bytes")]
    Unfinished,
    /// A frozen session cannot be read.
    #[error("the frozen session cannot be read: {0}")]
    Thaw(#[from] postcard::Error),
    /// A frozen connection cannot be read.
    #[error(transparent)]
    ThawConnection(#[from] wire::ThawError),
}

/// What happened in a session. Lookups are not events: see [`Session::next_lookup`].
#[derive(Debug)]
pub enum Event {
    /// The peer proved who it is.
    Connected(PeerId),
    /// The peer said what it is.
    Identified(Box<Info>),
    /// A block that we wanted, checked against the CID that we wanted it by.
    Block {
        /// The CID as we asked for it.
        cid: Cid,
        /// The block.
        data: Bytes,
    },
    /// The peer has a block that we asked about.
    Have(Cid),
    /// The peer does not have a block that we asked about.
    DontHave(Cid),
    /// A ping came back after this time.
    Pong(Duration),
    /// The peer does not speak Bitswap.
    NoBitswap,
    /// The peer opens and accepts no more streams.
    GoAway,
}

/// What a session has done, since it began or was thawed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Wants taken up.
    pub wants: u64,
    /// Blocks sent.
    pub blocks: u64,
    /// Bytes of those blocks.
    pub block_bytes: u64,
    /// HAVEs given.
    pub haves: u64,
    /// DONT_HAVEs given.
    pub dont_haves: u64,
}

/// One peer's session, as listener or as dialler.
///
/// # Bounds
/// Of what the peer sends, one unfinished message of at most [`MAX_RECEIVED`] bytes is held, the wants that
/// [`Limits`] allow, and one sealed frame. Of what is to be sent, [`Limits::max_queued`] and 256 KiB, or one
/// block where that is larger.
pub struct Session {
    config: Arc<Config>,
    connection: Connection,
    inbound: BTreeMap<StreamId, Inbound>,
    outbound: Outbound,
    engine: Engine,
    asking: Asking,
    events: VecDeque<Event>,
    counters: Counters,
    draining: bool,
}

/// A stream on which the peer sends messages.
#[derive(Serialize, Deserialize)]
struct Inbound {
    protocol: Protocol,
    decoder: Decoder,
}

impl Session {
    /// A peer connected to us from `remote_addr`. `ephemeral` is 32 fresh random bytes.
    pub fn accept(
        config: Arc<Config>,
        remote_addr: Option<Multiaddr>,
        ephemeral: [u8; 32],
        now: Duration,
    ) -> Result<Self, Error> {
        let connection = Connection::accept(config.wire.clone(), remote_addr, ephemeral, now)?;
        Ok(Self::new(config, connection))
    }

    /// We connected to `remote_addr`, where `expected` should answer. `ephemeral` is 32 fresh random bytes.
    pub fn dial(
        config: Arc<Config>,
        expected: Option<PeerId>,
        remote_addr: Option<Multiaddr>,
        ephemeral: [u8; 32],
        now: Duration,
    ) -> Result<Self, Error> {
        let connection = Connection::dial(config.wire.clone(), expected, remote_addr, ephemeral, now)?;
        Ok(Self::new(config, connection))
    }

    fn new(config: Arc<Config>, connection: Connection) -> Self {
        let engine = Engine::new(config.engine.clone());
        Self {
            config,
            connection,
            inbound: BTreeMap::new(),
            outbound: Outbound::default(),
            engine,
            asking: Asking::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
            draining: false,
        }
    }

    /// Takes bytes from the pipe, in any pieces; they are opened in place.
    pub fn receive(&mut self, bytes: &mut [u8], now: Duration) -> Result<(), Error> {
        let result = self.connection.receive(bytes, now);
        // What came before a fault still counts: the peer may have said its last words in it.
        while let Some(event) = self.connection.next_event() {
            self.react(event, now)?;
        }
        Ok(result?)
    }

    fn react(&mut self, event: wire::Event, now: Duration) -> Result<(), Error> {
        match event {
            wire::Event::Connected(peer) => self.events.push_back(Event::Connected(peer)),
            wire::Event::Identified(info) => self.events.push_back(Event::Identified(info)),
            wire::Event::Pong(rtt) => self.events.push_back(Event::Pong(rtt)),
            wire::Event::GoAway => self.events.push_back(Event::GoAway),
            wire::Event::Opened(stream, place) => {
                let protocol = Protocol::ALL[place];
                self.outbound.heard(protocol);
                self.inbound.insert(stream, Inbound { protocol, decoder: Decoder::new() });
            }
            wire::Event::Agreed(stream, place) => self.outbound.agreed(stream, Protocol::ALL[place]),
            wire::Event::Refused(stream) => {
                if self.outbound.refused(stream) {
                    self.engine = Engine::new(self.config.engine.clone());
                    self.events.push_back(Event::NoBitswap);
                }
            }
            wire::Event::Data(stream, bytes) => self.data(stream, bytes, now)?,
            // js-libp2p ends its side of a stream that it only reads from: ours goes on.
            wire::Event::Finished(stream) if self.outbound.is(stream) => {}
            wire::Event::Finished(stream) => {
                self.forget(stream);
                // What is queued on it still goes out.
                self.connection.finish(stream);
            }
            wire::Event::Reset(stream) => self.forget(stream),
        }
        Ok(())
    }

    fn forget(&mut self, stream: StreamId) {
        self.inbound.remove(&stream);
        self.outbound.lost(stream);
    }

    fn data(&mut self, stream: StreamId, mut bytes: Bytes, now: Duration) -> Result<(), Error> {
        let len = bytes.len();
        if let Some(inbound) = self.inbound.get_mut(&stream) {
            let protocol = inbound.protocol;
            while let Some(body) = inbound.decoder.decode(&mut bytes)? {
                let message = Message::decode(body)?;
                if let Some(wantlist) = message.wantlist.filter(|_| self.config.serve && !self.draining) {
                    self.counters.wants += self.engine.receive(wantlist, protocol).added as u64;
                }
                let events = &mut self.events;
                self.asking.receive(message.blocks, message.presences, |event| events.push_back(event));
            }
            if self.unfinished() > MAX_RECEIVED {
                return Err(Error::Unfinished);
            }
        }
        // What comes back on our own stream is not Bitswap; it is passed over.
        Ok(self.connection.consume(stream, len, now)?)
    }

    /// What happened, in order.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next block to look up for the peer; `None` when there is none, or no room for more answers: at most
    /// `allowance` bytes may be unsent, whatever the limits say, where anything is unsent at all.
    pub fn next_lookup(&mut self, allowance: usize) -> Option<Lookup> {
        let unsent = self.unsent();
        if unsent > 0 && unsent >= allowance { None } else { self.engine.next_lookup() }
    }

    /// What a lookup found. A ticket that is void by now is passed over.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let counter = match answer {
            Answer::Have { .. } => Some(&mut self.counters.haves),
            Answer::Missing => Some(&mut self.counters.dont_haves),
            Answer::Block(_) | Answer::Unknown => None,
        };
        if self.engine.answer(ticket, answer)
            && let Some(counter) = counter
        {
            *counter += 1;
        }
    }

    /// Looks everything up again that was handed out and not answered, in its old place. For a host that could not
    /// carry all of it out at once.
    pub fn look_up_again(&mut self) {
        self.engine.requeue_outstanding();
    }

    /// Appends bytes for the pipe to `out`, about `room` of them at most; none if there is nothing to send.
    pub fn transmit(&mut self, out: &mut Vec<u8>, room: usize, now: Duration) -> Result<(), Error> {
        self.fill(now);
        Ok(self.connection.transmit(out, room, now)?)
    }

    /// Moves answers and wants to the multiplexer.
    fn fill(&mut self, now: Duration) {
        // Presences are forgotten where the peer's version has none, so a message may come to nothing.
        while self.connection.queued() < MUX_QUEUE && (self.asking.has_unsent() || self.engine.has_answers()) {
            let Some((stream, protocol)) = self.outbound.stream(&mut self.connection, now) else { return };
            if let Some(frame) = self.asking.next_frame(protocol) {
                self.connection.send(stream, frame);
            } else if let Some(message) = self.engine.next_message(protocol) {
                self.counters.blocks += message.blocks as u64;
                self.counters.block_bytes += message.block_bytes as u64;
                for segment in message.segments {
                    self.connection.send(stream, segment);
                }
            }
        }
    }

    /// When [`wake`](Self::wake) is to be called, if nothing comes before.
    pub fn deadline(&self) -> Option<Duration> {
        // A stream is silent only once everything was said on it.
        let linger = self.outbound.deadline().filter(|_| self.unsent() == 0);
        self.connection.deadline().into_iter().chain(linger).min()
    }

    /// Acts on a deadline that has passed.
    pub fn wake(&mut self, now: Duration) -> Result<(), Error> {
        if self.unsent() == 0 {
            self.outbound.wake(&mut self.connection, now)?;
            if self.engine.is_idle() {
                self.engine.shrink_to_fit();
            }
        }
        Ok(self.connection.wake(now)?)
    }

    /// Wants blocks of the peer, or to know whether it has them. Each is answered by an [`Event::Block`], or an
    /// [`Event::DontHave`] where the peer says so; [`Event::Have`] may come before. How many are wanted at a time is the
    /// caller's to bound.
    pub fn want(&mut self, wants: impl IntoIterator<Item = (Cid, WantKind)>) {
        self.asking.want(wants, true);
    }

    /// Stops wanting blocks.
    pub fn cancel(&mut self, cids: impl IntoIterator<Item = Cid>) {
        self.asking.cancel(cids);
    }

    /// How many blocks are wanted of the peer.
    pub fn wanted(&self) -> usize {
        self.asking.wanted()
    }

    /// Asks the peer what it is.
    pub fn identify(&mut self, now: Duration) {
        self.connection.identify(now);
    }

    /// Measures the round trip to the peer: [`Event::Pong`] follows. `payload` is 32 fresh random bytes.
    pub fn ping(&mut self, payload: [u8; 32], now: Duration) {
        self.connection.ping(payload, now);
    }

    /// Measures the round trip to the peer's multiplexer, so that receive windows grow to the path.
    pub fn probe(&mut self, now: Duration) -> Result<(), Error> {
        Ok(self.connection.probe(now)?)
    }

    /// Takes no new wants and no new streams; what was begun goes on.
    pub fn drain(&mut self) {
        self.draining = true;
        self.connection.stop_accepting();
    }

    /// Whether a draining session has nothing left to do.
    pub fn is_drained(&self) -> bool {
        self.draining && (self.peer().is_none() || (self.engine.is_idle() && self.connection.queued() == 0))
    }

    /// The peer, once it has proved who it is.
    pub fn peer(&self) -> Option<PeerId> {
        self.connection.peer()
    }

    /// Bytes of answers that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.engine.queued_bytes() + self.connection.queued()
    }

    /// Bytes held of messages that are not whole yet.
    pub fn unfinished(&self) -> usize {
        self.inbound.values().map(|inbound| inbound.decoder.buffered_bytes()).sum()
    }

    /// Wants of the peer, at any stage.
    pub fn wants(&self) -> usize {
        self.engine.wants()
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether the handshake is done and nothing is half received, unsent, or wanted.
    pub fn is_quiet(&self) -> bool {
        self.connection.is_quiet()
            && self.engine.is_idle()
            && self.asking.is_idle()
            && self.inbound.values().all(|inbound| inbound.decoder.is_between_messages())
    }

    /// The session as bytes, from which [`thaw`](Self::thaw) makes it anew. `None` in a handshake, or while
    /// [events](Self::next_event) wait.
    ///
    /// The bytes are secret and good for one thaw; [`frozen`](crate::frozen) says how they are kept. Lookups that are
    /// outstanding are made again after the thaw.
    pub fn freeze(&self) -> Option<Vec<u8>> {
        if !self.events.is_empty() {
            return None;
        }
        let connection = self.connection.freeze()?;
        let parts = (connection, &self.inbound, self.outbound, &self.engine, self.asking.freeze(), self.draining);
        postcard::to_allocvec(&parts).ok()
    }

    /// A session from its frozen form.
    pub fn thaw(config: Arc<Config>, frozen: &[u8]) -> Result<Self, Error> {
        let (connection, inbound, outbound, engine, asking, draining): (Vec<u8>, _, _, _, _, _) =
            postcard::from_bytes(frozen)?;
        let connection = Connection::thaw(config.wire.clone(), &connection)?;
        Ok(Self {
            config,
            connection,
            inbound,
            outbound,
            engine,
            asking: Asking::thaw(asking).ok_or(Error::Thaw(postcard::Error::SerdeDeCustom))?,
            events: VecDeque::new(),
            counters: Counters::default(),
            draining,
        })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("peer", &self.peer()).field("unsent", &self.unsent()).finish_non_exhaustive()
    }
}
