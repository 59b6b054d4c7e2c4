//! The way from the first byte of a file to its first section, for whoever has bytes at a position.
//!
//! A CARv1 has one step, a CARv2 three: pragma, fixed fields, and the header of the payload, which may lie further on.
//! [`Decoder`](crate::Decoder) and [`Scanner`](crate::Scanner) both go this way.

use crate::header::{self, First, PRAGMA, Version};
use crate::{Error, Header, Options, SectionOffset, V2_PREFIX_LEN};

/// Where the reading of the headers has got to.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// What the envelope says, once the next thing to read is the payload's own header.
    envelope: Option<Version>,
}

/// What came of the bytes.
#[derive(Debug)]
pub(crate) enum Opened {
    /// At least this many bytes are needed at the same place.
    Need(usize),
    /// Go on at this byte of the file.
    Continue(u64),
    /// The headers are read; the first section begins at this byte of the file.
    Done(Header, u64),
}

impl Opening {
    /// Reads on from `bytes`, which lie at byte `at` of the file: zero, or what [`Opened::Continue`] said.
    pub(crate) fn read(&mut self, bytes: &[u8], at: u64, options: &Options) -> Result<Opened, Error> {
        match self.envelope {
            None => self.outer(bytes, options),
            Some(version) => inner(version, bytes, at, options),
        }
    }

    fn outer(&mut self, bytes: &[u8], options: &Options) -> Result<Opened, Error> {
        let (roots, len) = match header::read_first(bytes, 0, options)? {
            Ok(First::V1 { roots, len }) => (roots, len),
            Ok(First::Pragma) => return self.envelope(bytes),
            Err(needed) => return Ok(Opened::Need(needed)),
        };
        let first_section = SectionOffset(len);
        Ok(Opened::Done(Header { version: Version::V1, roots, first_section }, len))
    }

    fn envelope(&mut self, bytes: &[u8]) -> Result<Opened, Error> {
        let Some(fields) = bytes[PRAGMA.len()..].first_chunk::<40>() else {
            return Ok(Opened::Need(V2_PREFIX_LEN as usize));
        };
        let (version, payload_start) = header::read_v2(fields)?;
        self.envelope = Some(version);
        Ok(Opened::Continue(payload_start))
    }
}

/// Reads the payload's own header, which must be that of a CARv1 and must fit in the payload.
fn inner(version: Version, bytes: &[u8], at: u64, options: &Options) -> Result<Opened, Error> {
    let (roots, len) = match header::read_first(bytes, at, options)? {
        Ok(First::V1 { roots, len }) => (roots, len),
        Ok(First::Pragma) => {
            let reason = "a CARv2 inside a CARv2".to_owned();
            return Err(Error::Header { at, reason });
        }
        Err(needed) => return Ok(Opened::Need(needed)),
    };
    let header = Header { version, roots, first_section: SectionOffset(len) };
    let first = at.saturating_add(len);
    match header.payload_end() {
        Some(end) if first > end => {
            Err(Error::Header { at, reason: format!("it ends at byte {first}, past the end of the payload at {end}") })
        }
        _ => Ok(Opened::Done(header, first)),
    }
}
