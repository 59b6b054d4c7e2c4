//! A block against its CID.

use cid::Cid;

use crate::{Sha256, Software, multihash_with};

/// The shortest digest that is taken for a check, in bytes; identity alone may be shorter. It is the limit of the
/// IPFS implementations (boxo's `verifcid`): less would be found by trying.
pub const MIN_DIGEST_LEN: usize = 20;

/// Why a block was not found to match its CID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes are not the ones that the CID names.
    #[error("the bytes do not match the CID")]
    Mismatch,
    /// The hash function is not known here.
    #[error("hash function 0x{0:x} is not supported")]
    UnsupportedHash(u64),
    /// The digest is so short that a match would prove nothing.
    #[error("a digest of {len} bytes proves nothing: {MIN_DIGEST_LEN} is the least")]
    DigestTooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// The digest is longer than the function gives.
    #[error("hash function 0x{code:x} gives no digest of {len} bytes")]
    DigestTooLong {
        /// The multihash code of the function.
        code: u64,
        /// The length asked for, in bytes.
        len: usize,
    },
}

/// Checks `data` against the multihash of `cid`; the codec plays no part.
///
/// Digests may be truncated, as the multihash specification allows, down to [`MIN_DIGEST_LEN`] bytes.
///
/// # Errors
///
/// The bytes do not match, or it cannot be told: the hash function is unknown or the digest too short or too long.
pub fn verify(cid: &Cid, data: &[u8]) -> Result<(), VerifyError> {
    verify_with(&Software, cid, data)
}

/// [`verify`] with a host's own SHA2-256.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_with(sha256: &dyn Sha256, cid: &Cid, data: &[u8]) -> Result<(), VerifyError> {
    let expected = cid.hash();
    let len = expected.digest().len();
    if len < MIN_DIGEST_LEN && expected.code() != 0 {
        return Err(VerifyError::DigestTooShort { len });
    }
    let computed = multihash_with(sha256, expected.code(), len, data)?;
    match computed.digest() == expected.digest() {
        true => Ok(()),
        false => Err(VerifyError::Mismatch),
    }
}
