//! Sealing and hashing: by the platform where that is faster, in wasm where it is not.
//!
//! `node:crypto` in workerd is native code and answers at once, but each call into it costs some microseconds and its
//! result is a new buffer. From which size on that pays was measured; the figures stand beside the constants. Where
//! `node:crypto` is missing, everything is done here.

use std::sync::{Arc, LazyLock};

use hoverboard_dag::{Sha256, Software};
use hoverboard_wire::aead::{Aead, Forged, Key, Portable, TAG_LEN, Tag};

/// Frames of this many bytes and more are sealed and opened by the platform. In ms/MiB, wasm against `node:crypto`: 3.0 and 8.4
/// at 1 KiB, 2.9 and 4.3 at 2 KiB, 2.9 and 2.5 at 4 KiB, 2.9 and 0.75 at 64 KiB.
const SEAL_BY_NODE: usize = 4 * 1024;

/// Blocks of this many bytes and more are hashed by the platform. In ms/MiB, wasm against `node:crypto`: 3.1 and 3.8 at
/// 1 KiB, 3.1 and 1.6 at 2 KiB, 2.9 and 0.6 at 256 KiB.
const HASH_BY_NODE: usize = 2 * 1024;

/// What `js/platform.js` makes of `node:crypto`.
mod node {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(raw_module = "./platform.js")]
    extern "C" {
        /// Whether the platform has what the others need.
        #[wasm_bindgen(js_name = hasCrypto)]
        pub(super) fn has_crypto() -> bool;

        /// ChaCha20-Poly1305 in place; the tag is written to `tag`. The nonce is the 12 bytes of RFC 8439.
        pub(super) fn seal(key: &[u8], nonce: &[u8], in_out: &mut [u8], tag: &mut [u8]);

        /// The reverse; `false` if the tag does not match.
        pub(super) fn open(key: &[u8], nonce: &[u8], in_out: &mut [u8], tag: &[u8]) -> bool;

        /// SHA2-256, written to `digest`.
        pub(super) fn sha256(data: &[u8], digest: &mut [u8]);
    }
}

/// Whether the platform's functions are there. It does not change while an instance lives.
static NODE: LazyLock<bool> = LazyLock::new(|| cfg!(target_arch = "wasm32") && node::has_crypto());

/// The seal of the sessions.
pub(crate) fn aead() -> Arc<dyn Aead> {
    Arc::new(Best)
}

/// The hash of the blocks.
pub(crate) fn sha256() -> Arc<dyn Sha256 + Send + Sync> {
    Arc::new(Best)
}

/// The platform's functions for what is large, our own for what is small.
#[derive(Debug, Clone, Copy)]
struct Best;

impl Aead for Best {
    fn seal(&self, key: &Key, nonce: u64, in_out: &mut [u8]) -> Tag {
        if in_out.len() < SEAL_BY_NODE || !*NODE {
            return Portable.seal(key, nonce, in_out);
        }
        Node.seal(key, nonce, in_out)
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        if in_out.len() < SEAL_BY_NODE || !*NODE {
            return Portable.open(key, nonce, in_out, tag);
        }
        Node.open(key, nonce, in_out, tag)
    }
}

impl Sha256 for Best {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        if data.len() < HASH_BY_NODE || !*NODE { Software.sha256(data) } else { Node.sha256(data) }
    }
}

/// The platform's functions, where they are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node;

impl Aead for Node {
    fn seal(&self, key: &Key, nonce: u64, in_out: &mut [u8]) -> Tag {
        let mut tag = [0; TAG_LEN];
        node::seal(key, &nonce_bytes(nonce), in_out, &mut tag);
        tag
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        if node::open(key, &nonce_bytes(nonce), in_out, tag) { Ok(()) } else { Err(Forged) }
    }
}

impl Sha256 for Node {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        node::sha256(data, &mut digest);
        digest
    }
}

/// Noise writes the counter in little-endian order behind four zero bytes.
fn nonce_bytes(nonce: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    bytes
}
