//! Any bytes from a peer that has proved nothing, in any two pieces, with and without the beginning that a peer makes: the
//! connection ends or waits, and never says that somebody is connected.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use hoverboard_wire::aead::Portable;
use hoverboard_wire::identity::Identity;
use hoverboard_wire::{Config, Connection};
use libfuzzer_sys::fuzz_target;
use libp2p_identity::Keypair;

const BEGINNING: &[u8] = b"\x13/multistream/1.0.0\n\x07/noise\n";

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (begin, cut, bytes) = input;
    let keypair = Keypair::ed25519_from_bytes([1; 32]).expect("a key of 32 bytes");
    let identity = Identity::new(&keypair, [2; 32]).expect("signs");
    let config = Arc::new(Config::new(identity, Arc::new(Portable), Vec::new()));
    let mut connection = Connection::accept(config, None, [3; 32], Duration::ZERO).expect("accepts");
    let mut bytes = [if begin { BEGINNING } else { &[] }, bytes].concat();
    let cut = usize::from(cut).min(bytes.len());
    let (first, second) = bytes.split_at_mut(cut);
    for piece in [first, second] {
        if connection.receive(piece, Duration::ZERO).is_err() {
            break;
        }
        connection.transmit(&mut Vec::new(), 1 << 16, Duration::ZERO).expect("answers");
    }
    assert!(connection.next_event().is_none() && connection.peer().is_none());
});
