//! A peer that asks for blocks, under an identity that it keeps.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Limits, WantKind};
use hoverboard_peer::wire::aead::Ring;
use hoverboard_peer::wire::identity::Identity;
use hoverboard_peer::{Config, Event, Session, wire};
use libp2p_identity::Keypair;

use crate::server::{PATIENCE, Server};

/// How long the socket is waited for at a time.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Peer {
    socket: TcpStream,
    session: Session,
    begun: Instant,
    /// What has come so far.
    pub(crate) blocks: HashMap<Cid, Bytes>,
    /// What the server said it does not have.
    pub(crate) refused: Vec<Cid>,
}

impl Peer {
    /// Connects, and waits until both know who the other one is.
    pub(crate) fn connect(server: &Server, key: &Keypair) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", server.port())).expect("connects");
        socket.set_read_timeout(Some(PAUSE)).expect("set");
        let mut random = [[0; 32]; 2];
        getrandom::fill(random.as_flattened_mut()).expect("random bytes");
        let identity = Identity::new(key, random[0]).expect("signs");
        let wire = wire::Config::new(identity, Arc::new(Ring), hoverboard_peer::protocols());
        let config = Config { wire: Arc::new(wire), engine: Limits::default(), serve: false };
        let session = Session::dial(Arc::new(config), None, None, random[1], Duration::ZERO).expect("dials");
        let mut peer = Self { socket, session, begun: Instant::now(), blocks: HashMap::new(), refused: Vec::new() };
        peer.go_on_until(|peer| peer.session.peer().is_some());
        peer
    }

    /// Sends what there is and reads what comes within a moment; `false` at the end.
    pub(crate) fn go_on(&mut self) -> bool {
        let now = self.begun.elapsed();
        assert!(now < PATIENCE, "{} blocks came", self.blocks.len());
        let mut out = Vec::new();
        self.session.transmit(&mut out, 1 << 18, now).expect("transmits");
        if !out.is_empty() && self.socket.write_all(&out).is_err() {
            return false;
        }
        let mut buffer = vec![0; 1 << 17];
        match self.socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(n) => self.session.receive(&mut buffer[..n], now).expect("the server keeps to the rules"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("not closed in good order: {error}"),
        }
        while let Some(event) = self.session.next_event() {
            match event {
                Event::Block { cid, data } => drop(self.blocks.insert(cid, data)),
                Event::DontHave(cid) => self.refused.push(cid),
                _ => {}
            }
        }
        true
    }

    /// Wants blocks.
    pub(crate) fn want(&mut self, cids: impl IntoIterator<Item = Cid>) {
        self.session.want(cids.into_iter().map(|cid| (cid, WantKind::Block)));
    }

    /// Wants blocks, and waits until all of them are here.
    pub(crate) fn fetch(&mut self, cids: impl IntoIterator<Item = Cid> + Clone) {
        self.want(cids.clone());
        self.go_on_until(|peer| cids.clone().into_iter().all(|cid| peer.blocks.contains_key(&cid)));
    }

    /// Goes on until this is so.
    pub(crate) fn go_on_until(&mut self, mut good: impl FnMut(&Self) -> bool) {
        while !good(self) {
            assert!(self.go_on(), "the server closed the connection");
        }
    }

    /// Goes on for so long, whatever comes.
    pub(crate) fn stay(&mut self, time: Duration) {
        let begun = Instant::now();
        self.go_on_until(|_| begun.elapsed() >= time);
    }
}
