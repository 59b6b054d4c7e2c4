//! Messages survive their encoding, as far as each version of the protocol can say them, and
//! bytes that are no message are refused without harm.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]

use bytes::Bytes;
use cid::{Cid, Version};
use hoverboard_bitswap::{Block, Decoder, Entry, Message, Prefix, Presence, Protocol, WantKind, Wantlist};
use multihash::Multihash;
use proptest::collection::vec;
use proptest::prelude::*;

fn cid() -> impl Strategy<Value = Cid> {
    let v0 = any::<[u8; 32]>().prop_map(|digest| Cid::new_v0(Multihash::wrap(0x12, &digest).unwrap()).unwrap());
    let varint = 0..u64::MAX >> 1;
    let v1 = (varint.clone(), varint, vec(any::<u8>(), 0..=64))
        .prop_map(|(codec, hash, digest)| Cid::new_v1(codec, Multihash::wrap(hash, &digest).unwrap()));
    prop_oneof![v0, v1]
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![Just(WantKind::Block), Just(WantKind::Have)];
    (cid(), any::<i32>(), any::<bool>(), kind, any::<bool>())
        .prop_map(|(cid, priority, cancel, kind, send_dont_have)| Entry { cid, priority, cancel, kind, send_dont_have })
}

fn block() -> impl Strategy<Value = Block> {
    (cid(), vec(any::<u8>(), 0..100))
        .prop_map(|(cid, data)| Block { prefix: Some(Prefix::of(&cid)), data: data.into() })
}

fn presence() -> impl Strategy<Value = (Cid, Presence)> {
    (cid(), prop_oneof![Just(Presence::Have), Just(Presence::DontHave)])
}

fn message() -> impl Strategy<Value = Message> {
    let wantlist = (vec(entry(), 0..8), any::<bool>()).prop_map(|(entries, full)| Wantlist { entries, full });
    (proptest::option::of(wantlist), vec(block(), 0..5), vec(presence(), 0..5), any::<i32>())
        .prop_map(|(wantlist, blocks, presences, pending_bytes)| Message { wantlist, blocks, presences, pending_bytes })
}

/// What is left of `message` when it is said in `protocol`.
fn as_said_in(protocol: Protocol, mut message: Message) -> Message {
    if !protocol.has_presences() {
        message.presences.clear();
        message.pending_bytes = 0;
        if let Some(wantlist) = &mut message.wantlist {
            wantlist.entries.retain(|entry| entry.cancel || entry.kind == WantKind::Block);
            for entry in &mut wantlist.entries {
                entry.kind = WantKind::Block;
                entry.send_dont_have = false;
            }
        }
    }
    if !protocol.has_prefixes() {
        for block in &mut message.blocks {
            block.prefix = None;
        }
    }
    message
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_message_survives_its_encoding(message in message()) {
        for protocol in Protocol::ALL {
            let encoded = message.encode(protocol);
            prop_assert_eq!(encoded.len(), message.encoded_len(protocol));
            let expected = as_said_in(protocol, message.clone());
            prop_assert_eq!(Message::decode(encoded).unwrap(), expected);
        }
    }

    #[test]
    fn messages_survive_any_split(
        messages in vec(message(), 1..4),
        cuts in vec(1_usize..64, 1..10),
    ) {
        let frames: Vec<Bytes> =
            messages.iter().map(|message| message.to_frame(Protocol::V1_2_0)).collect();
        let mut rest = Bytes::from(frames.concat());
        let (mut decoder, mut decoded) = (Decoder::new(), Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let mut chunk = rest.split_to((*cut).min(rest.len()));
            while let Some(body) = decoder.decode(&mut chunk).unwrap() {
                decoded.push(Message::decode(body).unwrap());
            }
        }
        prop_assert_eq!(decoded, messages);
    }

    /// What is accepted at all says the same again once it is written out.
    #[test]
    fn arbitrary_bytes_are_refused_or_understood(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::decode(bytes.into()) {
            let again = Message::decode(message.encode(Protocol::V1_2_0)).unwrap();
            let sayable = message.blocks.iter().filter(|block| block.prefix.is_some());
            prop_assert!(again.blocks.iter().eq(sayable));
            prop_assert_eq!(again.wantlist, message.wantlist);
            prop_assert_eq!(again.presences, message.presences);
            prop_assert_eq!(again.pending_bytes, message.pending_bytes);
        }
    }

    #[test]
    fn a_damaged_message_does_no_harm(
        message in message(),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut encoded = message.encode(Protocol::V1_2_0).to_vec();
        if !encoded.is_empty() {
            let at = at.index(encoded.len());
            encoded[at] = byte;
            let _ = Message::decode(Bytes::copy_from_slice(&encoded));
            encoded.truncate(at);
            let _ = Message::decode(encoded.into());
        }
    }
}

#[test]
fn the_data_of_a_block_is_a_slice_of_its_message() {
    let prefix = Prefix { version: Version::V1, codec: 0x55, hash_code: 0x12, digest_len: 32 };
    let data = Bytes::from(vec![7; 1000]);
    let message = Message { blocks: vec![Block { prefix: Some(prefix), data }], ..Message::default() };
    for protocol in Protocol::ALL {
        let encoded = message.encode(protocol);
        let decoded = Message::decode(encoded.clone()).unwrap();
        assert!(encoded.as_ptr_range().contains(&decoded.blocks[0].data.as_ptr()));
    }
}

#[test]
fn an_empty_block_is_a_block_in_every_version() {
    let prefix = Prefix { version: Version::V1, codec: 0x55, hash_code: 0x12, digest_len: 32 };
    let block = Block { prefix: Some(prefix), data: Bytes::new() };
    let message = Message { blocks: vec![block], ..Message::default() };
    let v1 = [0x1a, 8, 0x0a, 4, 1, 0x55, 0x12, 0x20, 0x12, 0];
    for (protocol, expected) in [
        (Protocol::V1_2_0, &v1[..]),
        (Protocol::V1_1_0, &v1),
        (Protocol::V1_0_0, &[0x12, 0]),
        (Protocol::Bare, &[0x12, 0]),
    ] {
        assert_eq!(message.encode(protocol), expected, "{protocol:?}");
        assert_eq!(Message::decode(message.encode(protocol)).unwrap().blocks.len(), 1);
    }
}
