//! One connection from its first byte: multistream-select, Noise, and then the streams.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use sha2::{Digest, Sha256};

use crate::Role;
use crate::config::Config;
use crate::error::Error;
use crate::established::{Established, Event};
use crate::multistream::{Negotiation, Outcome};
use crate::noise::Handshake;
use crate::yamux::{Mux, StreamId};

const NOISE: &str = "/noise";

/// A libp2p connection over one byte pipe.
///
/// After an error it is over: every further call does nothing, and the host closes the pipe.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    role: Role,
    phase: Phase,
    /// When bytes last came; until streams can be opened, when the connection began.
    heard: Duration,
    /// Whether the silence since then was answered with a ping.
    probed: bool,
}

enum Phase {
    Securing(Box<Securing>),
    Established(Box<Established>),
    /// Who it was, and what had happened before the fault.
    Over(Option<PeerId>, VecDeque<Event>),
}

/// A connection that is not secured yet.
struct Securing {
    negotiation: Option<Negotiation>,
    noise: Handshake,
    remote_addr: Option<Multiaddr>,
    /// For the time after.
    mux: Mux,
    out: Vec<u8>,
}

impl Connection {
    /// A pipe on which a peer connected to us, from `remote_addr`. `ephemeral` is 32 fresh random bytes.
    pub fn accept(
        config: Arc<Config>,
        remote_addr: Option<Multiaddr>,
        ephemeral: [u8; 32],
        now: Duration,
    ) -> Result<Self, Error> {
        let mut out = Vec::new();
        let noise = Handshake::new(Role::Listener, &config.identity, None, ephemeral, &mut out)?;
        let mux = Mux::new(Role::Listener, ping_key(&ephemeral));
        let securing = Securing { negotiation: Some(Negotiation::listen()), noise, remote_addr, mux, out };
        Ok(Self::new(config, Role::Listener, Phase::Securing(Box::new(securing)), now))
    }

    /// A pipe on which we connected to `remote_addr`, where `expected` should answer. `ephemeral` is 32 fresh
    /// random bytes.
    pub fn dial(
        config: Arc<Config>,
        expected: Option<PeerId>,
        remote_addr: Option<Multiaddr>,
        ephemeral: [u8; 32],
        now: Duration,
    ) -> Result<Self, Error> {
        let mut out = Vec::new();
        let negotiation = Negotiation::dial(&[NOISE], &[0], &mut out);
        let noise = Handshake::new(Role::Dialler, &config.identity, expected, ephemeral, &mut out)?;
        let mux = Mux::new(Role::Dialler, ping_key(&ephemeral));
        let securing = Securing { negotiation: Some(negotiation), noise, remote_addr, mux, out };
        Ok(Self::new(config, Role::Dialler, Phase::Securing(Box::new(securing)), now))
    }

    fn new(config: Arc<Config>, role: Role, phase: Phase, now: Duration) -> Self {
        Self { config, role, phase, heard: now, probed: false }
    }

    /// Takes bytes from the pipe, in any pieces; they are opened in place. Events follow from
    /// [`next_event`](Self::next_event), which the host drains before it gives more bytes.
    pub fn receive(&mut self, bytes: &mut [u8], now: Duration) -> Result<(), Error> {
        let result = self.try_receive(bytes, now);
        // A handshake has its time as a whole, however it drips in.
        if self.established().is_some_and(Established::is_open) {
            self.heard = now;
            self.probed = false;
        }
        self.end_on(result)
    }

    fn try_receive(&mut self, bytes: &mut [u8], now: Duration) -> Result<(), Error> {
        let used = match &mut self.phase {
            Phase::Over(..) => return Ok(()),
            Phase::Established(established) => {
                return established.receive(bytes, now, &self.config);
            }
            Phase::Securing(securing) => {
                let mut input = &*bytes;
                let Some(secured) = securing.receive(&mut input, &self.config)? else {
                    return Ok(());
                };
                let used = bytes.len() - input.len();
                let (mux, handshake) = (securing.mux.clone(), std::mem::take(&mut securing.out));
                let established = Established::new(self.role, secured, securing.remote_addr.take(), mux, handshake);
                self.phase = Phase::Established(Box::new(established));
                used
            }
        };
        self.try_receive(&mut bytes[used..], now)
    }

    /// Appends bytes for the pipe to `out`, about `room` of them at most; none if there is nothing to send.
    pub fn transmit(&mut self, out: &mut Vec<u8>, room: usize, now: Duration) -> Result<(), Error> {
        let result = match &mut self.phase {
            Phase::Over(..) => Ok(()),
            Phase::Securing(securing) => {
                out.append(&mut securing.out);
                Ok(())
            }
            Phase::Established(established) => established.transmit(out, room, now, &self.config),
        };
        self.end_on(result)
    }

    /// What happened, in order.
    pub fn next_event(&mut self) -> Option<Event> {
        match &mut self.phase {
            Phase::Securing(_) => None,
            Phase::Established(established) => established.streams.next_event(),
            Phase::Over(_, events) => events.pop_front(),
        }
    }

    /// When [`wake`](Self::wake) is to be called, if nothing comes before.
    pub fn deadline(&self) -> Option<Duration> {
        let config = &self.config;
        match &self.phase {
            Phase::Over(..) => None,
            Phase::Securing(_) => Some(self.heard + config.handshake_timeout),
            Phase::Established(established) if !established.is_open() => Some(self.heard + config.handshake_timeout),
            Phase::Established(_) if self.probed => Some(self.heard + config.idle_timeout + config.ping_timeout),
            Phase::Established(_) => Some(self.heard + config.idle_timeout),
        }
    }

    /// Acts on a deadline that has passed: pings a silent peer, gives up a dead one.
    pub fn wake(&mut self, now: Duration) -> Result<(), Error> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        let result = match &mut self.phase {
            Phase::Securing(_) => Err(Error::TimedOut("in the handshake")),
            Phase::Established(established) if !established.is_open() => Err(Error::TimedOut("in the handshake")),
            Phase::Established(_) if self.probed => Err(Error::TimedOut("waiting for a sign of life")),
            Phase::Established(established) => {
                self.probed = true;
                established.streams.mux_mut().ping(now, &self.config.yamux)
            }
            Phase::Over(..) => Ok(()),
        };
        self.end_on(result)
    }

    /// The settings that the connection was made with.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The peer, once it has proved who it is; also after the connection is over.
    pub fn peer(&self) -> Option<PeerId> {
        match &self.phase {
            Phase::Securing(_) => None,
            Phase::Established(established) => Some(established.peer),
            Phase::Over(peer, _) => *peer,
        }
    }

    /// Opens a stream and proposes these places of [`Config::protocols`], the preferred one first. With one
    /// proposal its bytes may be sent at once; with several they wait for [`Event::Agreed`]. `None` if the
    /// connection is not established or the peer went away.
    pub fn open(&mut self, protocols: &[usize], now: Duration) -> Option<StreamId> {
        let config = self.config.clone();
        self.established_mut()?.streams.open(protocols, now, &config)
    }

    /// Queues bytes on a stream. How much may be queued is the caller's to bound: see [`queued`](Self::queued).
    pub fn send(&mut self, stream: StreamId, bytes: Bytes) {
        if let Some(established) = self.established_mut() {
            established.streams.mux_mut().send(stream, bytes);
        }
    }

    /// Ends our side of a stream behind what is queued on it.
    pub fn finish(&mut self, stream: StreamId) {
        if let Some(established) = self.established_mut() {
            established.streams.mux_mut().finish(stream);
        }
    }

    /// Gives a stream up at once.
    pub fn reset(&mut self, stream: StreamId) -> Result<(), Error> {
        let config = self.config.clone();
        let result = match self.established_mut() {
            Some(established) => established.streams.reset(stream, &config),
            None => Ok(()),
        };
        self.end_on(result)
    }

    /// Says that `n` bytes of a stream's data were used up, so that the peer may send as many more.
    pub fn consume(&mut self, stream: StreamId, n: usize, now: Duration) -> Result<(), Error> {
        let config = self.config.clone();
        let result = match self.established_mut() {
            Some(established) => established.streams.mux_mut().consume(stream, n, now, &config.yamux),
            None => Ok(()),
        };
        self.end_on(result)
    }

    /// Asks the peer what it is.
    pub fn identify(&mut self, now: Duration) {
        let config = self.config.clone();
        if let Some(established) = self.established_mut() {
            established.streams.identify(now, &config);
        }
    }

    /// Gives the connection new settings, and tells the peer what they say of this host.
    pub fn reconfigure(&mut self, config: Arc<Config>, now: Duration) {
        self.config = config.clone();
        if let Some(established) = self.established_mut() {
            established.streams.push_identify(now, &config);
        }
    }

    /// Measures the round trip to the peer by the ping protocol, or by yamux where the peer does not speak that:
    /// [`Event::Pong`] follows. `payload` is 32 fresh random bytes. A ping that is on its way is not joined by another.
    pub fn ping(&mut self, payload: [u8; 32], now: Duration) {
        let config = self.config.clone();
        if let Some(established) = self.established_mut() {
            established.streams.ping(payload, now, &config);
        }
    }

    /// Measures the round trip to the peer's multiplexer, which also lets our receive windows grow to the path:
    /// [`Event::Pong`] follows.
    pub fn probe(&mut self, now: Duration) -> Result<(), Error> {
        let config = self.config.clone();
        let result = match self.established_mut() {
            Some(established) => established.streams.mux_mut().ping(now, &config.yamux),
            None => Ok(()),
        };
        self.end_on(result)
    }

    /// Accepts no more streams: new ones are reset, those that are open go on. Nothing else is said to the peer, as
    /// clients take GoAway for the end of everything.
    pub fn stop_accepting(&mut self) {
        if let Some(established) = self.established_mut() {
            established.streams.mux_mut().stop_accepting();
        }
    }

    /// Tells the peer that this is the end, before the pipe is closed. Clients give up all streams when they hear it, so
    /// what is to arrive has to have arrived before.
    pub fn go_away(&mut self) -> Result<(), Error> {
        let config = self.config.clone();
        match self.established_mut() {
            Some(established) => established.streams.mux_mut().go_away(&config.yamux),
            None => Ok(()),
        }
    }

    /// Bounds the stream bytes that are sent without proof that they arrived, in place of
    /// [`yamux::Limits::unproven`](crate::yamux::Limits::unproven), from now on and also when frozen and thawed. A
    /// host lowers it as the sum over its peers grows; where more is under way already, nothing leaves until enough of
    /// it is proven. At least 1 KiB is allowed, whatever is said here.
    pub fn set_unproven(&mut self, bytes: u64) {
        match &mut self.phase {
            Phase::Securing(securing) => securing.mux.set_unproven(bytes),
            Phase::Established(established) => established.streams.mux_mut().set_unproven(bytes),
            Phase::Over(..) => {}
        }
    }

    /// Stream bytes that were sent and are not proven to have arrived. Where nothing bounds them pings are rare, and
    /// so are proofs.
    pub fn unproven(&self) -> u64 {
        self.established().map_or(0, |established| established.streams.mux().unproven())
    }

    /// Stream bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.established().map_or(0, |established| established.streams.mux().queued())
    }

    /// Bytes that wait on one stream.
    pub fn queued_on(&self, stream: StreamId) -> usize {
        self.established().map_or(0, |established| established.streams.mux().queued_on(stream))
    }

    /// Whether a stream is there: one that both sides have ended, or either gave up, is not.
    pub fn has(&self, stream: StreamId) -> bool {
        self.established().is_some_and(|established| established.streams.mux().has(stream))
    }

    /// Whether the peer opens and accepts no more streams, so that [`open`](Self::open) gives none.
    pub fn is_peer_away(&self) -> bool {
        self.established().is_some_and(|established| established.streams.mux().is_peer_away())
    }

    /// Streams that are open, the connection's own among them.
    pub fn streams(&self) -> usize {
        self.established().map_or(0, |established| established.streams.mux().stream_count())
    }

    /// The last measured round trip.
    pub fn rtt(&self) -> Option<Duration> {
        self.established()?.streams.mux().rtt()
    }

    /// Whether the handshake is done and nothing is half received or unsent.
    pub fn is_quiet(&self) -> bool {
        self.established().is_some_and(Established::is_quiet)
    }

    /// The connection as bytes, from which [`thaw`](Self::thaw) makes it anew; `None` in a handshake, or while
    /// events wait to be taken.
    ///
    /// They hold the session's keys and counters: a secret, which is worth nothing once the connection it was
    /// taken from has sealed another byte. Thawing it then would use a counter twice and reveal plaintext.
    pub fn freeze(&self) -> Option<Vec<u8>> {
        let established = self.established().filter(|established| established.can_freeze())?;
        postcard::to_allocvec(&(self.role, self.heard, self.probed, established)).ok()
    }

    /// A connection from its frozen form, which must come from the same settings. The form must not have been
    /// thawed before.
    pub fn thaw(config: Arc<Config>, frozen: &[u8]) -> Result<Self, ThawError> {
        let (role, heard, probed, established) = postcard::from_bytes(frozen)?;
        Ok(Self { config, role, phase: Phase::Established(Box::new(established)), heard, probed })
    }

    fn established(&self) -> Option<&Established> {
        match &self.phase {
            Phase::Established(established) => Some(established),
            _ => None,
        }
    }

    fn established_mut(&mut self) -> Option<&mut Established> {
        match &mut self.phase {
            Phase::Established(established) => Some(established),
            _ => None,
        }
    }

    fn end_on(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        if result.is_err() {
            let peer = self.peer();
            let events = std::iter::from_fn(|| self.next_event()).collect();
            self.phase = Phase::Over(peer, events);
        }
        result
    }
}

/// What the values of yamux pings are made from: as secret as the key of the handshake, and not leading back to it.
fn ping_key(ephemeral: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(b"hoverboard yamux ping").chain_update(ephemeral).finalize().into()
}

/// A frozen connection that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the frozen connection cannot be read: {0}")]
pub struct ThawError(#[from] postcard::Error);

impl Securing {
    fn receive(&mut self, input: &mut &[u8], config: &Config) -> Result<Option<crate::noise::Secured>, Error> {
        if let Some(negotiation) = &mut self.negotiation {
            match negotiation.receive(&[NOISE], input, &mut self.out)? {
                Some(Outcome::Agreed(_)) => self.negotiation = None,
                Some(Outcome::Refused) => return Err(Error::NoCommonProtocol(NOISE)),
                None => return Ok(None),
            }
        }
        self.noise.receive(input, &config.identity, &mut self.out)
    }
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::Securing(_) => "Securing",
            Phase::Established(_) => "Established",
            Phase::Over(..) => "Over",
        })
    }
}

#[cfg(test)]
mod tests;
