//! Anything at all as a service's answer, as a sharded index, and as both in a walk.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use hoverboard_claims::shards::ShardedIndex;
use hoverboard_claims::{Ask, Limits, Policy, Walk, read};
use libfuzzer_sys::fuzz_target;
use multihash::Multihash;

const LIMITS: Limits = Limits { requests: 16, bytes: 1 << 20, claims: 1 << 16, index: 1 << 16, depth: 4, places: 4 };

fuzz_target!(|answers: Vec<&[u8]>| {
    let Some(first) = answers.first() else { return };
    let Ok(block) = Multihash::wrap(0x12, &[7; 32]) else { return };
    if let Ok(read) = read(first)
        && let Some(claim) = read.claims.first()
    {
        walk(claim.content, &answers);
    }
    walk(block, &answers);
    if let Ok(index) = ShardedIndex::open(first, 1 << 16) {
        let _ = index.lookup(&block, 4);
    }
});

/// Every request gets the next answer, whatever it asked for.
fn walk(block: Multihash<64>, answers: &[&[u8]]) {
    let mut policy = Policy::default();
    policy.allowed.extend("*.com".parse());
    let mut walk = Walk::new(block, Arc::new(policy), LIMITS);
    let mut asked = 0;
    while let Some(request) = walk.next() {
        assert!(request.max_bytes <= 1 << 16 && asked < 16);
        match (answers.get(asked), request.ask) {
            (Some(answer), _) => walk.answered(request.id, Bytes::copy_from_slice(answer)),
            (None, Ask::Claims(_)) => walk.missing(request.id),
            (None, Ask::Index { .. }) => walk.failed(request.id),
        }
        asked += 1;
    }
    assert!(walk.is_over() && walk.places().len() <= 4);
}
