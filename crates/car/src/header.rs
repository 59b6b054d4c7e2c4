//! The front of a CAR: CARv1's dag-cbor header, CARv2's pragma and fixed fields, and where the payload lies.

use std::ops::Range;

use cid::Cid;
use serde::{Deserialize, Serialize};

use crate::{Error, Options, SectionOffset, varint};

/// The eleven bytes that every CARv2 begins with: a CARv1 header that says version 2.
pub(crate) const PRAGMA: [u8; 11] = *b"\x0a\xa1gversion\x02";

/// Bytes of pragma and fixed header, the least that lies before a CARv2's payload.
pub const V2_PREFIX_LEN: u64 = 51;

/// The bit of the characteristics that says that the index has every section, identity CIDs included.
const FULLY_INDEXED: u8 = 0x80;

/// Which kind of CAR it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The sections begin right after the header and go on to the end of the file.
    V1,
    /// A CARv1 inside an envelope that says where it lies and may have an index.
    V2 {
        /// The payload's place in the file.
        payload: PayloadRange,
        /// Where the index begins in the file, if there is one.
        index: Option<u64>,
        /// Whether the writer says that the index has every section, identity CIDs included.
        fully_indexed: bool,
    },
}

/// A CARv2's claim about its payload: `start ≥` [`V2_PREFIX_LEN`] and `start + len` does not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadRange {
    start: u64,
    len: u64,
}

/// A CAR's header: what it is, its roots, and where its sections lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// CARv1 or CARv2, with what the latter says of its payload and index.
    pub version: Version,
    /// The roots, in the order of the file. May be empty.
    pub roots: Vec<Cid>,
    /// Where the first section lies.
    pub first_section: SectionOffset,
}

impl Header {
    /// The file's byte at which the CARv1 payload begins, which every offset counts from: zero for a CARv1.
    pub fn payload_start(&self) -> u64 {
        match self.version {
            Version::V1 => 0,
            Version::V2 { payload, .. } => payload.start,
        }
    }

    /// The file's byte at which the payload ends, if the header says so: a CARv1 goes on to the end of the file.
    pub fn payload_end(&self) -> Option<u64> {
        match self.version {
            Version::V1 => None,
            Version::V2 { payload, .. } => Some(payload.start + payload.len),
        }
    }

    /// The payload's place in a file of `file_len` bytes.
    ///
    /// # Errors
    ///
    /// A CARv2 whose payload reaches past the end of the file.
    pub fn payload_in(&self, file_len: u64) -> Result<Range<u64>, Error> {
        let start = self.payload_start();
        let end = self.payload_end().unwrap_or(file_len);
        if end > file_len {
            return Err(Error::Truncated { at: start, what: "payload", end });
        }
        Ok(start..end)
    }

    /// Where the index begins in the file, if there is one. It goes on to the end of the file.
    pub fn index_start(&self) -> Option<u64> {
        match self.version {
            Version::V1 => None,
            Version::V2 { index, .. } => index,
        }
    }
}

/// The dag-cbor map of a CARv1 header, and of the pragma.
#[derive(Serialize, Deserialize)]
struct Map {
    #[serde(default)]
    roots: Option<Vec<Cid>>,
    version: u64,
}

/// What the first header of a file turned out to be.
pub(crate) enum First {
    /// A CARv1 header of this many bytes, varint included.
    V1 { roots: Vec<Cid>, len: u64 },
    /// The pragma of a CARv2: eleven bytes, and forty more to read.
    Pragma,
}

/// Reads the length-prefixed header at the front of `bytes`, which lie at byte `at` of the file. `Err(n)`
/// inside `Ok`: at least `n` bytes are needed.
pub(crate) fn read_first(bytes: &[u8], at: u64, options: &Options) -> Result<Result<First, usize>, Error> {
    let (len, varint_len) = match varint::read(bytes) {
        varint::Varint::Value(len, varint_len) => (len, varint_len),
        varint::Varint::Incomplete => return Ok(Err(bytes.len() + 1)),
        varint::Varint::Invalid => return Err(Error::Varint { at }),
    };
    let max = options.max_header;
    if len == 0 {
        return Err(bad(at, "it is empty"));
    }
    let end = match usize::try_from(len) {
        Ok(len_here) if len <= max => varint_len + len_here,
        _ => return Err(Error::HeaderTooLong { at, len, max }),
    };
    let Some(cbor) = bytes.get(varint_len..end) else {
        return Ok(Err(end));
    };

    let map: Map = serde_ipld_dagcbor::from_slice(cbor).map_err(|error| bad(at, error))?;
    match map {
        Map { version: 1, roots: Some(roots) } => Ok(Ok(First::V1 { roots, len: end as u64 })),
        Map { version: 1, roots: None } => Err(bad(at, "it has no list of roots")),
        Map { version: 2, .. } if bytes.starts_with(&PRAGMA) => Ok(Ok(First::Pragma)),
        Map { version: 2, .. } => Err(bad(at, "it says version 2 but is not the pragma of a CARv2")),
        Map { version, .. } => Err(Error::UnsupportedVersion { at, version }),
    }
}

/// Reads the forty bytes after the pragma, and says where the payload begins.
pub(crate) fn read_v2(fields: &[u8; 40]) -> Result<(Version, u64), Error> {
    const AT: u64 = PRAGMA.len() as u64;
    let number = |from: usize| {
        let mut le = [0; 8];
        le.copy_from_slice(&fields[from..from + 8]);
        u64::from_le_bytes(le)
    };
    let (start, len, index) = (number(16), number(24), number(32));

    if start < V2_PREFIX_LEN {
        return Err(bad(AT, format!("its payload begins at byte {start}, inside the header")));
    }
    let Some(end) = start.checked_add(len) else {
        return Err(bad(AT, format!("its payload of {len} bytes at byte {start} has no end")));
    };
    if index != 0 && index < end {
        return Err(bad(AT, format!("its index begins at byte {index}, before the payload ends at {end}")));
    }
    let version = Version::V2 {
        payload: PayloadRange { start, len },
        index: (index != 0).then_some(index),
        fully_indexed: fields[0] & FULLY_INDEXED != 0,
    };
    Ok((version, start))
}

/// A CARv1 header with its length varint.
pub(crate) fn encode_v1(roots: &[Cid]) -> Result<Vec<u8>, Error> {
    let map = Map { roots: Some(roots.to_vec()), version: 1 };
    let cbor = serde_ipld_dagcbor::to_vec(&map).map_err(|error| bad(0, error))?;
    let mut out = Vec::with_capacity(varint::MAX_LEN + cbor.len());
    varint::write(cbor.len() as u64, &mut out);
    out.extend_from_slice(&cbor);
    Ok(out)
}

/// Pragma and fixed header of a CARv2 whose payload follows at once, and then the index, if there is one.
pub(crate) fn encode_v2(payload_len: u64, indexed: bool) -> [u8; V2_PREFIX_LEN as usize] {
    let index = if indexed { V2_PREFIX_LEN + payload_len } else { 0 };
    let mut out = [0; V2_PREFIX_LEN as usize];
    out[..11].copy_from_slice(&PRAGMA);
    out[27..35].copy_from_slice(&V2_PREFIX_LEN.to_le_bytes());
    out[35..43].copy_from_slice(&payload_len.to_le_bytes());
    out[43..51].copy_from_slice(&index.to_le_bytes());
    out
}

fn bad(at: u64, reason: impl ToString) -> Error {
    Error::Header { at, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(start: u64, len: u64, index: u64) -> Result<(Version, u64), Error> {
        let mut fields = [0; 40];
        fields[16..24].copy_from_slice(&start.to_le_bytes());
        fields[24..32].copy_from_slice(&len.to_le_bytes());
        fields[32..40].copy_from_slice(&index.to_le_bytes());
        read_v2(&fields)
    }

    #[test]
    fn what_is_written_for_a_carv2_is_what_is_read() {
        let bytes = encode_v2(100, true);
        let (version, start) = read_v2(bytes[11..].try_into().unwrap()).unwrap();
        assert_eq!(start, 51);
        let payload = PayloadRange { start: 51, len: 100 };
        assert_eq!(version, Version::V2 { payload, index: Some(151), fully_indexed: false });
    }

    #[test]
    fn a_carv2_whose_parts_overlap_is_refused() {
        assert!(v2(50, 1, 0).is_err());
        assert!(v2(51, u64::MAX, 0).is_err());
        assert!(v2(51, 100, 150).is_err());
        assert!(v2(51, 100, 151).is_ok());
        assert!(v2(51, 100, 0).is_ok());
    }

    #[test]
    fn a_header_with_its_keys_out_of_order_is_read() {
        let bytes = b"\x11\xa2gversion\x01eroots\x80";
        let first = read_first(bytes, 0, &Options::default()).unwrap();
        assert!(matches!(first, Ok(First::V1 { roots, len: 18 }) if roots.is_empty()));
    }

    #[test]
    fn a_header_longer_than_the_bound_is_refused_before_it_is_there() {
        let mut bytes = Vec::new();
        varint::write((1 << 20) + 1, &mut bytes);
        let refused = read_first(&bytes, 0, &Options::default());
        assert!(matches!(refused, Err(Error::HeaderTooLong { len: 0x10_0001, .. })));
    }
}
