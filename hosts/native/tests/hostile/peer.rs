//! A peer with every freedom: it speaks libp2p by the project's own wire code, or writes what it likes.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Decoder, Message, Protocol, WantKind, want};
use hoverboard_peer::wire::identity::Identity;
use hoverboard_peer::wire::yamux::StreamId;
use hoverboard_peer::wire::{Config, Connection, Event};
use libp2p_identity::Keypair;

use crate::sealer::Sealer;
use crate::server::{PATIENCE, Server};

pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    pub(crate) connection: Connection,
    sealer: Arc<Sealer>,
    decoders: HashMap<StreamId, Decoder>,
    stream: Option<StreamId>,
    blocks: Vec<Bytes>,
    /// Whether what was read is credited, so that more may come.
    pub(crate) credits: bool,
    begun: Instant,
}

/// A socket, with nothing said on it yet.
pub(crate) fn socket(server: &Server) -> TcpStream {
    socket_to(server.addr.split('/').nth(4).and_then(|port| port.parse().ok()).expect("an address with a port"))
}

fn socket_to(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    socket.set_write_timeout(Some(PATIENCE)).expect("set");
    socket
}

/// Waits until the server closes the socket.
pub(crate) fn wait_for_close(socket: &mut TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Ok(_) => {}
            Err(error) => panic!("the server does not close the connection: {error}"),
        }
    }
}

impl Peer {
    /// Connects, with a handshake as it should be.
    pub(crate) fn connect(server: &Server) -> Self {
        Self::with_window(server, 256 * 1024)
    }

    /// The same, granting windows that grow to this many bytes.
    pub(crate) fn with_window(server: &Server, window: u32) -> Self {
        Self::over(socket(server), window)
    }

    /// Connects to a server of this process.
    pub(crate) fn to_port(port: u16) -> Self {
        Self::over(socket_to(port), 256 * 1024)
    }

    fn over(socket: TcpStream, window: u32) -> Self {
        let mut random = [[0; 32]; 2];
        getrandom::fill(random.as_flattened_mut()).expect("random bytes");
        let identity = Identity::new(&Keypair::generate_ed25519(), random[0]).expect("signs");
        let sealer = Arc::new(Sealer::default());
        let mut config = Config::new(identity, sealer.clone(), hoverboard_peer::protocols());
        config.yamux.receive_window = window;
        // What a faulty peer may do is not for our own bounds to say.
        config.yamux.control_frames = usize::MAX;
        let connection = Connection::dial(Arc::new(config), None, None, random[1], Duration::ZERO).expect("dials");
        let mut peer = Self {
            socket,
            connection,
            sealer,
            decoders: HashMap::new(),
            stream: None,
            blocks: Vec::new(),
            credits: true,
            begun: Instant::now(),
        };
        while peer.connection.peer().is_none() {
            peer.send().expect("sends");
            peer.receive().expect("receives");
        }
        peer.send().expect("sends");
        peer
    }

    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Opens a stream for Bitswap and writes these bytes to it.
    pub(crate) fn write_to_new_stream(&mut self, bytes: Vec<u8>) -> StreamId {
        let now = self.now();
        let stream = self.connection.open(&[0], now).expect("opens");
        self.connection.send(stream, bytes.into());
        stream
    }

    /// Seals these bytes as they are, at most 60,000 in a frame, and writes them. An error is the server's closing.
    pub(crate) fn write_sealed(&mut self, plain: &[u8]) -> std::io::Result<()> {
        if !self.sealer.has_key() {
            // The key becomes known with the first frame.
            let now = self.now();
            self.connection.probe(now).expect("pings");
            self.send()?;
        }
        let mut out = Vec::new();
        for plain in plain.chunks(60_000) {
            out.extend_from_slice(&self.sealer.frame(plain));
        }
        self.socket.write_all(&out)
    }

    /// Writes bytes to the stream that wants are sent on.
    pub(crate) fn write_to_bitswap(&mut self, bytes: Bytes) {
        let now = self.now();
        let stream = *self.stream.get_or_insert_with(|| self.connection.open(&[0], now).expect("opens"));
        self.connection.send(stream, bytes);
    }

    pub(crate) fn want(&mut self, cids: impl IntoIterator<Item = Cid>) {
        let frames: Vec<Bytes> = want::messages(cids.into_iter().map(|cid| (cid, WantKind::Block)), true)
            .iter()
            .map(|message| message.to_frame(Protocol::V1_2_0))
            .collect();
        frames.into_iter().for_each(|frame| self.write_to_bitswap(frame));
        self.send().expect("sends");
    }

    /// Writes all that there is to send. An error is the server's closing.
    pub(crate) fn send(&mut self) -> std::io::Result<()> {
        let mut out = Vec::new();
        let now = self.now();
        loop {
            self.connection.transmit(&mut out, 1 << 18, now).expect("transmits");
            if out.is_empty() {
                return Ok(());
            }
            self.socket.write_all(&out)?;
            out.clear();
        }
    }

    /// Reads once; `false` at the end.
    pub(crate) fn receive(&mut self) -> std::io::Result<bool> {
        let mut buffer = vec![0; 1 << 17];
        let n = self.socket.read(&mut buffer)?;
        let now = self.now();
        self.connection.receive(&mut buffer[..n], now).expect("the server keeps to the rules");
        while let Some(event) = self.connection.next_event() {
            match event {
                Event::Opened(stream, _) => {
                    self.decoders.insert(stream, Decoder::new());
                }
                Event::Data(stream, mut bytes) => {
                    if self.credits {
                        self.connection.consume(stream, bytes.len(), now).expect("consumes");
                    }
                    let Some(decoder) = self.decoders.get_mut(&stream) else { continue };
                    while let Some(body) = decoder.decode(&mut bytes).expect("messages") {
                        let message = Message::decode(body).expect("a message");
                        self.blocks.extend(message.blocks.into_iter().map(|block| block.data));
                    }
                }
                _ => {}
            }
        }
        Ok(n > 0)
    }

    pub(crate) fn next_block(&mut self) -> Bytes {
        while self.blocks.is_empty() {
            assert!(self.receive().expect("receives"), "the server closed the connection");
            self.send().expect("sends");
        }
        self.blocks.remove(0)
    }

    /// Goes on sending and reading until the server closes the connection in good order. How many blocks came.
    pub(crate) fn blocks_until_close(&mut self) -> usize {
        let before = self.blocks.len();
        while self.receive().expect("closed in good order") {
            self.send().expect("sends");
        }
        self.blocks.len() - before
    }

    /// Goes on sending and reading until the server closes the connection.
    pub(crate) fn wait_for_close(&mut self) {
        loop {
            match self.receive() {
                Ok(true) => {
                    // A server that has closed takes no more, and what it said last may still be read.
                    let _ = self.send();
                }
                Ok(false) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the server does not close the connection: {error}"),
            }
        }
    }
}
