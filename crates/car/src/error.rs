//! What can be wrong with a CAR, and at which byte of the file.

use std::io;

use cid::Cid;

/// Why a block's bytes were refused, in the words of the function that checked them.
pub type VerifyFailure = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with a CAR. Every `at` counts bytes from the start of the file or stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input ended inside something.
    #[error("cut short at byte {at}: the {what} goes on to byte {end}")]
    Truncated {
        /// Where the thing that is cut begins.
        at: u64,
        /// What is cut: "header", "section"…
        what: &'static str,
        /// Where it would have ended, at the least.
        end: u64,
    },

    /// A length varint is over nine bytes long or not in its shortest form.
    #[error("bad length varint at byte {at}")]
    Varint {
        /// Where the varint begins.
        at: u64,
    },

    /// The CARv1 header is longer than [`Options::max_header`](crate::Options::max_header).
    #[error("the header at byte {at} claims {len} bytes, over the limit of {max}")]
    HeaderTooLong {
        /// Where the header's length varint begins.
        at: u64,
        /// The length claimed.
        len: u64,
        /// The limit in force.
        max: u64,
    },

    /// The header is no dag-cbor, or not the map that the specification asks for.
    #[error("bad header at byte {at}: {reason}")]
    Header {
        /// Where the header begins.
        at: u64,
        /// What is wrong with it.
        reason: String,
    },

    /// A CAR of a version that does not exist yet.
    #[error("CAR version {version} at byte {at} is not supported: 1 and 2 are")]
    UnsupportedVersion {
        /// Where the header begins.
        at: u64,
        /// The version claimed.
        version: u64,
    },

    /// A section of length zero, with [`ZeroLength::Refuse`](crate::ZeroLength::Refuse) in force.
    #[error("section of length zero at byte {at}")]
    ZeroLength {
        /// Where the section begins.
        at: u64,
    },

    /// A section is longer than [`Options::max_section`](crate::Options::max_section).
    #[error("the section at byte {at} claims {len} bytes, over the limit of {max}")]
    SectionTooLong {
        /// Where the section begins.
        at: u64,
        /// The length claimed, CID and data together.
        len: u64,
        /// The limit in force.
        max: u64,
    },

    /// A section reaches beyond the end of the payload.
    #[error("the section at byte {at} ends at byte {end}, past the end of the payload at {payload_end}")]
    SectionPastEnd {
        /// Where the section begins.
        at: u64,
        /// Where it would end.
        end: u64,
        /// Where the payload ends.
        payload_end: u64,
    },

    /// A section's CID cannot be read, or has a digest of more than 64 bytes.
    #[error("bad CID in the section at byte {at}: {source}")]
    Cid {
        /// Where the section begins.
        at: u64,
        /// What the CID's parser says.
        source: cid::Error,
    },

    /// A section ends before its CID does.
    #[error("the section at byte {at} is {len} bytes long, shorter than its CID")]
    CidPastSection {
        /// Where the section begins.
        at: u64,
        /// The section's length.
        len: u64,
    },

    /// The block's bytes are not what its CID says.
    #[error("the block {cid} of the section at byte {at} does not verify: {source}")]
    Verify {
        /// Where the section begins.
        at: u64,
        /// The CID it carries.
        cid: Box<Cid>,
        /// What the check said.
        source: VerifyFailure,
    },

    /// The caller's `Read` or `Write` failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// The byte of the file at which the thing that is wrong begins; `None` for a failure of I/O.
    pub fn at(&self) -> Option<u64> {
        match self {
            Self::Truncated { at, .. }
            | Self::Varint { at }
            | Self::HeaderTooLong { at, .. }
            | Self::Header { at, .. }
            | Self::UnsupportedVersion { at, .. }
            | Self::ZeroLength { at }
            | Self::SectionTooLong { at, .. }
            | Self::SectionPastEnd { at, .. }
            | Self::Cid { at, .. }
            | Self::CidPastSection { at, .. }
            | Self::Verify { at, .. } => Some(*at),
            Self::Io(_) => None,
        }
    }
}
