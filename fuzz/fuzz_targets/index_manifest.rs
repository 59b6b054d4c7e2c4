//! Any bytes, under a right checksum too, are a manifest that is written back the same and can be followed by another, or
//! an error.
#![no_main]

use hoverboard_index::manifest::Manifest;
use hoverboard_index::tiers;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Where the field lies, and what it would have to be.
    let field = b"\x63sum\x48";
    let Some(at) = bytes.windows(field.len()).position(|window| window == field).map(|at| at + field.len()) else {
        return;
    };
    let mut bytes = bytes.to_vec();
    let Some(sum) = bytes.get_mut(at..at + 8) else { return };
    sum.fill(0);
    let right = xxh3_64(&bytes).to_le_bytes();
    bytes[at..at + 8].copy_from_slice(&right);
    check(&bytes);
});

fn check(bytes: &[u8]) {
    let Ok(manifest) = Manifest::decode(bytes) else { return };
    assert_eq!(manifest.encode(), bytes);
    let _ = tiers::plan(&manifest.entries());
    let mut draft = manifest.draft(0);
    let _ = draft.strike([0, 1, u32::MAX]);
    if manifest.generation() < u64::MAX {
        draft.finish().expect("a manifest can be followed");
    }
}
