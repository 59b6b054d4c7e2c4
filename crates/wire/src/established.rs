//! A connection after its handshake: the streams over yamux, each negotiated and then used by identify, ping or
//! the application. All of it is plain data, which is what a frozen connection consists of.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use crate::Role;
use crate::config::Config;
use crate::error::Error;
use crate::identify::{self, Info};
use crate::multistream::{Negotiation, Outcome};
use crate::noise::{Secured, YAMUX};
use crate::transport::{Opener, Sealer};
use crate::yamux::{self, Mux, StreamId};

const PING_PROTOCOL: &str = "/ipfs/ping/1.0.0";
const PING_LEN: usize = 32;

/// Protocols that the connection speaks itself, before the application's in the table.
const OWN: [&str; 3] = [identify::PROTOCOL, identify::PUSH_PROTOCOL, PING_PROTOCOL];
const IDENTIFY: u8 = 0;
const PUSH: u8 = 1;
const PING: u8 = 2;

/// What happened on a connection. Protocols are given as their place in [`Config::protocols`].
#[derive(Debug)]
pub enum Event {
    /// The peer proved who it is and streams can be opened.
    Connected(PeerId),
    /// The peer said what it is: asked for by [`Connection::identify`](crate::Connection::identify), or of itself.
    Identified(Box<Info>),
    /// The peer opened a stream for one of the application's protocols.
    Opened(StreamId, usize),
    /// The peer agreed to a protocol on a stream that we opened.
    Agreed(StreamId, usize),
    /// The peer speaks none of the protocols proposed on a stream that we opened; the stream is gone.
    Refused(StreamId),
    /// Bytes of an application's stream. They fill its window until [`Connection::consume`](crate::Connection::consume).
    Data(StreamId, Bytes),
    /// The peer sends nothing more on an application's stream.
    Finished(StreamId),
    /// An application's stream is gone, with what was queued on it.
    Reset(StreamId),
    /// A ping came back after this time.
    Pong(Duration),
    /// The peer opens and accepts no more streams.
    GoAway,
}

/// What a stream is used for.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Use {
    /// The peer proposes protocols.
    Listening(Negotiation),
    /// We propose protocols.
    Dialling(Negotiation),
    /// The peer tells us who it is.
    Identify(identify::Reader),
    /// The peer pings us: what it sends is sent back, in pieces of 32 bytes.
    Ping(Vec<u8>),
    /// We pinged the peer: what came back so far.
    Pinged(Vec<u8>),
    /// One of the application's protocols.
    Application,
}

/// A ping of ours that is on its way.
#[derive(Debug, Serialize, Deserialize)]
struct Ping {
    stream: StreamId,
    payload: [u8; PING_LEN],
    sent: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Established {
    pub(crate) peer: PeerId,
    opener: Opener,
    sealer: Sealer,
    /// The end of the handshake, not sent yet: it goes before any frame, and is not sealed.
    handshake: Vec<u8>,
    pub(crate) streams: Streams,
}

/// Everything above the sealed frames.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Streams {
    peer: PeerId,
    remote_addr: Option<Multiaddr>,
    /// Until both sides agreed on yamux, where the handshake's payload did not.
    muxing: Option<Negotiation>,
    /// Bytes of that agreement, not sent yet.
    unmuxed: Vec<u8>,
    mux: Mux,
    uses: BTreeMap<StreamId, Use>,
    ping: Option<Ping>,
    #[serde(skip)]
    events: VecDeque<Event>,
}

impl Established {
    /// A connection whose handshake is done but for sending its last bytes.
    pub(crate) fn new(
        role: Role,
        secured: Secured,
        remote_addr: Option<Multiaddr>,
        mux: Mux,
        handshake: Vec<u8>,
    ) -> Self {
        let mut unmuxed = Vec::new();
        let muxing = (!secured.muxer_agreed).then(|| match role {
            Role::Dialler => Negotiation::dial(&[YAMUX], &[0], &mut unmuxed),
            Role::Listener => Negotiation::listen(),
        });
        let mut events = VecDeque::new();
        if muxing.is_none() {
            events.push_back(Event::Connected(secured.peer));
        }
        let streams = Streams {
            peer: secured.peer,
            remote_addr,
            muxing,
            unmuxed,
            mux,
            uses: BTreeMap::new(),
            ping: None,
            events,
        };
        Self { peer: secured.peer, opener: secured.opener, sealer: secured.sealer, handshake, streams }
    }

    pub(crate) fn receive(&mut self, bytes: &mut [u8], now: Duration, config: &Config) -> Result<(), Error> {
        let streams = &mut self.streams;
        self.opener.receive(&*config.aead, bytes, |plain| streams.receive(plain, now, config))
    }

    /// Appends sealed frames to `out` until about `room` bytes are there or nothing is left to send.
    pub(crate) fn transmit(
        &mut self,
        out: &mut Vec<u8>,
        room: usize,
        now: Duration,
        config: &Config,
    ) -> Result<(), Error> {
        out.append(&mut self.handshake);
        let end = out.len() + room;
        while out.len() < end {
            let mut result = Ok(());
            let streams = &mut self.streams;
            let len = self.sealer.frame(&*config.aead, out, |out, max| result = streams.fill(out, max, now, config))?;
            result?;
            if len == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Whether streams can be opened: both sides agreed on yamux.
    pub(crate) fn is_open(&self) -> bool {
        self.streams.muxing.is_none()
    }

    /// Whether nothing is half received or unsent.
    pub(crate) fn is_quiet(&self) -> bool {
        self.handshake.is_empty() && self.opener.is_between_frames() && self.streams.is_quiet()
    }

    /// Whether all that a frozen form needs is plain data now.
    pub(crate) fn can_freeze(&self) -> bool {
        self.is_open() && self.streams.events.is_empty()
    }
}

impl Streams {
    fn is_quiet(&self) -> bool {
        let idle = |u: &Use| match u {
            Use::Application => true,
            Use::Ping(echo) => echo.is_empty(),
            Use::Listening(_) | Use::Dialling(_) | Use::Identify(_) | Use::Pinged(_) => false,
        };
        self.unmuxed.is_empty() && self.muxing.is_none() && self.mux.is_quiet() && self.uses.values().all(idle)
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    pub(crate) fn mux(&self) -> &Mux {
        &self.mux
    }

    pub(crate) fn mux_mut(&mut self) -> &mut Mux {
        &mut self.mux
    }

    /// Opens a stream and proposes these protocols of the application's list.
    pub(crate) fn open(&mut self, protocols: &[usize], now: Duration, config: &Config) -> Option<StreamId> {
        let proposals: Vec<u8> = protocols.iter().map(|p| (p + OWN.len()) as u8).collect();
        self.dial(&proposals, now, config)
    }

    pub(crate) fn identify(&mut self, now: Duration, config: &Config) {
        self.dial(&[IDENTIFY], now, config);
    }

    /// Tells the peer what [`Config`] now says of this host.
    pub(crate) fn push_identify(&mut self, now: Duration, config: &Config) {
        if let Some(id) = self.dial(&[PUSH], now, config) {
            let message = identify::own(config, &table(config), self.remote_addr.as_ref());
            self.mux.send(id, message.into());
            self.mux.finish(id);
        }
    }

    /// Sends a ping, unless one is on its way. `payload` is random, so that nobody answers before it has come.
    pub(crate) fn ping(&mut self, payload: [u8; PING_LEN], now: Duration, config: &Config) {
        if self.ping.is_none()
            && let Some(stream) = self.dial(&[PING], now, config)
        {
            self.mux.send(stream, payload.to_vec().into());
            self.ping = Some(Ping { stream, payload, sent: now });
        }
    }

    /// The round trip of the ping on this stream, if what came back is what was sent. A peer that does not speak
    /// ping is asked by yamux, which every peer speaks.
    fn pinged(&mut self, id: StreamId, came_back: Option<&[u8]>, now: Duration, config: &Config) -> Result<(), Error> {
        let Some(ping) = self.ping.take_if(|ping| ping.stream == id) else { return Ok(()) };
        self.uses.remove(&id);
        match came_back {
            Some(bytes) if bytes == ping.payload => {
                self.events.push_back(Event::Pong(now.saturating_sub(ping.sent)));
                self.mux.finish(id);
                Ok(())
            }
            Some(_) => self.mux.reset(id, &config.yamux),
            None => self.mux.ping(now, &config.yamux),
        }
    }

    fn dial(&mut self, proposals: &[u8], now: Duration, config: &Config) -> Option<StreamId> {
        let id = self.mux.open(now)?;
        let mut proposal = Vec::new();
        let negotiation = Negotiation::dial(&table(config), proposals, &mut proposal);
        self.uses.insert(id, Use::Dialling(negotiation));
        self.mux.send(id, proposal.into());
        Some(id)
    }

    pub(crate) fn reset(&mut self, id: StreamId, config: &Config) -> Result<(), Error> {
        self.uses.remove(&id);
        self.mux.reset(id, &config.yamux)
    }

    fn receive(&mut self, mut plain: &[u8], now: Duration, config: &Config) -> Result<(), Error> {
        if let Some(negotiation) = &mut self.muxing {
            match negotiation.receive(&[YAMUX], &mut plain, &mut self.unmuxed)? {
                Some(Outcome::Agreed(_)) => {
                    self.muxing = None;
                    self.events.push_back(Event::Connected(self.peer));
                }
                Some(Outcome::Refused) => return Err(Error::NoCommonProtocol(YAMUX)),
                None => return Ok(()),
            }
        }
        while let Some(event) = self.mux.receive(&mut plain, now, &config.yamux)? {
            match event {
                yamux::Event::Opened(id) => {
                    self.uses.insert(id, Use::Listening(Negotiation::listen()));
                }
                yamux::Event::Data(id, bytes) => self.data(id, bytes, now, config)?,
                yamux::Event::Finished(id) => self.finished(id, now, config)?,
                yamux::Event::Reset(id) => {
                    self.pinged(id, None, now, config)?;
                    if matches!(self.uses.remove(&id), Some(Use::Application | Use::Dialling(_))) {
                        self.events.push_back(Event::Reset(id));
                    }
                }
                yamux::Event::Pong(rtt) => self.events.push_back(Event::Pong(rtt)),
                yamux::Event::GoAway(0) => self.events.push_back(Event::GoAway),
                yamux::Event::GoAway(code) => return Err(Error::GoneAway(code)),
            }
        }
        // Streams end in frames that are sent as well as in those that come: what was used for them is let go here.
        if self.uses.len() > self.mux.stream_count() {
            let mux = &self.mux;
            self.uses.retain(|id, _| mux.has(*id));
        }
        Ok(())
    }

    fn data(&mut self, id: StreamId, bytes: &[u8], now: Duration, config: &Config) -> Result<(), Error> {
        let mut rest = bytes;
        // A stream that breaks its protocol is reset; the connection and its other streams go on.
        if self.stream_data(id, &mut rest, now, config).is_err() {
            let known = self.uses.get(&id).is_some_and(|u| matches!(u, Use::Dialling(_)));
            self.pinged(id, None, now, config)?;
            self.reset(id, config)?;
            if known {
                self.events.push_back(Event::Reset(id));
            }
            return Ok(());
        }
        // What the application takes is credited when it says so.
        self.mux.consume(id, bytes.len() - rest.len(), now, &config.yamux)?;
        if !rest.is_empty() {
            self.events.push_back(Event::Data(id, Bytes::copy_from_slice(rest)));
        }
        Ok(())
    }

    /// Takes from `rest` what is not the application's.
    fn stream_data(&mut self, id: StreamId, rest: &mut &[u8], now: Duration, config: &Config) -> Result<(), Error> {
        while !rest.is_empty() {
            match self.uses.get_mut(&id) {
                Some(Use::Application) => return Ok(()),
                None => *rest = &[],
                Some(Use::Identify(reader)) => reader.receive(std::mem::take(rest))?,
                Some(Use::Pinged(back)) => {
                    if let Some(back) = take_ping(back, rest) {
                        self.pinged(id, Some(&back), now, config)?;
                    }
                }
                Some(Use::Ping(echo)) => {
                    if let Some(echo) = take_ping(echo, rest) {
                        // A peer that pings and does not read gets no more answers.
                        if self.mux.queued_on(id) >= 64 * PING_LEN {
                            return Err(Error::Multistream("pings are not read"));
                        }
                        self.mux.send(id, echo.into());
                    }
                }
                Some(Use::Listening(negotiation)) => {
                    let mut answer = Vec::new();
                    let outcome = negotiation.receive(&table(config), rest, &mut answer)?;
                    self.mux.send(id, answer.into());
                    if let Some(Outcome::Agreed(protocol)) = outcome {
                        self.accepted(id, protocol, config);
                    }
                }
                Some(Use::Dialling(negotiation)) => {
                    let mut proposal = Vec::new();
                    let outcome = negotiation.receive(&table(config), rest, &mut proposal)?;
                    self.mux.send(id, proposal.into());
                    match outcome {
                        None => {}
                        Some(Outcome::Agreed(protocol)) => self.agreed(id, protocol),
                        Some(Outcome::Refused) => {
                            self.uses.remove(&id);
                            self.mux.reset(id, &config.yamux)?;
                            self.events.push_back(Event::Refused(id));
                            self.pinged(id, None, now, config)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The peer's proposal was taken.
    fn accepted(&mut self, id: StreamId, protocol: u8, config: &Config) {
        let used = match protocol {
            IDENTIFY => {
                let message = identify::own(config, &table(config), self.remote_addr.as_ref());
                self.mux.send(id, message.into());
                self.mux.finish(id);
                // Nothing more is expected of the peer; what still comes is passed over.
                self.uses.remove(&id);
                return;
            }
            // One at a time is kept; what comes on others is passed over.
            PUSH if self.uses.values().any(|used| matches!(used, Use::Identify(_))) => {
                self.uses.remove(&id);
                return;
            }
            PUSH => Use::Identify(identify::Reader::default()),
            PING => Use::Ping(Vec::new()),
            _ => {
                self.events.push_back(Event::Opened(id, usize::from(protocol) - OWN.len()));
                Use::Application
            }
        };
        self.uses.insert(id, used);
    }

    /// The peer took our proposal.
    fn agreed(&mut self, id: StreamId, protocol: u8) {
        match protocol {
            IDENTIFY => {
                self.uses.insert(id, Use::Identify(identify::Reader::default()));
            }
            PING => {
                self.uses.insert(id, Use::Pinged(Vec::new()));
            }
            PUSH => {
                self.uses.remove(&id);
            }
            _ => {
                self.uses.insert(id, Use::Application);
                self.events.push_back(Event::Agreed(id, usize::from(protocol) - OWN.len()));
            }
        }
    }

    fn finished(&mut self, id: StreamId, now: Duration, config: &Config) -> Result<(), Error> {
        self.pinged(id, None, now, config)?;
        match self.uses.get(&id) {
            Some(Use::Application) => self.events.push_back(Event::Finished(id)),
            // The peer ended a stream before it answered: nobody speaks there, or takes what is queued on it.
            Some(Use::Dialling(_)) => {
                self.reset(id, config)?;
                self.events.push_back(Event::Refused(id));
            }
            _ => {
                self.mux.finish(id);
                // What cannot be read was told for nothing, and harms nobody.
                if let Some(Use::Identify(reader)) = self.uses.remove(&id)
                    && let Ok(info) = reader.finish(self.peer)
                {
                    self.events.push_back(Event::Identified(Box::new(info)));
                }
            }
        }
        Ok(())
    }

    fn fill(&mut self, out: &mut Vec<u8>, room: usize, now: Duration, config: &Config) -> Result<(), Error> {
        if !self.unmuxed.is_empty() {
            // At most two short messages: they fit a frame.
            out.append(&mut self.unmuxed);
            return Ok(());
        }
        if self.muxing.is_some() {
            return Ok(());
        }
        self.mux.fill(out, room, now, &config.yamux)
    }
}

/// Moves bytes from the front of `rest` to `partial`; the ping once it is whole, and `partial` is empty again.
fn take_ping(partial: &mut Vec<u8>, rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (head, tail) = rest.split_at((PING_LEN - partial.len()).min(rest.len()));
    partial.extend_from_slice(head);
    *rest = tail;
    (partial.len() == PING_LEN).then(|| std::mem::take(partial))
}

/// The protocols of a connection, by the numbers that its negotiations use.
fn table(config: &Config) -> Vec<&str> {
    OWN.into_iter().chain(config.protocols.iter().map(String::as_str)).collect()
}
