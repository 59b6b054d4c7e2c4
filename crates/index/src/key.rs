//! The secret under which multihashes become fingerprints.
//!
//! Fingerprints choose pages. Whoever could compute them could make digests that all fall into one page, so they are
//! SipHash-2-4 under a key that is made with the bucket's index, never changes, and never leaves it.

use std::fmt;
use std::hash::Hasher as _;

use multihash::Multihash;
use siphasher::sip128::{Hash128, Hasher128 as _, SipHasher24};
use unsigned_varint::encode;

/// What goes before a CAR's multihash where the CAR itself is looked up, and not a block.
///
/// No multihash begins so: its first varint, the code, is in shortest form, and this is an overlong zero.
const CAR_DOMAIN: [u8; 2] = [0x80, 0x00];
/// What goes before an ETag: likewise, and different from the other.
const ETAG_DOMAIN: [u8; 2] = [0x81, 0x00];
/// The head of the multihash of a CAR: sha2-256, 32 bytes.
const SHA2_256: [u8; 2] = [0x12, 0x20];
/// Bytes that are hashed in one piece, which takes half as long as in three: every multihash with a digest of 64 bytes.
const AT_ONCE: usize = 80;

/// The key of a bucket's index: 16 secret bytes, from a good source of randomness.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Key {
    /// A key of these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the manifest alone.
    pub(crate) const fn bytes(&self) -> [u8; 16] {
        self.0
    }

    /// The fingerprint of a block: of its multihash, so that it is the same under every codec and version of CID.
    pub fn fingerprint<const S: usize>(&self, multihash: &Multihash<S>) -> Fingerprint {
        let (mut code, mut size) = (encode::u64_buffer(), encode::u8_buffer());
        let code = encode::u64(multihash.code(), &mut code);
        let size = encode::u8(multihash.size(), &mut size);
        Fingerprint::of(self.hash([code, size, multihash.digest()]))
    }

    /// The fingerprint under which a CAR itself is found, by the sha2-256 of its bytes. It is another than that of a
    /// block with the same multihash.
    pub fn car_fingerprint(&self, digest: &[u8; 32]) -> Fingerprint {
        Fingerprint::of(self.hash([&CAR_DOMAIN, &SHA2_256, digest]))
    }

    /// What is kept of an object's ETag: enough to see that it is another. Never zero, which stands for unknown.
    pub fn etag_hash(&self, etag: &str) -> u64 {
        self.hash([&ETAG_DOMAIN, etag.as_bytes(), &[]]).h1.max(1)
    }

    fn hash(&self, parts: [&[u8]; 3]) -> Hash128 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        let mut whole = [0; AT_ONCE];
        let mut len = 0;
        for part in parts {
            let Some(room) = whole.get_mut(len..len + part.len()) else {
                parts.iter().for_each(|part| hasher.write(part));
                return hasher.finish128();
            };
            room.copy_from_slice(part);
            len += part.len();
        }
        hasher.hash(&whole[..len])
    }
}

impl fmt::Debug for Key {
    /// Says that there is a key, and not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// 128 bits that stand for a multihash under a [`Key`].
///
/// The high half chooses shard and page, the low half the overflow page. They are the first and the second eight
/// bytes of SipHash's output, each read as a little-endian number. Two multihashes that a bucket really holds never
/// share one: among 10^12 blocks the chance is 10^-15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint with these bytes, as they lie in a page: high half first, both big-endian.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The bytes as they lie in a page. Their order is that of fingerprints.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The half that chooses shard and page.
    pub const fn high(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The half that chooses the overflow page.
    pub const fn low(self) -> u64 {
        self.0 as u64
    }

    fn of(hash: Hash128) -> Self {
        Self((u128::from(hash.h1) << 64) | u128::from(hash.h2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

    #[test]
    fn a_block_is_not_a_car_nor_another_hash_of_its_digest() {
        let digest = [7; 32];
        let sha256 = KEY.fingerprint(&Multihash::<64>::wrap(0x12, &digest).unwrap());
        let blake3 = KEY.fingerprint(&Multihash::<64>::wrap(0x1e, &digest).unwrap());
        assert_ne!(sha256, blake3);
        assert_ne!(sha256, KEY.car_fingerprint(&digest));
        assert_ne!(sha256, Key::new([0; 16]).fingerprint(&Multihash::<64>::wrap(0x12, &digest).unwrap()));
    }

    /// The second of the reference vectors of SipHash-2-4-128: key 00…0f, message 00.
    #[test]
    fn the_halves_are_the_reference_output_in_its_order() {
        let output: [u8; 16] = 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45_u128.to_be_bytes();
        let (first, second) = output.split_at(8);
        let number = |half: &[u8]| u64::from_le_bytes(half.try_into().unwrap());
        let fingerprint = Fingerprint::of(KEY.hash([&[0x00], &[], &[]]));
        assert_eq!((fingerprint.high(), fingerprint.low()), (number(first), number(second)));
    }

    #[test]
    fn long_and_short_are_hashed_alike() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 256] {
            for cut in [0, len / 2, len] {
                let (first, second) = bytes[..len].split_at(cut);
                let expected = SipHasher24::new_with_key(&KEY.0).hash(&bytes[..len]);
                assert_eq!(KEY.hash([first, &[], second]), expected, "{len} bytes cut at {cut}");
            }
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{KEY:?}"), "Key(…)");
    }
}
