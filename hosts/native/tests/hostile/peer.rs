//! A peer with every freedom: it speaks libp2p by the project's own wire code, or writes what it likes.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Decoder, Message, Protocol, WantKind, want};
use hoverboard_peer::wire::aead::{Aead, Forged, Key, Ring, Tag};
use hoverboard_peer::wire::identity::Identity;
use hoverboard_peer::wire::yamux::StreamId;
use hoverboard_peer::wire::{Config, Connection, Event};
use libp2p_identity::Keypair;

use crate::server::{PATIENCE, Server};

pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    pub(crate) connection: Connection,
    sealer: Arc<Sealer>,
    decoders: HashMap<StreamId, Decoder>,
    stream: Option<StreamId>,
    blocks: Vec<Bytes>,
    begun: Instant,
}

/// Seals by a count of its own, so that frames made by hand can go between those of the connection.
#[derive(Default)]
struct Sealer(Mutex<Option<(Key, u64)>>);

impl Aead for Sealer {
    fn seal(&self, key: &Key, _: u64, in_out: &mut [u8]) -> Tag {
        let mut state = self.0.lock().expect("not poisoned");
        let (key, next) = state.get_or_insert((*key, 0));
        let tag = Ring.seal(key, *next, in_out);
        *next += 1;
        tag
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        Ring.open(key, nonce, in_out, tag)
    }
}

/// A socket, with nothing said on it yet.
pub(crate) fn socket(server: &Server) -> TcpStream {
    let port = server.addr.split('/').nth(4).expect("an address with a port");
    let socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("connects");
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
            socket: socket(server),
            connection,
            sealer,
            decoders: HashMap::new(),
            stream: None,
            blocks: Vec::new(),
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
        if self.sealer.0.lock().expect("not poisoned").is_none() {
            // The key becomes known with the first frame.
            let now = self.now();
            self.connection.probe(now).expect("pings");
            self.send()?;
        }
        let mut out = Vec::new();
        for plain in plain.chunks(60_000) {
            let mut body = plain.to_vec();
            // The connection's key is the one that counts.
            let tag = self.sealer.seal(&[0; 32], 0, &mut body);
            out.extend_from_slice(&((body.len() + tag.len()) as u16).to_be_bytes());
            out.extend_from_slice(&body);
            out.extend_from_slice(&tag);
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
                    self.connection.consume(stream, bytes.len(), now).expect("consumes");
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
