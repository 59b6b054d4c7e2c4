//! CARs out: a CARv1 section by section, and a CARv2 around it.

use std::io::{self, Read, Write};

use cid::Cid;

use crate::{Error, SectionOffset, header, varint};

/// Writes a CARv1. The sink should be buffered: a section is two writes.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    /// Where the next section begins.
    at: u64,
    head: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the header. The specification asks for at least one root; none is common and accepted.
    ///
    /// # Errors
    ///
    /// The sink fails.
    pub fn new(mut sink: W, roots: &[Cid]) -> Result<Self, Error> {
        let header = header::encode_v1(roots)?;
        sink.write_all(&header)?;
        Ok(Self { sink, at: header.len() as u64, head: Vec::new() })
    }

    /// Writes one section and says where it begins. `data` is not checked against `cid`, and a block written
    /// twice is there twice.
    ///
    /// # Errors
    ///
    /// The sink fails.
    pub fn write(&mut self, cid: &Cid, data: &[u8]) -> Result<SectionOffset, Error> {
        self.head.clear();
        varint::write((cid.encoded_len() + data.len()) as u64, &mut self.head);
        cid.write_bytes(&mut self.head).map_err(io::Error::other)?;
        self.sink.write_all(&self.head)?;
        self.sink.write_all(data)?;
        let offset = SectionOffset(self.at);
        self.at += (self.head.len() + data.len()) as u64;
        Ok(offset)
    }

    /// Bytes written so far, the header included.
    pub fn written(&self) -> u64 {
        self.at
    }

    /// Flushes, and gives the sink back.
    ///
    /// # Errors
    ///
    /// The sink fails.
    pub fn finish(mut self) -> Result<W, Error> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

/// Writes a CARv2 around the CARv1 of `payload_len` bytes that `payload` gives, followed by `index`, if there
/// is one: the bytes of an index of any codec over the payload's sections. Says how long the file is.
///
/// The characteristics do not claim that the index is full, since ours leave identity CIDs out.
///
/// # Errors
///
/// Source or sink fails, or the payload is shorter than `payload_len`.
pub fn wrap(payload: impl Read, payload_len: u64, index: Option<&[u8]>, mut sink: impl Write) -> Result<u64, Error> {
    let prefix = header::encode_v2(payload_len, index.is_some());
    sink.write_all(&prefix)?;
    let copied = io::copy(&mut payload.take(payload_len), &mut sink)?;
    if copied < payload_len {
        return Err(Error::Truncated { at: copied, what: "payload", end: payload_len });
    }
    let index = index.unwrap_or_default();
    sink.write_all(index)?;
    sink.flush()?;
    Ok(prefix.len() as u64 + payload_len + index.len() as u64)
}
