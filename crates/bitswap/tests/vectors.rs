//! The worked messages of the Bitswap wire format, byte for byte, all about the one raw block
//! `1234\n`.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{
    Answer, Decoder, Engine, Entry, Limits, Message, Prefix, Presence, Protocol, WantKind, Wantlist,
};

const CID: &str = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q";
const BLOCK: &[u8] = b"1234\n";

const WANT_HAVE_PRIORITY_1: &str =
    "300a2e0a2c0a2401551220a883dafc480d466ee04e0d6da986bd78eb1fdd2178d04693723da3a8f95d42f4100120012801";
const WANT_HAVE_NO_PRIORITY: &str =
    "2e0a2c0a2a0a2401551220a883dafc480d466ee04e0d6da986bd78eb1fdd2178d04693723da3a8f95d42f420012801";
const BLOCK_MESSAGE: &str = "0f1a0d0a04015512201205313233340a";
const DONT_HAVE_MESSAGE: &str =
    "2a22280a2401551220a883dafc480d466ee04e0d6da986bd78eb1fdd2178d04693723da3a8f95d42f41001";

fn cid() -> Cid {
    CID.parse().unwrap()
}

fn bytes(hex: &str) -> Bytes {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decoded(hex: &str) -> Message {
    let mut chunk = bytes(hex);
    let body = Decoder::new().decode(&mut chunk).unwrap().unwrap();
    assert!(chunk.is_empty());
    Message::decode(body).unwrap()
}

fn want_have(priority: i32) -> Message {
    let entry = Entry { cid: cid(), priority, cancel: false, kind: WantKind::Have, send_dont_have: true };
    let wantlist = Some(Wantlist { entries: vec![entry], full: false });
    Message { wantlist, ..Message::default() }
}

#[test]
fn the_worked_want_haves_are_read_and_written() {
    for (hex, priority) in [(WANT_HAVE_PRIORITY_1, 1), (WANT_HAVE_NO_PRIORITY, 0)] {
        assert_eq!(decoded(hex), want_have(priority));
        assert_eq!(want_have(priority).to_frame(Protocol::V1_2_0), bytes(hex));
    }
}

#[test]
fn the_worked_block_is_read_and_named() {
    let message = decoded(BLOCK_MESSAGE);
    assert_eq!(message.to_frame(Protocol::V1_2_0), bytes(BLOCK_MESSAGE));
    let [block] = &message.blocks[..] else { panic!("{message:?}") };
    assert_eq!(block.data, BLOCK);
    assert_eq!(block.prefix, Some(Prefix::of(&cid())));
    assert_eq!(block.prefix.unwrap().cid(*cid().hash()), Some(cid()));
}

#[test]
fn the_worked_dont_have_is_read_and_written() {
    let message = decoded(DONT_HAVE_MESSAGE);
    assert_eq!(message.presences, [(cid(), Presence::DontHave)]);
    assert_eq!(message.to_frame(Protocol::V1_2_0), bytes(DONT_HAVE_MESSAGE));
}

#[test]
fn the_engine_answers_the_worked_want_with_the_worked_messages() {
    let block = Answer::Block(Bytes::from_static(BLOCK));
    for (answer, expected) in [(block, BLOCK_MESSAGE), (Answer::Missing, DONT_HAVE_MESSAGE)] {
        let mut engine = Engine::new(Limits::default());
        let wantlist = decoded(WANT_HAVE_PRIORITY_1).wantlist.unwrap();
        engine.receive(wantlist, Protocol::V1_2_0);
        let lookup = engine.next_lookup().unwrap();
        assert!(engine.answer(lookup.ticket, answer));
        let outgoing = engine.next_message(Protocol::V1_2_0).unwrap();
        assert_eq!(outgoing.segments.concat(), bytes(expected));
        assert_eq!(outgoing.len, bytes(expected).len());
        assert!(engine.is_idle());
    }
}
