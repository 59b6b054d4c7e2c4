//! Sections that cannot be read, and how far it is to the one behind.
//!
//! A length that fits in what is left of the file may be believed although what it encloses is not. Whether it was
//! right shows in what follows: another section, or the end. That judgement is the caller's.

use cid::Cid;

use crate::section::{self, DigestFit};
use crate::varint::{self, Varint};
use crate::{Error, SectionOffset};

/// A section that was passed over: see [`Scanner::skip_section`](crate::Scanner::skip_section).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where its length varint begins.
    pub offset: SectionOffset,
    /// Bytes of the whole section, the length varint included.
    pub section_len: u64,
    /// What is known of the block in it.
    pub block: SkippedBlock,
}

/// What is known of a block in a section that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkippedBlock {
    /// The section is too long, and that is all: this is the block's CID.
    Named(Cid),
    /// Its CID is well formed, with a digest of over 64 bytes, which no [`Cid`] holds.
    LongDigest,
    /// There is no CID to be read.
    Nameless,
    /// There is none: these are sections of length zero, one behind the other. A run of them may come in pieces.
    Zeros,
}

impl Skipped {
    /// The section at the front of `bytes`, of which `error` was said. `None`: where it ends is not known either.
    pub(crate) fn parse(bytes: &[u8], offset: SectionOffset, error: &Error) -> Option<Self> {
        match error {
            Error::ZeroLength { .. } => {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                Some(Self { offset, section_len: zeros as u64, block: SkippedBlock::Zeros })
            }
            Error::SectionTooLong { .. } | Error::Cid { .. } | Error::CidPastSection { .. } => {
                let Varint::Value(len, varint_len) = varint::read(bytes) else { return None };
                let body = &bytes[varint_len..];
                let body = usize::try_from(len).map_or(body, |len| &body[..len.min(body.len())]);
                let block = match section::read_cid(body) {
                    Ok((cid, _)) => SkippedBlock::Named(cid),
                    Err(_) => match section::digest_fit(body) {
                        DigestFit::TooLong { cid_len } if cid_len <= len => SkippedBlock::LongDigest,
                        _ => SkippedBlock::Nameless,
                    },
                };
                Some(Self { offset, section_len: len.saturating_add(varint_len as u64), block })
            }
            _ => None,
        }
    }
}
