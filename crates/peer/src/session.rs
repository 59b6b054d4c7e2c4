//! A session: one connection, the Bitswap streams on it, the engine that answers, and what we ask ourselves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Answer, Engine, Limits, Lookup, MAX_RECEIVED, Message, Protocol, Ticket, WantKind};
use hoverboard_wire as wire;
use hoverboard_wire::yamux::StreamId;
use hoverboard_wire::{Connection, Info, Multiaddr, PeerId};

use crate::asking::Asking;
use crate::inbound::Inbound;
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
    /// The peer began a message and sent no more of it.
    #[error("bitswap: nothing came of an unfinished message for {} s", .0.as_secs())]
    HalfSent(Duration),
    /// Bytes wait for the peer, and it lets none of them be sent: it grants no credit, proves nothing, or agrees to no
    /// stream.
    #[error("the peer took none of the bytes that wait for it for {} s", .0.as_secs())]
    Stalled(Duration),
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
    /// The peer does not speak Bitswap. What it wanted and what was wanted of it is forgotten.
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
    inbound: Inbound,
    outbound: Outbound,
    engine: Engine,
    asking: Asking,
    events: VecDeque<Event>,
    counters: Counters,
    draining: bool,
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
            inbound: Inbound::default(),
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
                self.inbound.opened(stream, protocol, now);
            }
            wire::Event::Agreed(stream, place) => self.outbound.agreed(stream, Protocol::ALL[place]),
            wire::Event::Refused(stream) => {
                if self.lost(stream) && self.outbound.refused() {
                    self.engine.clear();
                    self.asking.clear();
                    self.events.push_back(Event::NoBitswap);
                }
            }
            wire::Event::Data(stream, bytes) => self.data(stream, bytes, now)?,
            // js-libp2p ends its side of a stream that it only reads from: ours goes on.
            wire::Event::Finished(stream) if self.outbound.is(stream) => {}
            wire::Event::Finished(stream) => {
                self.lost(stream);
                // What is queued on it still goes out.
                self.connection.finish(stream);
            }
            wire::Event::Reset(stream) => drop(self.lost(stream)),
        }
        Ok(())
    }

    /// A stream is gone. `true` if it was the one that we send on: what was asked on it may not have come through.
    fn lost(&mut self, stream: StreamId) -> bool {
        self.inbound.forget(stream);
        let ours = self.outbound.lost(stream);
        if ours {
            self.asking.ask_again();
        }
        ours
    }

    fn data(&mut self, stream: StreamId, mut bytes: Bytes, now: Duration) -> Result<(), Error> {
        let len = bytes.len();
        // What comes back on our own stream is not Bitswap; it is passed over.
        while let Some((message, protocol)) = self.inbound.receive(stream, &mut bytes, now)? {
            self.take(message, protocol);
        }
        if self.unfinished() > MAX_RECEIVED {
            return Err(Error::Unfinished);
        }
        Ok(self.connection.consume(stream, len, now)?)
    }

    fn take(&mut self, message: Message, protocol: Protocol) {
        match message.wantlist {
            Some(wantlist) if self.config.serve && self.draining => drop(self.engine.withdraw(&wantlist)),
            Some(wantlist) if self.config.serve => {
                self.counters.wants += self.engine.receive(wantlist, protocol).added as u64;
            }
            _ => {}
        }
        let events = &mut self.events;
        self.asking.receive(message.blocks, message.presences, |event| events.push_back(event));
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

    /// The next block to look up for the peer, in the same order, whether or not there is room for the answer: for
    /// hosts that plan their reads over all that is wanted, and answer with no more than [`room`](Self::room) bytes at
    /// a time. [`Limits::max_outstanding`] bounds them.
    pub fn look_ahead(&mut self) -> Option<Lookup> {
        self.engine.look_ahead()
    }

    /// How many bytes of answers there is room for, where at most `allowance` bytes may be unsent. With nothing
    /// unsent there is always room for one block.
    pub fn room(&self, allowance: usize) -> usize {
        self.engine.room().min(allowance.saturating_sub(self.unsent()))
    }

    /// Whether the answer to a lookup is still waited for: its want may have been cancelled, or looked up anew.
    pub fn is_open(&self, ticket: Ticket) -> bool {
        self.engine.is_open(ticket)
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

    /// Appends bytes for the pipe to `out`, about `room` of them at most; none if there is nothing to send. To be called
    /// when the pipe has room: what is not taken then is the peer's fault, and has its deadline.
    pub fn transmit(&mut self, out: &mut Vec<u8>, room: usize, now: Duration) -> Result<(), Error> {
        self.fill(now);
        let before = self.outbound.queued(&self.connection);
        self.connection.transmit(out, room, now)?;
        let after = self.outbound.queued(&self.connection);
        let waits = after > 0 || self.asking.has_unsent() || self.engine.has_answers();
        self.outbound.moved(waits, after < before, now);
        Ok(())
    }

    /// Moves answers and wants to the multiplexer.
    fn fill(&mut self, now: Duration) {
        if self.outbound.is_closed() && self.connection.is_peer_away() {
            // Whatever it wants cannot be sent any more.
            self.engine.clear();
        }
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
        let silent = self.outbound.silent_at().filter(|_| self.unsent() == 0);
        let farewell = self.outbound.farewell_at(&self.connection);
        let deadlines = [self.connection.deadline(), silent, farewell, self.half_sent_at(), self.stalled_at()];
        deadlines.into_iter().flatten().min()
    }

    /// Acts on a deadline that has passed. Bytes that have come by then are to be [received](Self::receive) before:
    /// they may be what the deadline was about.
    pub fn wake(&mut self, now: Duration) -> Result<(), Error> {
        let timeout = self.config.wire.stall_timeout;
        if self.half_sent_at().is_some_and(|at| now >= at) {
            return Err(Error::HalfSent(timeout));
        }
        if self.stalled_at().is_some_and(|at| now >= at) {
            return Err(Error::Stalled(timeout));
        }
        if self.unsent() == 0 {
            self.outbound.end_silent(&mut self.connection, now)?;
            if self.engine.is_idle() {
                self.engine.shrink_to_fit();
            }
        }
        self.outbound.reset_ended(&mut self.connection, now)?;
        Ok(self.connection.wake(now)?)
    }

    fn half_sent_at(&self) -> Option<Duration> {
        Some(self.inbound.stalled_since()? + self.config.wire.stall_timeout)
    }

    fn stalled_at(&self) -> Option<Duration> {
        Some(self.outbound.stalled_since()? + self.config.wire.stall_timeout)
    }

    /// Wants blocks of the peer, or to know whether it has them. Each is answered by an [`Event::Block`], or an
    /// [`Event::DontHave`] where the peer says so; [`Event::Have`] may come before. How many are wanted at a time is the
    /// caller's to bound.
    pub fn want(&mut self, wants: impl IntoIterator<Item = (Cid, WantKind)>) {
        self.asking.want(wants);
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

    /// Takes no new wants and no new streams; what was begun goes on, unless it is cancelled.
    pub fn drain(&mut self) {
        self.draining = true;
        self.connection.stop_accepting();
    }

    /// Tells the peer that this is the end, before the pipe is closed: see [`Connection::go_away`].
    pub fn go_away(&mut self) -> Result<(), Error> {
        Ok(self.connection.go_away()?)
    }

    /// Whether a draining session has nothing left to do.
    pub fn is_drained(&self) -> bool {
        self.draining && (self.peer().is_none() || (self.engine.is_idle() && self.connection.queued() == 0))
    }

    /// The settings that the session was made with.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The peer, once it has proved who it is.
    pub fn peer(&self) -> Option<PeerId> {
        self.connection.peer()
    }

    /// Bytes of answers that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.engine.queued_bytes() + self.connection.queued()
    }

    /// Bounds the bytes that are sent without proof that they arrived, in place of
    /// [`wire::yamux::Limits::unproven`]; it is kept when the session is frozen. At least 1 KiB is allowed.
    pub fn set_unproven(&mut self, bytes: u64) {
        self.connection.set_unproven(bytes);
    }

    /// Bytes that were sent and are not proven to have arrived.
    pub fn unproven(&self) -> u64 {
        self.connection.unproven()
    }

    /// Bytes held of messages that are not whole yet.
    pub fn unfinished(&self) -> usize {
        self.inbound.unfinished()
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
            && self.inbound.is_between_messages()
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
        // As bytes, and not as a sequence of numbers: the form is the same, and takes a fraction of the time.
        let connection = Bytes::from(self.connection.freeze()?);
        let parts = (connection, &self.inbound, &self.outbound, &self.engine, self.asking.freeze(), self.draining);
        postcard::to_allocvec(&parts).ok()
    }

    /// A session from its frozen form. The host's clock must have gone on in between: times before and after are
    /// compared.
    pub fn thaw(config: Arc<Config>, frozen: &[u8]) -> Result<Self, Error> {
        let (connection, inbound, outbound, engine, asking, draining): (Bytes, _, _, _, _, _) =
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
