//! Any bytes, in any two pieces: framing and messages never panic, and what is understood says
//! the same again once it is written out.
#![no_main]

use bytes::Bytes;
use hoverboard_bitswap::{Decoder, Message, Protocol};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let mut second = Bytes::copy_from_slice(bytes);
    let first = second.split_to(usize::from(cut).min(second.len()));
    let mut decoder = Decoder::new();
    for mut chunk in [first, second] {
        loop {
            match decoder.decode(&mut chunk) {
                Ok(Some(body)) => check(body),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(decoder.buffered_bytes() <= bytes.len());
    }
    check(Bytes::copy_from_slice(bytes));
});

fn check(body: Bytes) {
    let Ok(mut message) = Message::decode(body) else { return };
    for protocol in Protocol::ALL {
        let encoded = message.encode(protocol);
        assert_eq!(encoded.len(), message.encoded_len(protocol));
        Message::decode(encoded).expect("what we write can be read");
    }
    message.blocks.retain(|block| block.prefix.is_some());
    let again = Message::decode(message.encode(Protocol::V1_2_0)).expect("as above");
    assert_eq!(again, message);
}
