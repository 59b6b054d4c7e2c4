//! Two sessions over a seeded virtual network: any split of the bytes, any delay, any order of what is ready, frozen
//! and thawed between any two steps.

#[path = "../../wire/tests/support/never_twice.rs"]
mod never_twice;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::Limits;
use hoverboard_peer::wire::identity::Identity;
use hoverboard_peer::{Answer, Config, Event, Lookup, LookupKind, Session, WantKind, protocols, wire};
use libp2p_identity::Keypair;
use multihash_codetable::{Code, MultihashDigest};
use never_twice::NeverTwice;
use proptest::prelude::*;

/// A generator of which only the seed matters (xorshift64*).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

fn config(seed: u8, serve: bool) -> Arc<Config> {
    let identity = Identity::new(&Keypair::generate_ed25519(), [seed; 32]).expect("signs");
    let wire = Arc::new(wire::Config::new(identity, Arc::new(NeverTwice::default()), protocols()));
    Arc::new(Config { wire, engine: Limits::default(), serve })
}

/// One side, with the bytes that are on their way to it.
struct Side {
    config: Arc<Config>,
    session: Session,
    incoming: VecDeque<u8>,
    events: Vec<Event>,
}

impl Side {
    fn freeze_and_thaw(&mut self) -> Option<usize> {
        let frozen = self.session.freeze()?;
        self.session = Session::thaw(self.config.clone(), &frozen).expect("thaws");
        Some(frozen.len())
    }
}

struct Network {
    asker: Side,
    server: Side,
    blocks: HashMap<Cid, Bytes>,
    /// Lookups that the server's host has not answered yet.
    lookups: Vec<Lookup>,
    random: Seeded,
    now: Duration,
    freezes: usize,
}

impl Network {
    fn new(seed: u64) -> Self {
        let (ours, theirs) = (config(1, false), config(2, true));
        let now = Duration::ZERO;
        let dialler = Session::dial(ours.clone(), None, None, [3; 32], now).expect("dials");
        let listener = Session::accept(theirs.clone(), None, [4; 32], now).expect("accepts");
        let side = |config, session| Side { config, session, incoming: VecDeque::new(), events: Vec::new() };
        Self {
            asker: side(ours, dialler),
            server: side(theirs, listener),
            blocks: HashMap::new(),
            lookups: Vec::new(),
            random: Seeded(seed | 1),
            now,
            freezes: 0,
        }
    }

    fn add(&mut self, data: Vec<u8>) -> Cid {
        let cid = Cid::new_v1(0x55, Code::Sha2_256.digest(&data));
        self.blocks.insert(cid, data.into());
        cid
    }

    /// One of the things that could happen now, chosen by the seed.
    fn step(&mut self, freeze: bool) {
        self.now += Duration::from_millis(self.random.below(20) as u64);
        let now = self.now;
        match self.random.below(5) {
            0 => self.transmit(true),
            1 => self.transmit(false),
            2 => self.deliver(true),
            3 => self.deliver(false),
            _ => self.look_up(),
        }
        if freeze {
            self.freezes += usize::from(self.asker.freeze_and_thaw().is_some());
            if self.server.freeze_and_thaw().is_some() {
                self.freezes += 1;
                // Their tickets are void: the session asks again.
                self.lookups.clear();
            }
        }
        for side in [&mut self.asker, &mut self.server] {
            side.session.wake(now).expect("in time");
        }
    }

    fn transmit(&mut self, from_asker: bool) {
        let room = 1 + self.random.below(100_000);
        let (from, to) =
            if from_asker { (&mut self.asker, &mut self.server) } else { (&mut self.server, &mut self.asker) };
        let mut out = Vec::new();
        from.session.transmit(&mut out, room, self.now).expect("transmits");
        to.incoming.extend(out);
    }

    fn deliver(&mut self, to_asker: bool) {
        let n = 1 + self.random.below(70_000);
        let to = if to_asker { &mut self.asker } else { &mut self.server };
        let mut piece: Vec<u8> = to.incoming.drain(..n.min(to.incoming.len())).collect();
        to.session.receive(&mut piece, self.now).expect("receives");
        to.events.extend(std::iter::from_fn(|| to.session.next_event()));
    }

    fn look_up(&mut self) {
        self.lookups.extend(std::iter::from_fn(|| self.server.session.next_lookup(usize::MAX)));
        if self.lookups.is_empty() {
            return;
        }
        let lookup = self.lookups.swap_remove(self.random.below(self.lookups.len()));
        let answer = match self.blocks.get(&lookup.cid) {
            None => Answer::Missing,
            Some(data) if lookup.kind == LookupKind::Have && data.len() > lookup.inline_limit => {
                Answer::Have { size: data.len() as u64 }
            }
            Some(data) => Answer::Block(data.clone()),
        };
        self.server.session.answer(lookup.ticket, answer);
    }

    /// Steps until the asker has this many events beyond what `ignore` passes over.
    fn run(&mut self, events: usize, freeze: bool) {
        for _ in 0..400_000 {
            let seen = self.asker.events.iter().filter(|e| !matches!(e, Event::Connected(_) | Event::Pong(_))).count();
            if seen >= events {
                return;
            }
            self.step(freeze);
        }
        panic!("only {:?} after many steps", self.asker.events.len());
    }
}

fn blocks_of(events: &[Event]) -> HashMap<Cid, Bytes> {
    let block = |event: &Event| match event {
        Event::Block { cid, data } => Some((*cid, data.clone())),
        _ => None,
    };
    events.iter().filter_map(block).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_want_is_answered_once_whatever_the_network_does(
        seed: u64,
        sizes in prop::collection::vec(prop_oneof![0..3000_usize, 0..300_000_usize], 1..12),
        missing in 0..4_u8,
        freeze: bool,
    ) {
        let mut network = Network::new(seed);
        let wanted: Vec<Cid> =
            sizes.iter().enumerate().map(|(i, size)| network.add(vec![i as u8; *size])).collect();
        let wanted: HashSet<Cid> = wanted.into_iter().collect();
        let absent: Vec<Cid> =
            (0..missing).map(|i| Cid::new_v1(0x55, Code::Sha2_256.digest(&[0xee, 0xee, i]))).collect();
        network.asker.session.want(wanted.iter().chain(&absent).map(|cid| (*cid, WantKind::Block)));
        network.run(wanted.len() + absent.len(), freeze);
        let got = blocks_of(&network.asker.events);
        prop_assert_eq!(got.keys().copied().collect::<HashSet<_>>(), wanted);
        prop_assert!(got.iter().all(|(cid, data)| network.blocks[cid] == *data));
        let denied = network.asker.events.iter().filter(|e| matches!(e, Event::DontHave(cid) if absent.contains(cid)));
        prop_assert_eq!(denied.count(), absent.len());
        prop_assert_eq!(network.asker.events.iter().filter(|e| matches!(e, Event::Block { .. })).count(), got.len());
        prop_assert!(!freeze || network.freezes > 10);
        prop_assert_eq!(network.asker.session.wanted(), 0);
    }
}

#[test]
fn want_have_is_answered_with_have_or_with_the_small_block() {
    let mut network = Network::new(7);
    let (large, small) = (network.add(vec![1; 5000]), network.add(vec![2; 500]));
    network.asker.session.want([(large, WantKind::Have), (small, WantKind::Have)]);
    network.run(2, true);
    let events = &network.asker.events;
    assert!(events.iter().any(|e| matches!(e, Event::Have(cid) if *cid == large)), "{events:?}");
    assert_eq!(blocks_of(events).into_keys().collect::<Vec<_>>(), [small]);
}

#[test]
fn the_largest_block_that_fits_a_message_arrives() {
    let mut network = Network::new(11);
    let cid = network.add((0..4_194_286_u32).map(|i| (i / 13) as u8).collect());
    network.asker.session.want([(cid, WantKind::Block)]);
    network.run(1, false);
    assert!(blocks_of(&network.asker.events)[&cid] == network.blocks[&cid]);
}

#[test]
fn a_quiet_session_freezes_to_much_less_than_an_attachment() {
    let mut network = Network::new(3);
    let cid = network.add(vec![9; 100_000]);
    network.asker.session.want([(cid, WantKind::Block)]);
    network.run(1, false);
    for _ in 0..2000 {
        network.step(false);
    }
    assert!(network.server.session.is_quiet());
    let len = network.server.freeze_and_thaw().expect("freezes");
    assert!(len < 1024, "{len} bytes");
}

#[test]
fn a_want_that_is_cancelled_in_time_is_not_answered() {
    let mut network = Network::new(5);
    let (kept, cancelled) = (network.add(vec![1; 2000]), network.add(vec![2; 2000]));
    network.asker.session.want([(cancelled, WantKind::Block), (kept, WantKind::Block)]);
    network.asker.session.cancel([cancelled]);
    network.run(1, false);
    for _ in 0..2000 {
        network.step(false);
    }
    assert_eq!(blocks_of(&network.asker.events).into_keys().collect::<Vec<_>>(), [kept]);
    assert_eq!(network.server.session.counters().blocks, 1);
}

#[test]
fn a_draining_session_finishes_what_was_begun_and_takes_nothing_new() {
    let mut network = Network::new(13);
    let (first, second) = (network.add(vec![1; 400_000]), network.add(vec![2; 1000]));
    network.asker.session.want([(first, WantKind::Block)]);
    while network.server.session.wants() == 0 {
        network.step(false);
    }
    network.server.session.drain();
    assert!(!network.server.session.is_drained());
    network.asker.session.want([(second, WantKind::Block)]);
    for _ in 0..5000 {
        network.step(false);
    }
    assert_eq!(blocks_of(&network.asker.events).into_keys().collect::<Vec<_>>(), [first]);
    assert!(network.server.session.is_drained());
}

#[test]
fn a_message_that_is_not_bitswap_ends_the_session_with_a_reason() {
    let mut network = Network::new(17);
    let cid = network.add(vec![1; 10]);
    network.asker.session.want([(cid, WantKind::Block)]);
    network.run(1, false);
    // A stream of the asker's own, on which it writes what is no message.
    let (ours, theirs) = (config(1, false), config(2, true));
    let now = Duration::ZERO;
    let mut dialler = wire::Connection::dial(ours.wire.clone(), None, None, [3; 32], now).expect("dials");
    let mut server = Session::accept(theirs, None, [4; 32], now).expect("accepts");
    let mut exchange = |dialler: &mut wire::Connection| {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            dialler.transmit(&mut up, 1 << 16, now).expect("transmits");
            server.receive(&mut up, now)?;
            up.clear();
            server.transmit(&mut down, 1 << 16, now).expect("transmits");
            dialler.receive(&mut down, now).expect("receives");
            down.clear();
            while dialler.next_event().is_some() {}
        }
        Ok::<(), hoverboard_peer::Error>(())
    };
    exchange(&mut dialler).expect("connects");
    let stream = dialler.open(&[0], now).expect("opens");
    dialler.send(stream, Bytes::from_static(&[3, 0xff, 0xff, 0xff]));
    let error = exchange(&mut dialler).expect_err("not Bitswap").to_string();
    assert!(error.starts_with("bitswap: "), "{error}");
}
