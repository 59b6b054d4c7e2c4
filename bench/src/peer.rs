//! One connection to a server, over Noise, with blocking reads: wants out, blocks counted.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cid::Cid;
use hoverboard_bitswap::{Decoder, Message, Protocol, WantKind, want};
use hoverboard_wire::aead::{Aead, Ring};
use hoverboard_wire::identity::Identity;
use hoverboard_wire::yamux::StreamId;
use hoverboard_wire::{Config, Connection, Event};
use libp2p_identity::Keypair;
use multiaddr::Multiaddr;
use multihash::Multihash;
use sha2::{Digest as _, Sha256};

use crate::generate::{RAW, SHA2_256};
use crate::pipe::Pipe;

/// What the receive window grows to: as much as kubo's clients grant.
const WINDOW: u32 = 16 << 20;

/// Bytes that are sealed before they are sent, about.
const OUT: usize = 256 * 1024;

/// What a server must not do, whatever happens to it. That a connection ends is none of it.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

pub(crate) struct Peer {
    pipe: Pipe,
    connection: Connection,
    decoders: BTreeMap<StreamId, Decoder>,
    out: Vec<u8>,
    begun: Instant,
    /// Wants that a frame has at most.
    frame: usize,
    /// The stream on which wants go out, once there were any.
    stream: Option<StreamId>,
    /// What is still to come of the fetch that is under way, where every block is checked.
    expected: Option<HashSet<Cid>>,
    blocks: usize,
    bytes: u64,
}

impl Peer {
    /// Connects under an identity that nobody has seen before.
    pub(crate) fn dial(addr: &Multiaddr) -> Result<Self> {
        Self::dial_as(&Keypair::generate_ed25519(), Arc::new(Ring), Pipe::dial(addr)?)
    }

    /// Connects under an identity, with a seal of the caller's, over a pipe that is open.
    pub(crate) fn dial_as(identity: &Keypair, aead: Arc<dyn Aead>, pipe: Pipe) -> Result<Self> {
        let mut random = [[0; 32]; 2];
        getrandom::fill(random.as_flattened_mut())?;
        let [noise_key, ephemeral] = random;
        let identity = Identity::new(identity, noise_key)?;
        let protocols = vec![Protocol::V1_2_0.name().to_owned()];
        let mut config = Config::new(identity, aead, protocols);
        config.yamux.receive_window = WINDOW;
        let connection = Connection::dial(Arc::new(config), None, None, ephemeral, Duration::ZERO)?;
        let mut peer = Self {
            pipe,
            connection,
            decoders: BTreeMap::new(),
            out: Vec::new(),
            begun: Instant::now(),
            frame: usize::MAX,
            stream: None,
            expected: None,
            blocks: 0,
            bytes: 0,
        };
        peer.send()?;
        while peer.connection.peer().is_none() {
            peer.receive()?;
            peer.send()?;
        }
        Ok(peer)
    }

    /// Fetches these blocks, at most `in_flight` wanted at a time; returns their bytes.
    pub(crate) fn fetch(&mut self, cids: &[Cid], in_flight: usize) -> Result<u64> {
        (self.blocks, self.bytes) = (0, 0);
        let mut wanted = 0;
        while self.blocks < cids.len() {
            let room = in_flight - (wanted - self.blocks);
            // Wants leave a quarter at a time: a message a block would measure something else.
            if wanted < cids.len() && room >= in_flight.div_ceil(4) {
                let next = &cids[wanted..cids.len().min(wanted + room)];
                wanted += next.len();
                self.want(next)?;
            }
            self.send()?;
            self.receive()?;
        }
        Ok(self.bytes)
    }

    /// Asks for these blocks, and leaves it at that.
    pub(crate) fn ask(&mut self, cids: &[Cid]) -> Result<()> {
        self.want(cids)?;
        self.send()
    }

    fn want(&mut self, cids: &[Cid]) -> Result<()> {
        let now = self.begun.elapsed();
        let stream = match self.stream {
            Some(stream) => stream,
            None => {
                self.connection.probe(now)?;
                self.connection.open(&[0], now).context("the server went away")?
            }
        };
        self.stream = Some(stream);
        for cids in cids.chunks(self.frame) {
            for message in want::messages(cids.iter().map(|cid| (*cid, WantKind::Block)), true) {
                self.connection.send(stream, message.to_frame(Protocol::V1_2_0));
            }
            self.seal()?;
        }
        Ok(())
    }

    /// The same, with every block hashed and none but those that were wanted.
    pub(crate) fn fetch_checked(&mut self, cids: &[Cid], in_flight: usize) -> Result<u64> {
        self.expected = Some(cids.iter().copied().collect());
        let bytes = self.fetch(cids, in_flight)?;
        let left = self.expected.take().map_or(0, |expected| expected.len());
        ensure!(left == 0, Wrong(format!("{left} blocks came twice and others not at all")));
        Ok(bytes)
    }

    /// What a checked fetch that failed has not got.
    pub(crate) fn missing(&self) -> Option<&HashSet<Cid>> {
        self.expected.as_ref()
    }

    /// Says no more than so many wants in a frame; the frames leave together.
    pub(crate) fn set_frame(&mut self, wants: usize) {
        self.frame = wants.max(1);
    }

    fn seal(&mut self) -> Result<()> {
        Ok(self.connection.transmit(&mut self.out, OUT, self.begun.elapsed())?)
    }

    fn send(&mut self) -> Result<()> {
        loop {
            self.seal()?;
            if self.out.is_empty() {
                return Ok(());
            }
            self.pipe.write(&self.out)?;
            self.out.clear();
        }
    }

    fn receive(&mut self) -> Result<()> {
        let bytes = self.pipe.read()?;
        let now = self.begun.elapsed();
        self.connection.receive(bytes, now)?;
        while let Some(event) = self.connection.next_event() {
            match event {
                Event::Opened(stream, _) => {
                    self.decoders.insert(stream, Decoder::new());
                }
                Event::Data(stream, mut bytes) => {
                    self.connection.consume(stream, bytes.len(), now)?;
                    let Some(decoder) = self.decoders.get_mut(&stream) else { continue };
                    while let Some(body) = decoder.decode(&mut bytes)? {
                        let message = Message::decode(body)?;
                        ensure!(
                            message.presences.is_empty(),
                            Wrong("the server says that it does not have a block".to_owned())
                        );
                        if let Some(expected) = &mut self.expected {
                            for block in &message.blocks {
                                let cid = Cid::new_v1(RAW, Multihash::wrap(SHA2_256, &Sha256::digest(&block.data))?);
                                ensure!(
                                    expected.remove(&cid),
                                    Wrong(format!("a block came that nobody asked for: {cid}"))
                                );
                            }
                        }
                        self.blocks += message.blocks.len();
                        self.bytes += message.blocks.iter().map(|block| block.data.len() as u64).sum::<u64>();
                    }
                }
                Event::Finished(stream) => {
                    self.decoders.remove(&stream);
                    self.connection.finish(stream);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
