//! For a wasm engine: how many of OpenSSL's signatures in `crates/wire/tests/keys/signatures.txt` verify. `cargo xtask
//! test` builds it for wasm32-unknown-unknown and runs it; natively `crates/wire/tests/signatures.rs` checks the same.
#![allow(unsafe_code, reason = "an export with a plain name takes an unsafe attribute; there is no other unsafe code")]

use hoverboard_wire::identity::PublicKey;

const SIGNATURES: &str = include_str!("../../../crates/wire/tests/keys/signatures.txt");

/// The number of signatures that verify, or -1 if one verifies that must not.
#[unsafe(no_mangle)]
pub extern "C" fn verified() -> i32 {
    let mut lines = SIGNATURES.lines().skip(1);
    let message = lines.next().and_then(|line| line.strip_prefix("message ")).map(hex).unwrap_or_default();
    let mut count = 0;
    for line in lines {
        let mut words = line.split(' ').skip(1).map(hex);
        let (Some(key), Some(signature)) = (words.next(), words.next()) else { return -1 };
        let Ok(key) = PublicKey::decode(&key) else { continue };
        if key.verify(b"another message", &signature) {
            return -1;
        }
        count += i32::from(key.verify(&message, &signature));
    }
    count
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
    (0..text.len()).step_by(2).map(digit).collect()
}
