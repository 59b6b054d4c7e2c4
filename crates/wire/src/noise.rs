//! The Noise XX handshake as libp2p does it: `Noise_XX_25519_ChaChaPoly_SHA256`, each message behind two
//! bytes of big-endian length, the identity and its signature in the payload, and the muxers that the side
//! speaks beside them (early muxer negotiation). Specification: libp2p `noise`.
//!
//! It ends with two keys and the peer's identity; sealing frames is the [transport](crate::transport)'s. A
//! handshake is not frozen: it is short and dies with its host.

use libp2p_identity::PeerId;
use prost::Message as _;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};

use crate::Role;
use crate::error::Error;
use crate::identity::{Identity, PublicKey, check_static_key};
use crate::transport::{MAX_FRAME, Opener, PREFIX, Sealer};

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";

/// The largest handshake message accepted. Two keys, two tags, an RSA identity of 8,192 bits with its
/// signature and the extensions take less than half of this.
const MAX_MESSAGE: usize = 8_192;

/// The multiplexer that both sides must speak.
pub(crate) const YAMUX: &str = "/yamux/1.0.0";

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "vec", optional, tag = "1")]
    identity_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    identity_sig: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    extensions: Option<Extensions>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Extensions {
    #[prost(bytes = "vec", repeated, tag = "1")]
    webtransport_certhashes: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "2")]
    stream_muxers: Vec<String>,
}

/// What a finished handshake gives.
pub(crate) struct Secured {
    pub(crate) peer: PeerId,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    /// Whether the payloads already agreed on yamux.
    pub(crate) muxer_agreed: bool,
}

/// A handshake in progress.
pub(crate) struct Handshake {
    noise: Box<snow::HandshakeState>,
    role: Role,
    expected: Option<PeerId>,
    partial: Vec<u8>,
    remote: Option<(PeerId, bool)>,
}

impl Handshake {
    /// Starts a handshake; `ephemeral` is 32 fresh random bytes. A dialler's first message goes to `out`.
    pub(crate) fn new(
        role: Role,
        identity: &Identity,
        expected: Option<PeerId>,
        ephemeral: [u8; 32],
        out: &mut Vec<u8>,
    ) -> Result<Self, Error> {
        let params = PATTERN.parse()?;
        let builder = snow::Builder::with_resolver(params, Box::new(Resolver { ephemeral }))
            .local_private_key(identity.noise_key())?;
        let noise = match role {
            Role::Dialler => builder.build_initiator()?,
            Role::Listener => builder.build_responder()?,
        };
        let mut handshake = Self { noise: Box::new(noise), role, expected, partial: Vec::new(), remote: None };
        if role == Role::Dialler {
            handshake.write(&[], out)?;
        }
        Ok(handshake)
    }

    /// Takes bytes from the front of `input`; answers go to `out`. `Some` when the handshake is done: what is
    /// left of `input` then belongs to the transport.
    pub(crate) fn receive(
        &mut self,
        input: &mut &[u8],
        identity: &Identity,
        out: &mut Vec<u8>,
    ) -> Result<Option<Secured>, Error> {
        while !input.is_empty() {
            let want = wanted(&self.partial)?;
            let n = (want - self.partial.len()).min(input.len());
            let (head, tail) = input.split_at(n);
            self.partial.extend_from_slice(head);
            *input = tail;
            // Asked again, since the length may just have come: a bad one is refused before anything else comes.
            if self.partial.len() < wanted(&self.partial)? {
                continue;
            }
            let message = std::mem::take(&mut self.partial);
            let mut payload = vec![0; message.len()];
            let len = self.noise.read_message(&message[PREFIX..], &mut payload)?;
            payload.truncate(len);
            if let Some(secured) = self.step(&payload, identity, out)? {
                return Ok(Some(secured));
            }
        }
        Ok(None)
    }

    /// What follows each message: XX is `e` / `e, ee, s, es` / `s, se`.
    fn step(&mut self, payload: &[u8], identity: &Identity, out: &mut Vec<u8>) -> Result<Option<Secured>, Error> {
        match (self.role, self.noise.get_remote_static().is_some()) {
            // The dialler's first message carries only its ephemeral key.
            (Role::Listener, false) => {
                self.write(&own_payload(identity), out)?;
                Ok(None)
            }
            (Role::Listener, true) => {
                self.check(payload)?;
                self.finish().map(Some)
            }
            (Role::Dialler, true) => {
                self.check(payload)?;
                self.write(&own_payload(identity), out)?;
                self.finish().map(Some)
            }
            (Role::Dialler, false) => Err(Error::Payload("the listener sent no static key")),
        }
    }

    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut message = vec![0; MAX_FRAME];
        let len = self.noise.write_message(payload, &mut message)?;
        out.extend_from_slice(&(len as u16).to_be_bytes());
        out.extend_from_slice(&message[..len]);
        Ok(())
    }

    fn check(&mut self, payload: &[u8]) -> Result<(), Error> {
        let payload = Payload::decode(payload).map_err(|_| Error::Payload("it is not a protobuf message"))?;
        let key = payload.identity_key.ok_or(Error::Payload("it has no identity key"))?;
        let signature = payload.identity_sig.ok_or(Error::Payload("it has no signature"))?;
        let key = PublicKey::decode(&key)?;
        let remote = self.noise.get_remote_static().ok_or(Error::Payload("it came before the static key"))?;
        check_static_key(&key, remote, &signature)?;
        let peer = key.peer_id();
        if let Some(expected) = self.expected.filter(|expected| *expected != peer) {
            return Err(Error::WrongPeer { expected: Box::new(expected), found: Box::new(peer) });
        }
        let muxer_agreed =
            payload.extensions.is_some_and(|extensions| extensions.stream_muxers.iter().any(|m| m == YAMUX));
        self.remote = Some((peer, muxer_agreed));
        Ok(())
    }

    fn finish(&mut self) -> Result<Secured, Error> {
        let (peer, muxer_agreed) = self.remote.ok_or(Error::Payload("the peer proved no identity"))?;
        let (to_listener, to_dialler) = self.noise.dangerously_get_raw_split();
        let (tx, rx) = match self.role {
            Role::Dialler => (to_listener, to_dialler),
            Role::Listener => (to_dialler, to_listener),
        };
        Ok(Secured { peer, sealer: Sealer::new(tx), opener: Opener::new(rx), muxer_agreed })
    }
}

/// How many bytes the message takes that `partial` begins, prefix included; of a length that is not here yet, its own.
fn wanted(partial: &[u8]) -> Result<usize, Error> {
    match partial.first_chunk::<PREFIX>().map(|prefix| usize::from(u16::from_be_bytes(*prefix))) {
        None => Ok(PREFIX),
        Some(0) => Err(Error::Payload("a handshake message is empty")),
        Some(len) if len > MAX_MESSAGE => Err(Error::Payload("a handshake message is longer than 8192 bytes")),
        Some(len) => Ok(PREFIX + len),
    }
}

fn own_payload(identity: &Identity) -> Vec<u8> {
    Payload {
        identity_key: Some(identity.public_key().to_vec()),
        identity_sig: Some(identity.signature().to_vec()),
        extensions: Some(Extensions { webtransport_certhashes: Vec::new(), stream_muxers: vec![YAMUX.to_owned()] }),
    }
    .encode_to_vec()
}

/// The X25519 public key of a secret.
pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    let mut public = [0; 32];
    if let Some(mut dh) = DefaultResolver.resolve_dh(&DHChoice::Curve25519) {
        dh.set(secret);
        public.copy_from_slice(dh.pubkey());
    }
    public
}

/// snow's primitives, with the caller's random bytes as the only source of randomness.
struct Resolver {
    ephemeral: [u8; 32],
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.ephemeral))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives the random bytes of one ephemeral key, and nothing after them: a second key from the same bytes would
/// be worse than none.
struct Once(Option<[u8; 32]>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(bytes) if dest.len() == bytes.len() => {
                dest.copy_from_slice(&bytes);
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}
