//! The head of one section: its length varint and its CID, read without the data that follows.

use std::io;

use cid::Cid;
use multihash::Multihash;

use crate::varint::{self, Varint};
use crate::{BlockOffset, Error, Options, SectionOffset};

/// The longest CID that is read, in bytes: four varints and a digest of 64 bytes, which is all that [`Cid`] holds.
pub const MAX_CID_LEN: usize = 4 * 10 + 64;

/// As many bytes as always hold a whole section head.
pub const MAX_HEAD_LEN: usize = varint::MAX_LEN + MAX_CID_LEN;

/// Where a section lies and what it holds, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionHead {
    /// Where the length varint begins.
    pub offset: SectionOffset,
    /// The block's CID.
    pub cid: Cid,
    /// The block's length in bytes.
    pub data_len: u64,
    /// Bytes of varint and CID; at most [`MAX_HEAD_LEN`].
    head_len: u8,
}

impl SectionHead {
    /// Parses the head of the section that lies at `offset` of a payload that begins at byte `payload_start`
    /// of the file, from the front of `bytes`. The data need not be there. `None`: the head is longer than
    /// `bytes`, which never happens with [`MAX_HEAD_LEN`] bytes or with the whole section.
    ///
    /// # Errors
    ///
    /// The length is no varint, zero or over [`Options::max_section`]; the CID cannot be read or is longer than the
    /// section. `ZeroLength` is an error here under every option: it is no section.
    pub fn parse(
        bytes: &[u8],
        offset: SectionOffset,
        payload_start: u64,
        options: &Options,
    ) -> Result<Option<Self>, Error> {
        let at = payload_start.saturating_add(offset.0);
        let (len, varint_len) = match varint::read(bytes) {
            Varint::Value(0, _) => return Err(Error::ZeroLength { at }),
            Varint::Value(len, varint_len) => (len, varint_len),
            Varint::Incomplete => return Ok(None),
            Varint::Invalid => return Err(Error::Varint { at }),
        };
        if len > options.max_section {
            let max = options.max_section;
            return Err(Error::SectionTooLong { at, len, max });
        }

        let body = &bytes[varint_len..];
        // A CID never reaches into the next section.
        let section = usize::try_from(len).map_or(body, |len| &body[..len.min(body.len())]);
        let whole = section.len() as u64 == len;
        match read_cid(section) {
            Ok((cid, cid_len)) => {
                Ok(Some(Self { offset, cid, data_len: len - cid_len as u64, head_len: (varint_len + cid_len) as u8 }))
            }
            Err(error) if !ran_out(&error, section) => Err(Error::Cid { at, source: error }),
            Err(_) if whole => Err(Error::CidPastSection { at, len }),
            Err(_) => Ok(None),
        }
    }

    /// Where the block's bytes begin.
    pub fn block_offset(&self) -> BlockOffset {
        BlockOffset(self.offset.0.saturating_add(self.head_len()))
    }

    /// Where the next section begins, if there is one.
    pub fn end(&self) -> SectionOffset {
        SectionOffset(self.offset.0.saturating_add(self.section_len()))
    }

    /// Bytes of length varint and CID.
    pub fn head_len(&self) -> u64 {
        u64::from(self.head_len)
    }

    /// Bytes of the whole section, the length varint included.
    pub fn section_len(&self) -> u64 {
        self.head_len() + self.data_len
    }
}

/// Reads a CID off the front, and says how many bytes it took.
pub(crate) fn read_cid(bytes: &[u8]) -> Result<(Cid, usize), cid::Error> {
    // Nearly every CID is this one, and a scan of a million sections is made of this function.
    if let [1, codec @ ..0x80, 0x12, 0x20, rest @ ..] = bytes
        && let Some(digest) = rest.first_chunk::<32>()
    {
        let multihash = Multihash::wrap(0x12, digest).map_err(|_| cid::Error::ParsingError)?;
        return Ok((Cid::new_v1(u64::from(*codec), multihash), 36));
    }
    let mut rest = bytes;
    let cid = Cid::read_bytes(&mut rest)?;
    Ok((cid, bytes.len() - rest.len()))
}

/// Whether a CID could not be read only because `bytes` end too early.
///
/// The CID parser reports a digest that is too long and one that is cut short alike, so the multihash's length is
/// looked at here.
fn ran_out(error: &cid::Error, bytes: &[u8]) -> bool {
    match error {
        cid::Error::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        cid::Error::ParsingError => digest_fit(bytes) == DigestFit::CutShort,
        _ => bytes.is_empty(),
    }
}

/// How the digest of a CIDv1 fits, in a [`Cid`] and in the bytes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigestFit {
    /// More bytes are needed
    CutShort,
    /// It is over 64 bytes long; the whole CID would take `cid_len`
    TooLong { cid_len: u64 },
    /// Anything else: the digest is there, or there is no CID
    Other,
}

/// Looks at the length of the multihash in a CIDv1 at the front of `bytes`.
pub(crate) fn digest_fit(bytes: &[u8]) -> DigestFit {
    let mut rest = bytes;
    // Version, codec, hash code, digest length: all there and plausible, or cut short among them.
    for field in 0..4 {
        match varint::read(rest) {
            Varint::Value(version, _) if field == 0 && version != 1 => return DigestFit::Other,
            Varint::Value(digest_len, used) => {
                rest = &rest[used..];
                let head_len = (bytes.len() - rest.len()) as u64;
                match digest_len {
                    _ if field < 3 => {}
                    65.. => return DigestFit::TooLong { cid_len: head_len.saturating_add(digest_len) },
                    _ if (rest.len() as u64) < digest_len => return DigestFit::CutShort,
                    _ => {}
                }
            }
            Varint::Incomplete => return DigestFit::CutShort,
            Varint::Invalid => return DigestFit::Other,
        }
    }
    DigestFit::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(cid: &Cid, data: &[u8]) -> Vec<u8> {
        let cid = cid.to_bytes();
        let mut out = Vec::new();
        varint::write((cid.len() + data.len()) as u64, &mut out);
        out.extend(&cid);
        out.extend(data);
        out
    }

    fn cids() -> Vec<Cid> {
        let sha = Multihash::wrap(0x12, &[7; 32]).unwrap();
        vec![
            Cid::new_v0(sha).unwrap(),
            Cid::new_v1(0x55, sha),
            Cid::new_v1(0x0129, sha),
            Cid::new_v1(0x71, Multihash::wrap(0xb240, &[9; 64]).unwrap()),
            Cid::new_v1(0x55, Multihash::wrap(0, b"").unwrap()),
        ]
    }

    #[test]
    fn every_prefix_is_incomplete_until_the_head_is_there() {
        for cid in cids() {
            let bytes = section(&cid, b"data");
            let head_len = bytes.len() - 4;
            for cut in 0..=bytes.len() {
                let head = SectionHead::parse(&bytes[..cut], SectionOffset(59), 51, &Options::default()).unwrap();
                assert_eq!(head.is_some(), cut >= head_len, "{cid} cut at {cut}");
                let Some(head) = head else { continue };
                assert_eq!((head.cid, head.data_len), (cid, 4));
                assert_eq!(head.block_offset(), BlockOffset(59 + head_len as u64));
                assert_eq!(head.end(), SectionOffset(59 + bytes.len() as u64));
            }
        }
    }

    #[test]
    fn a_section_that_ends_inside_its_cid_is_an_error_and_not_a_wish_for_more() {
        for cid in cids() {
            let cid = cid.to_bytes();
            for len in 1..cid.len() {
                let mut bytes = vec![len as u8];
                bytes.extend(&cid);
                let error = SectionHead::parse(&bytes, SectionOffset(0), 0, &Options::default()).unwrap_err();
                assert!(matches!(error, Error::CidPastSection { at: 0, .. }), "{error}");
            }
        }
    }

    #[test]
    fn a_cid_that_is_none_is_named_with_its_place() {
        let bad: &[&[u8]] = &[
            &[0x09, 2, 0x55, 0x12, 0x01, 0, 0, 0, 0, 0], // version 2
            &[0x09, 0, 0x55, 0x12, 0x01, 0, 0, 0, 0, 0], // version 0, said aloud
            &[0x7f, 1, 0x55, 0x12, 0x41, 0, 0, 0, 0, 0], // a digest of 65 bytes
            &[0x7f, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // a codec without end
        ];
        for bytes in bad {
            let error = SectionHead::parse(bytes, SectionOffset(9), 51, &Options::default()).unwrap_err();
            assert!(matches!(error, Error::Cid { at: 60, .. }), "{bytes:?}: {error}");
        }
    }
}
