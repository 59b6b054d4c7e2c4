//! As much of CARv1 as a test peer needs: whole files, in memory, of our own making.
//!
//! It shares no code with Hoverboard's CAR reader on purpose: a mistake there must not be able to hide here.

use std::{
    fs::{self, File},
    io::{BufWriter, Cursor, Read, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use cid::Cid;

/// dag-cbor of `{roots: [], version: 1}`: what the harness compares is the blocks.
const HEADER: &[u8] = b"\xa2eroots\x80gversion\x01";

pub fn write(path: &Path, blocks: &[(Cid, Vec<u8>)]) -> Result<()> {
    let mut out = BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?);
    let mut buffer = unsigned_varint::encode::usize_buffer();
    out.write_all(unsigned_varint::encode::usize(HEADER.len(), &mut buffer))?;
    out.write_all(HEADER)?;
    for (cid, data) in blocks {
        let cid = cid.to_bytes();
        out.write_all(unsigned_varint::encode::usize(cid.len() + data.len(), &mut buffer))?;
        out.write_all(&cid)?;
        out.write_all(data)?;
    }
    out.flush()?;
    Ok(())
}

pub fn read(path: &Path) -> Result<Vec<(Cid, Vec<u8>)>> {
    let file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (_header, mut rest) = section(&file)?;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let (body, after) = section(rest)?;
        let mut body = Cursor::new(body);
        let cid = Cid::read_bytes(&mut body)?;
        let mut data = Vec::new();
        body.read_to_end(&mut data)?;
        blocks.push((cid, data));
        rest = after;
    }
    Ok(blocks)
}

fn section(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = unsigned_varint::decode::usize(bytes)?;
    ensure!(length <= rest.len(), "a section of {length} bytes where {} are left", rest.len());
    Ok(rest.split_at(length))
}
