//! Two connections against each other: any split of the bytes, every key type, frozen and thawed at every step.

#[path = "support/never_twice.rs"]
mod never_twice;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hoverboard_wire::identity::Identity;
use hoverboard_wire::{Config, Connection, Error, Event};
use libp2p_identity::Keypair;
use never_twice::NeverTwice;
use proptest::prelude::*;

const NOW: Duration = Duration::ZERO;
const ECHO: usize = 0;
const NOBODY: usize = 1;

fn config(keypair: &Keypair, seed: u8, protocols: &[&str]) -> Arc<Config> {
    let identity = Identity::new(keypair, [seed; 32]).expect("signs");
    let protocols = protocols.iter().map(|p| (*p).to_owned()).collect();
    Arc::new(Config::new(identity, Arc::new(NeverTwice::default()), protocols))
}

struct Pair {
    dialler: Connection,
    listener: Connection,
    cut: usize,
    freeze: bool,
}

impl Pair {
    fn new(cut: usize, freeze: bool) -> Self {
        Self::of(&Keypair::generate_ed25519(), &Keypair::generate_ed25519(), cut, freeze)
    }

    fn of(dialler: &Keypair, listener: &Keypair, cut: usize, freeze: bool) -> Self {
        let ours = config(dialler, 1, &["/echo/1", "/nobody/1"]);
        let theirs = config(listener, 2, &["/echo/1"]);
        let expected = Some(listener.public().to_peer_id());
        let dialler = Connection::dial(ours, expected, None, [3; 32], NOW).expect("dials");
        let listener = Connection::accept(theirs, None, [4; 32], NOW).expect("accepts");
        Self { dialler, listener, cut, freeze }
    }

    /// Moves one piece each way; `false` when nothing moves any more.
    fn step(&mut self, wires: &mut [Vec<u8>; 2], events: &mut [Vec<Event>; 2]) -> Result<bool, Error> {
        let [up, down] = wires;
        self.dialler.transmit(up, 1 << 16, NOW)?;
        self.listener.transmit(down, 1 << 16, NOW)?;
        let moved = !up.is_empty() || !down.is_empty();
        for (wire, to, seen) in [(up, &mut self.listener, 1), (down, &mut self.dialler, 0)] {
            let mut piece: Vec<u8> = wire.drain(..self.cut.min(wire.len())).collect();
            to.receive(&mut piece, NOW)?;
            while let Some(event) = to.next_event() {
                events[seen].push(event);
            }
        }
        if self.freeze {
            for connection in [&mut self.dialler, &mut self.listener] {
                if let Some(frozen) = connection.freeze() {
                    *connection = Connection::thaw(connection.config().clone(), &frozen).expect("thaws");
                }
            }
        }
        Ok(moved)
    }

    fn run(&mut self, wires: &mut [Vec<u8>; 2]) -> Result<[Vec<Event>; 2], Error> {
        let mut events = [Vec::new(), Vec::new()];
        while self.step(wires, &mut events)? {}
        Ok(events)
    }
}

/// Connects, and echoes `messages`, one a stream; the listener sends back what it gets.
fn echo(mut pair: Pair, messages: &[Vec<u8>]) -> HashMap<u32, Vec<u8>> {
    let mut wires = [Vec::new(), Vec::new()];
    let [ours, theirs] = pair.run(&mut wires).expect("connects");
    assert!(matches!(ours[..], [Event::Connected(_)]), "{ours:?}");
    assert!(matches!(theirs[..], [Event::Connected(_)]), "{theirs:?}");
    let mut got: HashMap<u32, Vec<u8>> = HashMap::new();
    for message in messages {
        let stream = pair.dialler.open(&[ECHO], NOW).expect("opens");
        pair.dialler.send(stream, Bytes::copy_from_slice(message));
        pair.dialler.finish(stream);
        got.insert(stream, Vec::new());
    }
    let mut events = [Vec::new(), Vec::new()];
    let mut ended = 0;
    while pair.step(&mut wires, &mut events).expect("runs") || !events[0].is_empty() || !events[1].is_empty() {
        for event in events[1].drain(..) {
            match event {
                Event::Opened(_, ECHO) => {}
                Event::Data(stream, bytes) => {
                    let len = bytes.len();
                    pair.listener.send(stream, bytes);
                    pair.listener.consume(stream, len, NOW).expect("consumes");
                }
                Event::Finished(stream) => pair.listener.finish(stream),
                other => panic!("unexpected {other:?}"),
            }
        }
        for event in events[0].drain(..) {
            match event {
                Event::Agreed(_, ECHO) => {}
                Event::Data(stream, bytes) => {
                    got.get_mut(&stream).expect("a stream of ours").extend_from_slice(&bytes);
                    pair.dialler.consume(stream, bytes.len(), NOW).expect("consumes");
                }
                Event::Finished(_) => ended += 1,
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    assert_eq!(ended, messages.len());
    assert!(pair.dialler.is_quiet() && pair.listener.is_quiet());
    assert_eq!((pair.dialler.streams(), pair.listener.streams()), (0, 0));
    got
}

fn check_echo(pair: Pair, messages: Vec<Vec<u8>>) {
    let mut got: Vec<Vec<u8>> = {
        let mut streams: Vec<_> = echo(pair, &messages).into_iter().collect();
        streams.sort_by_key(|(stream, _)| *stream);
        streams.into_iter().map(|(_, bytes)| bytes).collect()
    };
    assert_eq!(got.len(), messages.len());
    for (got, sent) in got.drain(..).zip(messages) {
        assert!(got == sent, "{} bytes came back of {}", got.len(), sent.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn streams_are_echoed_at_any_split_frozen_at_every_step(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..2000), 1..5),
        cut in 1..3000_usize,
        freeze in any::<bool>(),
    ) {
        check_echo(Pair::new(cut, freeze), messages);
    }

    #[test]
    fn no_bytes_from_a_stranger_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), header in any::<bool>()) {
        let config = config(&Keypair::generate_ed25519(), 2, &[]);
        let mut listener = Connection::accept(config, None, [4; 32], NOW).expect("accepts");
        let mut wire = if header { b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec() } else { Vec::new() };
        wire.extend_from_slice(&bytes);
        let _ = listener.receive(&mut wire, NOW);
        prop_assert!(listener.next_event().is_none());
    }
}

#[test]
fn a_long_stream_passes_through_windows_while_frozen_and_thawed() {
    let message: Vec<u8> = (0..600_000_u32).map(|i| (i / 7) as u8).collect();
    check_echo(Pair::new(9_999, true), vec![message.clone(), message]);
}

#[test]
fn every_key_type_proves_itself_both_ways() {
    let rsa = || {
        let mut der = include_bytes!("keys/rsa-2048.pk8").to_vec();
        Keypair::rsa_from_pkcs8(&mut der).expect("reads")
    };
    let keys = [Keypair::generate_ed25519(), Keypair::generate_secp256k1(), Keypair::generate_ecdsa(), rsa()];
    for key in &keys {
        let other = Keypair::generate_ed25519();
        for (dialler, listener) in [(key, &other), (&other, key)] {
            let mut pair = Pair::of(dialler, listener, 700, false);
            let [ours, theirs] = pair.run(&mut [Vec::new(), Vec::new()]).expect("connects");
            assert!(matches!(ours[..], [Event::Connected(peer)] if peer == listener.public().to_peer_id()));
            assert!(matches!(theirs[..], [Event::Connected(peer)] if peer == dialler.public().to_peer_id()));
        }
    }
}

#[test]
fn another_peer_than_the_dialled_one_is_refused() {
    let mut pair = Pair::new(500, false);
    let stranger = Keypair::generate_ed25519().public().to_peer_id();
    pair.dialler = Connection::dial(pair.dialler.config().clone(), Some(stranger), None, [3; 32], NOW).expect("dials");
    let result = pair.run(&mut [Vec::new(), Vec::new()]);
    assert!(matches!(result, Err(Error::WrongPeer { expected, .. }) if *expected == stranger));
}

#[test]
fn a_protocol_that_nobody_speaks_is_refused_and_the_next_is_taken() {
    let mut pair = Pair::new(500, false);
    let mut wires = [Vec::new(), Vec::new()];
    pair.run(&mut wires).expect("connects");
    let refused = pair.dialler.open(&[NOBODY], NOW).expect("opens");
    let taken = pair.dialler.open(&[NOBODY, ECHO], NOW).expect("opens");
    let [ours, theirs] = pair.run(&mut wires).expect("runs");
    assert!(ours.iter().any(|e| matches!(e, Event::Refused(s) if *s == refused)), "{ours:?}");
    assert!(ours.iter().any(|e| matches!(e, Event::Agreed(s, ECHO) if *s == taken)), "{ours:?}");
    assert!(theirs.iter().any(|e| matches!(e, Event::Opened(s, ECHO) if *s == taken)), "{theirs:?}");
}

#[test]
fn identify_tells_agent_protocols_and_the_observed_address() {
    let mut pair = Pair::new(60, true);
    let observed: hoverboard_wire::Multiaddr = "/ip4/192.0.2.7/tcp/4001".parse().expect("parses");
    pair.listener =
        Connection::accept(pair.listener.config().clone(), Some(observed.clone()), [4; 32], NOW).expect("accepts");
    let mut wires = [Vec::new(), Vec::new()];
    pair.run(&mut wires).expect("connects");
    pair.dialler.identify(NOW);
    let [ours, _] = pair.run(&mut wires).expect("runs");
    let [Event::Identified(info)] = &ours[..] else { panic!("{ours:?}") };
    assert!(info.agent.starts_with("hoverboard/"));
    assert!(info.protocols.iter().any(|p| p == "/echo/1") && info.protocols.iter().any(|p| p == "/ipfs/ping/1.0.0"));
    assert_eq!(info.observed_addr, Some(observed));
}

#[test]
fn a_ping_comes_back_while_frozen_and_thawed() {
    let mut pair = Pair::new(20, true);
    let mut wires = [Vec::new(), Vec::new()];
    pair.run(&mut wires).expect("connects");
    for round in 0..2 {
        pair.dialler.ping([round; 32], NOW);
        let [ours, _] = pair.run(&mut wires).expect("runs");
        assert!(matches!(ours[..], [Event::Pong(_)]), "{ours:?}");
        // The listener's side of the stream ends with the pings.
        assert!(pair.dialler.is_quiet() && pair.listener.is_quiet());
    }
    assert_eq!((pair.dialler.streams(), pair.listener.streams()), (0, 0));
}

#[test]
fn a_goodbye_is_heard_and_no_stream_is_accepted_after_it() {
    let mut pair = Pair::new(60, true);
    let mut wires = [Vec::new(), Vec::new()];
    pair.run(&mut wires).expect("connects");
    pair.listener.go_away().expect("says goodbye");
    let [ours, _] = pair.run(&mut wires).expect("runs");
    assert!(matches!(ours[..], [Event::GoAway]), "{ours:?}");
    assert_eq!(pair.dialler.open(&[ECHO], NOW), None);
}

#[test]
fn a_change_of_address_is_pushed() {
    let mut pair = Pair::new(60, false);
    let mut wires = [Vec::new(), Vec::new()];
    pair.run(&mut wires).expect("connects");
    let address: hoverboard_wire::Multiaddr = "/dns4/example.org/tcp/443/wss".parse().expect("parses");
    let mut changed = (**pair.listener.config()).clone();
    changed.listen_addrs = vec![address.clone()];
    pair.listener.reconfigure(Arc::new(changed), NOW);
    let [ours, _] = pair.run(&mut wires).expect("runs");
    assert!(matches!(&ours[..], [Event::Identified(info)] if info.listen_addrs == [address]), "{ours:?}");
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let mut pair = Pair::new(500, false);
    pair.run(&mut [Vec::new(), Vec::new()]).expect("connects");
    let first = pair.listener.deadline().expect("has a deadline");
    pair.listener.wake(first).expect("pings");
    let mut out = Vec::new();
    pair.listener.transmit(&mut out, 1 << 16, first).expect("sends");
    assert!(!out.is_empty(), "no ping left");
    let second = pair.listener.deadline().expect("has a deadline");
    assert!(matches!(pair.listener.wake(second), Err(Error::TimedOut(_))));
}

#[test]
fn a_handshake_that_drips_in_ends_at_its_deadline() {
    let config = config(&Keypair::generate_ed25519(), 2, &[]);
    let mut listener = Connection::accept(config, None, [4; 32], NOW).expect("accepts");
    let second = Duration::from_secs(1);
    let mut now = NOW;
    for byte in b"\x13/multistream/1.0.0\n\x07/noise\n" {
        now += second;
        listener.receive(&mut [*byte], now).expect("receives");
        if listener.wake(now).is_err() {
            return assert!(now <= 16 * second);
        }
    }
    panic!("the handshake was given {now:?}");
}

#[test]
fn a_quiet_connection_freezes_small_and_a_handshake_not_at_all() {
    let mut pair = Pair::new(500, false);
    assert!(pair.dialler.freeze().is_none());
    pair.run(&mut [Vec::new(), Vec::new()]).expect("connects");
    let frozen = pair.dialler.freeze().expect("freezes");
    assert!(frozen.len() < 512, "{} bytes", frozen.len());
}

#[test]
fn streams_that_are_over_leave_nothing_behind() {
    let mut pair = Pair::new(50_000, false);
    let mut wires = [Vec::new(), Vec::new()];
    pair.run(&mut wires).expect("connects");
    let before = pair.listener.freeze().expect("freezes").len();
    for _ in 0..300 {
        let stream = pair.dialler.open(&[ECHO], NOW).expect("opens");
        pair.dialler.finish(stream);
        let [_, theirs] = pair.run(&mut wires).expect("runs");
        assert!(matches!(theirs[..], [Event::Opened(..), Event::Finished(_)]), "{theirs:?}");
        pair.listener.finish(stream);
        pair.run(&mut wires).expect("runs");
    }
    for connection in [&pair.dialler, &pair.listener] {
        let after = connection.freeze().expect("freezes").len();
        assert!(after < before + 64, "{before} bytes before, {after} after");
    }
}

#[test]
fn a_frozen_form_cut_short_is_an_error() {
    let mut pair = Pair::new(500, false);
    pair.run(&mut [Vec::new(), Vec::new()]).expect("connects");
    let frozen = pair.dialler.freeze().expect("freezes");
    for len in 0..frozen.len() {
        assert!(Connection::thaw(pair.dialler.config().clone(), &frozen[..len]).is_err());
    }
}
