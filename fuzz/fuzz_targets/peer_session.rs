//! Any bytes behind a real handshake, as yamux frames or as what a peer writes to a Bitswap stream: a session ends or goes
//! on within its bounds, and freezes and thaws in between.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use hoverboard_peer::wire::aead::{Aead, Forged, Key, TAG_LEN, Tag};
use hoverboard_peer::wire::identity::Identity;
use hoverboard_peer::{Answer, Config, Session, protocols, wire};
use libfuzzer_sys::fuzz_target;
use libp2p_identity::Keypair;

const NOW: Duration = Duration::ZERO;

/// Opens stream 1 and negotiates Bitswap on it, up to the header of a data frame.
const STREAM: &[u8] = b"\0\0\0\x01\0\0\0\x01\0\0\0\x28\x13/multistream/1.0.0\n\x13/ipfs/bitswap/1.2.0\n";

/// Seals nothing: a fuzzer guesses no tags.
struct Open;

impl Aead for Open {
    fn seal(&self, _: &Key, _: u64, _: &mut [u8]) -> Tag {
        [0; TAG_LEN]
    }

    fn open(&self, _: &Key, _: u64, _: &mut [u8], _: &Tag) -> Result<(), Forged> {
        Ok(())
    }
}

fn config(seed: u8) -> Arc<Config> {
    let keypair = Keypair::ed25519_from_bytes([seed; 32]).expect("a key of 32 bytes");
    let identity = Identity::new(&keypair, [seed; 32]).expect("signs");
    let wire = Arc::new(wire::Config::new(identity, Arc::new(Open), protocols()));
    Arc::new(Config { wire, engine: hoverboard_bitswap::Limits::default(), serve: true })
}

/// A session whose handshake is done.
fn connected(config: &Arc<Config>) -> Session {
    let mut dialler = Session::dial(self::config(1), None, None, [3; 32], NOW).expect("dials");
    let mut session = Session::accept(config.clone(), None, [4; 32], NOW).expect("accepts");
    let mut wire = Vec::new();
    for _ in 0..2 {
        dialler.transmit(&mut wire, 1 << 16, NOW).expect("sends");
        session.receive(&mut wire, NOW).expect("receives");
        wire.clear();
        session.transmit(&mut wire, 1 << 16, NOW).expect("sends");
        dialler.receive(&mut wire, NOW).expect("receives");
        wire.clear();
    }
    assert!(session.next_event().is_some(), "the handshake is done");
    session
}

fuzz_target!(|input: (bool, bool, Vec<Vec<u8>>)| {
    let (on_a_stream, freeze, pieces) = input;
    let config = config(2);
    let mut session = connected(&config);
    let receive = |session: &mut Session, plain: &[u8]| {
        let len = (plain.len() + TAG_LEN) as u16;
        let mut frame = [&len.to_be_bytes(), plain, &[0; TAG_LEN]].concat();
        session.receive(&mut frame, NOW)
    };
    if on_a_stream {
        receive(&mut session, STREAM).expect("is as it should be");
    }
    for piece in pieces {
        let piece = &piece[..piece.len().min(60_000)];
        let header = [&[0; 7], [1].as_slice(), &(piece.len() as u32).to_be_bytes()].concat();
        let plain = if on_a_stream { [&header, piece].concat() } else { piece.to_vec() };
        if receive(&mut session, &plain).is_err() {
            return;
        }
        while session.next_event().is_some() {}
        while let Some(lookup) = session.next_lookup(usize::MAX) {
            session.answer(lookup.ticket, Answer::Missing);
        }
        let mut out = Vec::new();
        session.transmit(&mut out, 1 << 16, NOW).expect("sends");
        assert!(session.unfinished() <= hoverboard_bitswap::MAX_RECEIVED && session.wants() <= 4096);
        if freeze && let Some(frozen) = session.freeze() {
            session = Session::thaw(config.clone(), &frozen).expect("thaws");
        }
    }
});
