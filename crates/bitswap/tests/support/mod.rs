//! What the tests of the engine share.
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{
    Answer, Decoder, Engine, Entry, Limits, Lookup, Message, Outgoing, Protocol, WantKind, Wantlist,
};
use multihash::Multihash;

/// A raw block's CID; `n` tells it from others. Nothing here depends on the digest being right.
pub(crate) fn cid(n: u64) -> Cid {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap())
}

pub(crate) fn want(n: u64) -> Entry {
    Entry { cid: cid(n), priority: 1, cancel: false, kind: WantKind::Block, send_dont_have: false }
}

pub(crate) fn want_have(n: u64) -> Entry {
    Entry { kind: WantKind::Have, ..want(n) }
}

pub(crate) fn cancel(n: u64) -> Entry {
    Entry { cancel: true, ..want(n) }
}

pub(crate) fn wantlist(entries: impl IntoIterator<Item = Entry>) -> Wantlist {
    Wantlist { entries: entries.into_iter().collect(), full: false }
}

pub(crate) fn full(entries: impl IntoIterator<Item = Entry>) -> Wantlist {
    Wantlist { full: true, ..wantlist(entries) }
}

/// An engine that has received `entries` by 1.2.0.
pub(crate) fn engine_with(limits: Limits, entries: impl IntoIterator<Item = Entry>) -> Engine {
    let mut engine = Engine::new(limits);
    engine.receive(wantlist(entries), Protocol::V1_2_0);
    engine
}

pub(crate) fn engine(entries: impl IntoIterator<Item = Entry>) -> Engine {
    engine_with(Limits::default(), entries)
}

pub(crate) fn block(len: usize) -> Answer {
    Answer::Block(Bytes::from(vec![7; len]))
}

/// Answers every lookup there is with what `answer` makes of it.
pub(crate) fn answer_all(engine: &mut Engine, mut answer: impl FnMut(&Lookup) -> Answer) {
    while let Some(lookup) = engine.next_lookup() {
        engine.answer(lookup.ticket, answer(&lookup));
    }
}

/// Reads an outgoing message back, and checks what it says of itself.
pub(crate) fn decoded(outgoing: &Outgoing) -> Message {
    let mut frame = Bytes::from(outgoing.segments.concat());
    assert_eq!(frame.len(), outgoing.len);
    let body = Decoder::new().decode(&mut frame).unwrap().unwrap();
    assert!(frame.is_empty());
    let message = Message::decode(body).unwrap();
    assert_eq!(message.blocks.len(), outgoing.blocks);
    assert_eq!(message.blocks.iter().map(|b| b.data.len()).sum::<usize>(), outgoing.block_bytes);
    assert_eq!(message.presences.len(), outgoing.presences);
    message
}

/// All messages that are ready.
pub(crate) fn messages(engine: &mut Engine, protocol: Protocol) -> Vec<Message> {
    std::iter::from_fn(|| engine.next_message(protocol)).map(|out| decoded(&out)).collect()
}

/// The one message that is ready.
pub(crate) fn message(engine: &mut Engine) -> Message {
    let mut messages = messages(engine, Protocol::V1_2_0);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

/// The engine after it was stored and read back.
pub(crate) fn thawed(engine: &Engine) -> Engine {
    postcard::from_bytes(&postcard::to_allocvec(engine).unwrap()).unwrap()
}
