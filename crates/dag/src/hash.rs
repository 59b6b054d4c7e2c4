//! The hash functions of the multihash table that a maintained crate offers.
//!
//! Each uses the processor's instructions where its crate knows them (SHA for sha1 and sha2, AVX for the
//! Blakes), found out when the program runs. SHA2-256 is nearly all there is in practice, so that one, and no
//! other, can be replaced by a host's own: see [`Sha256`].

use cid::multihash::Multihash;
use sha2::Digest as _;
use sha3::digest::{ExtendableOutput, XofReader};

use crate::VerifyError;

/// The longest digest that [`Multihash<64>`] holds, in bytes.
const MAX_DIGEST_LEN: usize = 64;

/// SHA2-256, the one hash that a host may have a faster one of.
pub trait Sha256 {
    /// The digest of `data`.
    fn sha256(&self, data: &[u8]) -> [u8; 32];
}

/// SHA2-256 of the `sha2` crate, which uses the processor's SHA instructions where there are any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Software;

impl Sha256 for Software {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(data).into()
    }
}

/// Hashes `data` with the function `code` and keeps the first `digest_len` bytes of the digest.
///
/// Any length up to the function's own is given, as the multihash specification allows; the functions without
/// a length of their own (shake-128, shake-256, blake3) give up to 64 bytes. The identity "digest" is the
/// data, and `digest_len` must be its length.
///
/// # Errors
///
/// A function that is not known here, or a digest longer than the function gives.
pub fn multihash(code: u64, digest_len: usize, data: &[u8]) -> Result<Multihash<64>, VerifyError> {
    multihash_with(&Software, code, digest_len, data)
}

/// [`multihash`] with a host's own SHA2-256.
///
/// # Errors
///
/// As [`multihash`].
pub fn multihash_with(
    sha256: &dyn Sha256,
    code: u64,
    digest_len: usize,
    data: &[u8],
) -> Result<Multihash<64>, VerifyError> {
    if digest_len > MAX_DIGEST_LEN {
        return Err(VerifyError::DigestTooLong { code, len: digest_len });
    }
    match code {
        0x00 => keep(code, digest_len, data),
        0x11 => keep(code, digest_len, &sha1::Sha1::digest(data)),
        0x12 => keep(code, digest_len, &sha256.sha256(data)),
        0x13 => keep(code, digest_len, &sha2::Sha512::digest(data)),
        0x14 => keep(code, digest_len, &sha3::Sha3_512::digest(data)),
        0x15 => keep(code, digest_len, &sha3::Sha3_384::digest(data)),
        0x16 => keep(code, digest_len, &sha3::Sha3_256::digest(data)),
        0x17 => keep(code, digest_len, &sha3::Sha3_224::digest(data)),
        0x18 => keep(code, digest_len, &extend(sha3::Shake128::default(), data)),
        0x19 => keep(code, digest_len, &extend(sha3::Shake256::default(), data)),
        0x1a => keep(code, digest_len, &sha3::Keccak224::digest(data)),
        0x1b => keep(code, digest_len, &sha3::Keccak256::digest(data)),
        0x1c => keep(code, digest_len, &sha3::Keccak384::digest(data)),
        0x1d => keep(code, digest_len, &sha3::Keccak512::digest(data)),
        0x1e => keep(code, digest_len, &blake3(data)),
        0x20 => keep(code, digest_len, &sha2::Sha384::digest(data)),
        0x56 => keep(code, digest_len, &sha256.sha256(&sha256.sha256(data))),
        0x1013 => keep(code, digest_len, &sha2::Sha224::digest(data)),
        0x1014 => keep(code, digest_len, &sha2::Sha512_224::digest(data)),
        0x1015 => keep(code, digest_len, &sha2::Sha512_256::digest(data)),
        // The digest's length is part of these functions: blake2b-8 to blake2b-512, blake2s-8 to blake2s-256.
        0xb201..=0xb240 => {
            let digest = blake2b_simd::Params::new().hash_length((code - 0xb200) as usize).hash(data);
            keep(code, digest_len, digest.as_bytes())
        }
        0xb241..=0xb260 => {
            let digest = blake2s_simd::Params::new().hash_length((code - 0xb240) as usize).hash(data);
            keep(code, digest_len, digest.as_bytes())
        }
        _ => Err(VerifyError::UnsupportedHash(code)),
    }
}

/// The multihash of the first `len` bytes of `digest`.
fn keep(code: u64, len: usize, digest: &[u8]) -> Result<Multihash<64>, VerifyError> {
    let too_long = VerifyError::DigestTooLong { code, len };
    let digest = match code {
        // Identity is the data whole, or it is something else.
        0x00 if digest.len() != len => return Err(VerifyError::Mismatch),
        _ => digest.get(..len).ok_or(too_long.clone())?,
    };
    Multihash::wrap(code, digest).map_err(|_| too_long)
}

fn extend(mut shake: impl ExtendableOutput, data: &[u8]) -> [u8; MAX_DIGEST_LEN] {
    let mut out = [0; MAX_DIGEST_LEN];
    shake.update(data);
    shake.finalize_xof().read(&mut out);
    out
}

fn blake3(data: &[u8]) -> [u8; MAX_DIGEST_LEN] {
    let mut out = [0; MAX_DIGEST_LEN];
    blake3::Hasher::new().update(data).finalize_xof().fill(&mut out);
    out
}
