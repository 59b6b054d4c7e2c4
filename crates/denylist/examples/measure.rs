//! Measures a list of 400,000 legacy anchors: compiling it, opening it, and what a want costs.
//! `cargo run --release -p hoverboard-denylist --example measure`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cid::Cid;
use hoverboard_denylist::{Denylist, Policy, Rules};
use multihash::Multihash;
use sha2::{Digest as _, Sha256};

const RULES: u32 = 400_000;
const WANTS: u32 = 100_000;

fn main() {
    let lines: Vec<String> = (0..RULES).map(|n| format!("//{:x}\n", Sha256::digest(n.to_le_bytes()))).collect();
    let text = lines.concat();
    let (compiled, took) = timed(|| {
        let mut rules = Rules::new();
        rules.read(text.as_bytes()).expect("a list");
        rules.compile()
    });
    println!("read {} bytes of text and compiled them to {}: {took:?}", text.len(), compiled.len());
    let took = (0..10).map(|_| timed(|| Denylist::open(compiled.clone()).expect("as written")).1).min();
    println!("opened: {:?}", took.unwrap_or_default());

    let cids: Vec<Cid> = (0..WANTS)
        .map(|n| Cid::new_v1(0x55, Multihash::wrap(0x12, &Sha256::digest(n.to_be_bytes())).expect("32 bytes")))
        .collect();
    let mut modern = Rules::new();
    modern.read(format!("/ipfs/{}", cids[0]).as_bytes()).expect("a list");
    let open = |bytes| Arc::new(Denylist::open(bytes).expect("as written"));
    let (legacy, modern) = (open(compiled), open(modern.compile()));
    for (name, lists) in [
        ("no rule", vec![]),
        ("modern hashes only", vec![modern.clone()]),
        ("legacy anchors only", vec![legacy.clone()]),
        ("both", vec![legacy, modern]),
    ] {
        let policy = Policy::new(lists);
        let (denied, took) = timed(|| cids.iter().filter(|cid| black_box(&policy).is_denied(cid)).count());
        println!("{name}: {:?} a want, {denied} denied", took / WANTS);
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = act();
    (done, begun.elapsed())
}
