//! What the engine costs a block: receiving the want, handing out the lookup, taking the answer
//! and packing it into a message. Hashing, reading and sealing are not in it.
//!
//! `cargo run --release -p hoverboard-bitswap --example engine_cost`

use std::time::Instant;

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Answer, Decoder, Engine, Limits, Message, Protocol, WantKind, want};
use multihash::Multihash;

const WANTS: u64 = 1024;
const ROUNDS: u64 = 400;

fn cid(n: u64) -> Cid {
    let mut digest = [0; 32];
    // Spread over the digest as a hash would be.
    for (index, chunk) in digest.chunks_mut(8).enumerate() {
        let word = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(13 * index as u32);
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    // 32 bytes fit the 64 that a multihash may have.
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap_or_default())
}

fn main() {
    for (name, size) in [("empty", 0), ("1 KiB", 1 << 10), ("256 KiB", 256 << 10)] {
        let block = Bytes::from(vec![7; size]);
        let wants = (0..WANTS).map(|n| (cid(n), WantKind::Block));
        let frames = want::messages(wants, true).into_iter();
        let frames: Vec<Bytes> = frames.map(|m| m.to_frame(Protocol::V1_2_0)).collect();
        let mut engine = Engine::new(Limits::default());
        let (mut blocks, mut messages, mut bytes) = (0, 0, 0);
        let mut decode = std::time::Duration::ZERO;
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for frame in &frames {
                let decoding = Instant::now();
                let mut chunk = frame.clone();
                let body = Decoder::new().decode(&mut chunk);
                let message = body.ok().flatten().and_then(|body| Message::decode(body).ok());
                decode += decoding.elapsed();
                if let Some(wantlist) = message.and_then(|message| message.wantlist) {
                    engine.receive(wantlist, Protocol::V1_2_0);
                }
            }
            while !engine.is_idle() {
                while let Some(lookup) = engine.next_lookup() {
                    engine.answer(lookup.ticket, Answer::Block(block.clone()));
                }
                while let Some(outgoing) = engine.next_message(Protocol::V1_2_0) {
                    blocks += outgoing.blocks as u64;
                    messages += 1_u64;
                    bytes += outgoing.len as u64;
                }
            }
        }
        let whole = start.elapsed().as_nanos() as u64 / blocks.max(1);
        let decode = decode.as_nanos() as u64 / blocks.max(1);
        let share = blocks / messages.max(1);
        println!(
            "{name:>8}: {whole} ns a block, {decode} of it to decode the want; \
             {share} blocks and {} bytes a message",
            bytes / messages.max(1),
        );
    }
}
