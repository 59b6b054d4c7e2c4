//! The seal of a Noise transport frame: ChaCha20-Poly1305 under a 64-bit counter (RFC 8439, Noise
//! specification §12.2).
//!
//! It is a trait because the fastest code differs by host. Keys and counters are not kept here: they live in
//! the [transport](crate::transport), which is what freezes.

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, Key as CipherKey, KeyInit, Nonce, Tag as CipherTag};

/// A ChaCha20-Poly1305 key.
pub type Key = [u8; 32];

/// The authenticator that follows a sealed frame.
pub type Tag = [u8; TAG_LEN];

/// Bytes that a seal adds.
pub const TAG_LEN: usize = 16;

/// The bytes do not carry the seal they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame's authenticator does not match")]
pub struct Forged;

/// ChaCha20-Poly1305 without associated data, as Noise uses it for transport messages.
///
/// An implementation must give the same bytes as every other: frames sealed by one are opened by another.
pub trait Aead: Send + Sync {
    /// Encrypts `in_out` in place and returns its tag. The caller never repeats a nonce under a key.
    fn seal(&self, key: &Key, nonce: u64, in_out: &mut [u8]) -> Tag;

    /// Checks `tag` and decrypts `in_out` in place. The bytes are worth nothing after an error.
    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged>;
}

/// Noise writes the counter in little-endian order behind four zero bytes.
fn nonce_bytes(nonce: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    bytes
}

/// Portable code, for every target.
#[derive(Debug, Clone, Copy, Default)]
pub struct Portable;

impl Aead for Portable {
    fn seal(&self, key: &Key, nonce: u64, in_out: &mut [u8]) -> Tag {
        let nonce = Nonce::from(nonce_bytes(nonce));
        let cipher = ChaCha20Poly1305::new(CipherKey::from_slice(key));
        // The only failure is a message over 256 GiB; a frame has two bytes of length.
        let tag = cipher.encrypt_in_place_detached(&nonce, &[], in_out).unwrap_or_default();
        tag.into()
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        let nonce = Nonce::from(nonce_bytes(nonce));
        let cipher = ChaCha20Poly1305::new(CipherKey::from_slice(key));
        let tag = CipherTag::from(*tag);
        cipher.decrypt_in_place_detached(&nonce, &[], in_out, &tag).map_err(|_| Forged)
    }
}

/// ring's assembly, for native hosts.
#[cfg(feature = "ring")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Ring;

#[cfg(feature = "ring")]
impl Ring {
    fn key(key: &Key) -> ring::aead::LessSafeKey {
        let unbound = ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, key)
            .expect("a key of 32 bytes is the algorithm's own length");
        ring::aead::LessSafeKey::new(unbound)
    }
}

#[cfg(feature = "ring")]
impl Aead for Ring {
    fn seal(&self, key: &Key, nonce: u64, in_out: &mut [u8]) -> Tag {
        let nonce = ring::aead::Nonce::assume_unique_for_key(nonce_bytes(nonce));
        let tag = Self::key(key)
            .seal_in_place_separate_tag(nonce, ring::aead::Aad::empty(), in_out)
            .expect("a frame is far below the algorithm's limit of 256 GiB");
        let mut bytes = [0; TAG_LEN];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        let nonce = ring::aead::Nonce::assume_unique_for_key(nonce_bytes(nonce));
        let tag = ring::aead::Tag::from(*tag);
        Self::key(key)
            .open_in_place_separate_tag(nonce, ring::aead::Aad::empty(), tag, in_out, 0..)
            .map_err(|_| Forged)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_forged() {
        let key = [7; 32];
        let mut text = *b"a frame of a session";
        let tag = Portable.seal(&key, 3, &mut text);
        text[4] ^= 1;
        assert_eq!(Portable.open(&key, 3, &mut text, &tag), Err(Forged));
    }

    #[test]
    fn another_nonce_is_forged() {
        let key = [7; 32];
        let mut text = *b"a frame of a session";
        let tag = Portable.seal(&key, 3, &mut text);
        assert_eq!(Portable.open(&key, 4, &mut text, &tag), Err(Forged));
    }

    #[cfg(feature = "ring")]
    #[test]
    fn ring_and_the_portable_code_agree() {
        for len in [0, 1, 15, 16, 17, 255, 4096, 65519] {
            let plain: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let (mut a, mut b) = (plain.clone(), plain.clone());
            let tag = Portable.seal(&[9; 32], len as u64, &mut a);
            assert_eq!(tag, Ring.seal(&[9; 32], len as u64, &mut b));
            assert_eq!(a, b);
            Ring.open(&[9; 32], len as u64, &mut a, &tag).expect("sealed by the other");
            assert_eq!(a, plain);
        }
    }
}
