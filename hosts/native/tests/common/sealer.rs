//! Frames made by hand between those of a connection.

use std::sync::Mutex;

use hoverboard_peer::wire::aead::{Aead, Forged, Key, Ring, Tag};

/// Seals by a count of its own, with the first key that it is given, which is the connection's.
#[derive(Default)]
pub(crate) struct Sealer(Mutex<Option<(Key, u64)>>);

impl Sealer {
    /// Whether the connection has sent a frame, so that its key is known.
    pub(crate) fn has_key(&self) -> bool {
        self.0.lock().expect("not poisoned").is_some()
    }

    /// A frame of these bytes, at most 65,519.
    pub(crate) fn frame(&self, plain: &[u8]) -> Vec<u8> {
        assert!(self.has_key(), "a frame before the connection's first");
        let mut body = plain.to_vec();
        let tag = self.seal(&[0; 32], 0, &mut body);
        let len = ((body.len() + tag.len()) as u16).to_be_bytes();
        [&len, body.as_slice(), &tag].concat()
    }
}

impl Aead for Sealer {
    fn seal(&self, key: &Key, _: u64, in_out: &mut [u8]) -> Tag {
        let mut state = self.0.lock().expect("not poisoned");
        let (key, next) = state.get_or_insert((*key, 0));
        let tag = Ring.seal(key, *next, in_out);
        *next += 1;
        tag
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        Ring.open(key, nonce, in_out, tag)
    }
}
