//! An AEAD that panics if a key ever seals two frames under one counter, across every freeze and thaw of a test.

use std::collections::HashSet;
use std::sync::Mutex;

use hoverboard_wire::aead::{Aead, Forged, Key, Portable, Tag};

#[derive(Default)]
pub(crate) struct NeverTwice(Mutex<HashSet<(Key, u64)>>);

impl Aead for NeverTwice {
    fn seal(&self, key: &Key, nonce: u64, in_out: &mut [u8]) -> Tag {
        let fresh = self.0.lock().expect("not poisoned").insert((*key, nonce));
        assert!(fresh, "counter {nonce} was used twice under one key");
        Portable.seal(key, nonce, in_out)
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        Portable.open(key, nonce, in_out, tag)
    }
}
