//! One connection to a server, over TCP and Noise, with blocking reads: wants out, blocks counted.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cid::Cid;
use hoverboard_bitswap::{Decoder, Message, Protocol, WantKind, want};
use hoverboard_wire::aead::Ring;
use hoverboard_wire::identity::Identity;
use hoverboard_wire::yamux::StreamId;
use hoverboard_wire::{Config, Connection, Event};
use libp2p_identity::Keypair;
use multiaddr::{Multiaddr, Protocol as Part};

/// Nothing that is measured here pauses for longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the receive window grows to: as much as kubo's clients grant.
const WINDOW: u32 = 16 << 20;

pub(crate) struct Peer {
    socket: TcpStream,
    connection: Connection,
    decoders: BTreeMap<StreamId, Decoder>,
    out: Vec<u8>,
    buffer: Vec<u8>,
    begun: Instant,
    blocks: usize,
    bytes: u64,
}

impl Peer {
    pub(crate) fn dial(addr: &Multiaddr) -> Result<Self> {
        let mut parts = addr.iter();
        let ip = match parts.next() {
            Some(Part::Ip4(ip)) => IpAddr::from(ip),
            Some(Part::Ip6(ip)) => IpAddr::from(ip),
            _ => bail!("{addr} does not begin with an address"),
        };
        let Some(Part::Tcp(port)) = parts.next() else { bail!("{addr} has no TCP port") };
        let socket = TcpStream::connect((ip, port)).with_context(|| format!("cannot connect to {addr}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        let mut random = [[0; 32]; 2];
        getrandom::fill(random.as_flattened_mut())?;
        let [noise_key, ephemeral] = random;
        let identity = Identity::new(&Keypair::generate_ed25519(), noise_key)?;
        let protocols = vec![Protocol::V1_2_0.name().to_owned()];
        let mut config = Config::new(identity, Arc::new(Ring), protocols);
        config.yamux.receive_window = WINDOW;
        let connection = Connection::dial(Arc::new(config), None, None, ephemeral, Duration::ZERO)?;
        let mut peer = Self {
            socket,
            connection,
            decoders: BTreeMap::new(),
            out: Vec::new(),
            buffer: vec![0; 256 * 1024],
            begun: Instant::now(),
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
        let now = self.begun.elapsed();
        self.connection.probe(now)?;
        let stream = self.connection.open(&[0], now).context("the server went away")?;
        let mut wanted = 0;
        while self.blocks < cids.len() {
            let room = in_flight - (wanted - self.blocks);
            // Wants leave a quarter at a time: a message a block would measure something else.
            if wanted < cids.len() && room >= in_flight.div_ceil(4) {
                let next = &cids[wanted..cids.len().min(wanted + room)];
                wanted += next.len();
                for message in want::messages(next.iter().map(|cid| (*cid, WantKind::Block)), true) {
                    self.connection.send(stream, message.to_frame(Protocol::V1_2_0));
                }
            }
            self.send()?;
            self.receive()?;
        }
        Ok(self.bytes)
    }

    fn send(&mut self) -> Result<()> {
        loop {
            self.connection.transmit(&mut self.out, 256 * 1024, self.begun.elapsed())?;
            if self.out.is_empty() {
                return Ok(());
            }
            self.socket.write_all(&self.out)?;
            self.out.clear();
        }
    }

    fn receive(&mut self) -> Result<()> {
        let n = self.socket.read(&mut self.buffer).context("nothing comes")?;
        ensure!(n > 0, "the server closed the connection");
        let now = self.begun.elapsed();
        self.connection.receive(&mut self.buffer[..n], now)?;
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
                        ensure!(message.presences.is_empty(), "the server does not have a block");
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
