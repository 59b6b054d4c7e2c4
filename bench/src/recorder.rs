//! The recorder at the other end of the wire: it notices a server that seals two frames under one key and counter.
//!
//! The frames of a connection come in order, so each is to be opened under the counter one above the last. One that cannot
//! be is tried under every counter below: if it opens there, two frames were sealed under that one, which gives away what
//! is in both. No frame that reaches the client escapes this.

use std::sync::atomic::{AtomicBool, Ordering};

use hoverboard_wire::aead::{Aead, Forged, Key, Ring, Tag};

/// A seal that remembers whether a counter came twice. One for each connection.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    repeated: AtomicBool,
}

impl Recorder {
    /// Whether a frame came under a counter that an earlier one had.
    pub(crate) fn has_repeated(&self) -> bool {
        self.repeated.load(Ordering::Relaxed)
    }
}

impl Aead for Recorder {
    fn seal(&self, key: &Key, nonce: u64, in_out: &mut [u8]) -> Tag {
        Ring.seal(key, nonce, in_out)
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        let sealed = in_out.to_vec();
        let opened = Ring.open(key, nonce, in_out, tag);
        if opened.is_err() {
            let old = |nonce| Ring.open(key, nonce, &mut sealed.clone(), tag).is_ok();
            self.repeated.fetch_or((0..nonce).rev().any(old), Ordering::Relaxed);
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [7; 32];

    fn sealed(nonce: u64, text: &[u8]) -> (Vec<u8>, Tag) {
        let mut text = text.to_vec();
        let tag = Ring.seal(&KEY, nonce, &mut text);
        (text, tag)
    }

    #[test]
    fn a_counter_that_comes_twice_is_noticed() {
        let recorder = Recorder::default();
        for nonce in 0..5 {
            let (mut frame, tag) = sealed(nonce, b"in order");
            assert!(recorder.open(&KEY, nonce, &mut frame, &tag).is_ok());
        }
        let (mut frame, tag) = sealed(3, b"another text");
        assert!(recorder.open(&KEY, 5, &mut frame, &tag).is_err());
        assert!(recorder.has_repeated());
    }

    #[test]
    fn a_frame_that_was_only_damaged_is_no_repetition() {
        let recorder = Recorder::default();
        let (mut frame, tag) = sealed(1, b"in order");
        frame[0] ^= 1;
        assert!(recorder.open(&KEY, 1, &mut frame, &tag).is_err());
        assert!(!recorder.has_repeated());
    }
}
