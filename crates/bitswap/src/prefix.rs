//! The prefix of a CID: all of it but the digest, which is how versions 1.1.0 and 1.2.0 name the
//! blocks they carry. It does no hashing: it says which hash to compute.

use cid::{Cid, Version};
use multihash::Multihash;
use unsigned_varint::{decode, encode};

use crate::Error;

/// What a CID is made of, without the digest.
///
/// To name a received block, hash its bytes with `hash_code`, keep `digest_len` bytes of the
/// digest, and give the multihash to [`cid`](Self::cid).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The version of the CID.
    pub version: Version,
    /// The multicodec of the block's content.
    pub codec: u64,
    /// The multicodec of the hash function.
    pub hash_code: u64,
    /// The length of the digest, in bytes, as the peer claims it: no memory is to be sized by it.
    pub digest_len: u64,
}

const DAG_PB: u64 = 0x70;
const SHA2_256: u64 = 0x12;

impl Prefix {
    /// The most bytes that [`encode`](Self::encode) writes: four varints.
    pub(crate) const MAX_LEN: usize = 40;

    /// The prefix of `cid`.
    pub fn of(cid: &Cid) -> Self {
        Self {
            version: cid.version(),
            codec: cid.codec(),
            hash_code: cid.hash().code(),
            digest_len: u64::from(cid.hash().size()),
        }
    }

    /// The CID with this prefix and that multihash, or `None` if it is not a multihash of this
    /// prefix's function and length, or the prefix is of a CIDv0 that cannot be.
    pub fn cid(&self, multihash: Multihash<64>) -> Option<Cid> {
        let fits = multihash.code() == self.hash_code && u64::from(multihash.size()) == self.digest_len;
        fits.then(|| Cid::new(self.version, self.codec, multihash).ok()).flatten()
    }

    /// Reads version, codec, hash code and digest length, each a varint. A CIDv0 has version 0,
    /// codec dag-pb and sha2-256 here; beetswap writes the two bytes `12 20` that begin a CIDv0,
    /// and is understood. Bytes after the prefix are ignored, as boxo does.
    ///
    /// # Errors
    /// [`Error::Prefix`] if it is cut off, malformed, or of an unknown version.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let varint = |bytes| decode::u64(bytes).map_err(|_| Error::Prefix);
        let (version, rest) = varint(bytes)?;
        let (codec, rest) = varint(rest)?;
        if (version, codec) == (SHA2_256, 32) {
            return Ok(Self { version: Version::V0, codec: DAG_PB, hash_code: SHA2_256, digest_len: 32 });
        }
        let (hash_code, rest) = varint(rest)?;
        let (digest_len, _) = varint(rest)?;
        let version = Version::try_from(version).map_err(|_| Error::Prefix)?;
        Ok(Self { version, codec, hash_code, digest_len })
    }

    /// Writes the prefix as [`decode`](Self::decode) reads it, and returns how many bytes of
    /// `out` it took.
    pub(crate) fn encode(&self, out: &mut [u8; Self::MAX_LEN]) -> usize {
        let mut len = 0;
        for value in [self.version.into(), self.codec, self.hash_code, self.digest_len] {
            let mut buffer = encode::u64_buffer();
            let varint = encode::u64(value, &mut buffer);
            out[len..len + varint.len()].copy_from_slice(varint);
            len += varint.len();
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(prefix: &Prefix) -> Vec<u8> {
        let mut out = [0; Prefix::MAX_LEN];
        let len = prefix.encode(&mut out);
        out[..len].to_vec()
    }

    #[test]
    fn a_cid_v0_has_the_four_varints_that_boxo_writes() {
        let cid: Cid = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n".parse().unwrap();
        let prefix = Prefix::of(&cid);
        assert_eq!(encoded(&prefix), [0x00, 0x70, 0x12, 0x20]);
        assert_eq!(Prefix::decode(&encoded(&prefix)), Ok(prefix));
        assert_eq!(prefix.cid(*cid.hash()), Some(cid));
    }

    #[test]
    fn the_two_byte_cid_v0_prefix_is_understood() {
        let written_out = Prefix::decode(&[0x00, 0x70, 0x12, 0x20]);
        assert_eq!(Prefix::decode(&[0x12, 0x20]), written_out);
    }

    #[test]
    fn long_codes_round_trip() {
        let prefix = Prefix { version: Version::V1, codec: u64::MAX >> 1, hash_code: 0xb220, digest_len: 32 };
        assert_eq!(Prefix::decode(&encoded(&prefix)), Ok(prefix));
    }

    #[test]
    fn a_multihash_of_another_function_or_length_makes_no_cid() {
        let prefix = Prefix::decode(&[1, 0x55, 0x12, 0x20]).unwrap();
        let other = |code, len| Multihash::wrap(code, &[7; 64][..len]).unwrap();
        assert!(prefix.cid(other(0x12, 32)).is_some());
        assert_eq!(prefix.cid(other(0x13, 32)), None);
        assert_eq!(prefix.cid(other(0x12, 20)), None);
    }

    #[test]
    fn a_broken_prefix_is_an_error() {
        let cases: [&[u8]; 4] = [&[], &[1, 0x55, 0x12], &[2, 0x55, 0x12, 0x20], &[0x80; 40]];
        for bytes in cases {
            assert_eq!(Prefix::decode(bytes), Err(Error::Prefix), "{bytes:?}");
        }
    }
}
