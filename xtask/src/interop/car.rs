//! CARs as the harness reads, writes and compares them.
//!
//! It shares no code with Hoverboard's CAR crate on purpose: a mistake there must not be able to hide here. Files are
//! read whole, and are of our own making or checked into the repository.

use std::{collections::HashMap, fs, io::Cursor, ops::Range, path::Path};

use anyhow::{Context, Result, bail, ensure};
use cid::Cid;

/// The first bytes of a CARv2.
const V2_PRAGMA: &[u8] = b"\x0a\xa1gversion\x02";
/// How many differences an error names.
const SHOWN: usize = 5;

/// A CAR in memory.
#[derive(Debug)]
pub(crate) struct Car {
    file: Vec<u8>,
    blocks: HashMap<Cid, Range<usize>>,
}

impl Car {
    /// Reads a CARv1 or CARv2 whole.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(file).with_context(|| format!("{} is not a whole CAR", path.display()))
    }

    /// Reads the blocks of a CARv1 that come before its first fault.
    pub(crate) fn read_whole_part(path: &Path) -> Result<Self> {
        let file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut car = Self { file, blocks: HashMap::new() };
        let (_header, at) = section(&car.file, 0)?;
        ensure!(car.parse_sections(at..car.file.len()).is_err(), "{} is whole", path.display());
        Ok(car)
    }

    fn parse(file: Vec<u8>) -> Result<Self> {
        let payload = if file.starts_with(V2_PRAGMA) { v2_payload(&file)? } else { 0..file.len() };
        let (_header, at) = section(&file[..payload.end], payload.start)?;
        let mut car = Self { file, blocks: HashMap::new() };
        car.parse_sections(at..payload.end)?;
        Ok(car)
    }

    fn parse_sections(&mut self, payload: Range<usize>) -> Result<()> {
        let mut at = payload.start;
        while at < payload.end {
            let (body, next) = section(&self.file[..payload.end], at)?;
            let mut reader = Cursor::new(&self.file[body.clone()]);
            let cid = Cid::read_bytes(&mut reader)?;
            let data = body.start + usize::try_from(reader.position())?;
            self.blocks.insert(cid, data..body.end);
            at = next;
        }
        Ok(())
    }

    /// The CIDs of the blocks, each once, in no order.
    pub(crate) fn cids(&self) -> impl Iterator<Item = &Cid> {
        self.blocks.keys()
    }

    /// The CIDs of the blocks, in the file's order.
    pub(crate) fn cids_in_order(&self) -> Vec<&Cid> {
        let mut cids: Vec<_> = self.cids().collect();
        cids.sort_by_key(|cid| self.blocks[*cid].start);
        cids
    }

    /// The bytes of a block.
    pub(crate) fn block(&self, cid: &Cid) -> Option<&[u8]> {
        self.blocks.get(cid).map(|range| &self.file[range.clone()])
    }

    /// The bytes of all blocks together.
    pub(crate) fn block_bytes(&self) -> u64 {
        self.blocks.values().map(|range| range.len() as u64).sum()
    }

    /// Fails, and says how, unless the other has the same CIDs with the same bytes.
    pub(crate) fn expect_same_blocks(&self, other: &Self) -> Result<()> {
        let missing = self.cids().filter(|cid| other.block(cid).is_none());
        let extra = other.cids().filter(|cid| self.block(cid).is_none());
        let wrong = self.cids().filter(|cid| other.block(cid).is_some_and(|bytes| Some(bytes) != self.block(cid)));
        for (what, cids) in [
            ("missing", missing.collect::<Vec<_>>()),
            ("not asked for", extra.collect()),
            ("of other bytes", wrong.collect()),
        ] {
            if !cids.is_empty() {
                let shown: Vec<_> = cids.iter().take(SHOWN).map(ToString::to_string).collect();
                bail!("{} of {} blocks {what}: {}", cids.len(), self.blocks.len(), shown.join(", "));
            }
        }
        Ok(())
    }
}

/// Where the payload of a CARv2 is, by its header.
fn v2_payload(file: &[u8]) -> Result<Range<usize>> {
    let number = |at: usize| -> Result<usize> {
        let bytes = file.get(at..at + 8).context("the CARv2 header is cut short")?;
        Ok(usize::try_from(u64::from_le_bytes(bytes.try_into()?))?)
    };
    let start = number(V2_PRAGMA.len() + 16)?;
    let end = start.checked_add(number(V2_PRAGMA.len() + 24)?);
    let end = end.filter(|end| *end <= file.len()).context("the payload is past the end")?;
    Ok(start..end)
}

/// The body of the length-prefixed piece at an offset, and the offset after it.
fn section(file: &[u8], at: usize) -> Result<(Range<usize>, usize)> {
    let rest = file.get(at..).context("an offset is past the end")?;
    let (length, after) = unsigned_varint::decode::usize(rest)?;
    let start = file.len() - after.len();
    ensure!(length > 0 && length <= after.len(), "a bad section length at {at}");
    Ok((start..start + length, start + length))
}

/// Writes a CARv1 of blocks, the first of which is its root.
pub(crate) fn write(path: &Path, blocks: &[(Cid, Vec<u8>)]) -> Result<()> {
    let (root, _) = blocks.first().context("a CAR of no blocks has no root")?;
    // dag-cbor of {"roots": [root], "version": 1}.
    let mut header = b"\xa2eroots\x81".to_vec();
    header.extend(super::cbor::link(root));
    header.extend(b"gversion\x01");
    let mut file = Vec::new();
    let mut put = |parts: &[&[u8]]| {
        let mut buffer = unsigned_varint::encode::usize_buffer();
        let length = parts.iter().map(|part| part.len()).sum();
        file.extend(unsigned_varint::encode::usize(length, &mut buffer));
        parts.iter().for_each(|part| file.extend(*part));
    };
    put(&[&header]);
    for (cid, data) in blocks {
        put(&[&cid.to_bytes(), data]);
    }
    fs::write(path, file).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::cbor;

    fn car(values: &[u8]) -> Car {
        let blocks = values.iter().map(|value| cbor::block(vec![*value]));
        let mut car = Car { file: Vec::new(), blocks: HashMap::new() };
        for (cid, data) in blocks {
            let start = car.file.len();
            car.file.extend(data);
            car.blocks.insert(cid, start..car.file.len());
        }
        car
    }

    #[test]
    fn a_missing_an_extra_and_a_changed_block_each_differ() {
        let whole = car(&[1, 2, 3]);
        assert!(whole.expect_same_blocks(&car(&[3, 2, 1])).is_ok());
        assert!(whole.expect_same_blocks(&car(&[1, 2])).is_err());
        assert!(whole.expect_same_blocks(&car(&[1, 2, 3, 4])).is_err());
        let mut changed = car(&[1, 2, 3]);
        changed.file[1] ^= 1;
        assert!(whole.expect_same_blocks(&changed).is_err());
    }

    #[test]
    fn a_cut_section_is_an_error() {
        let (cid, data) = cbor::block(vec![1]);
        let mut file = vec![11];
        file.extend(b"\xa1gversion\x01 ");
        file.push(u8::try_from(cid.to_bytes().len() + data.len() + 1).unwrap());
        file.extend(cid.to_bytes());
        file.extend(data);
        assert!(Car::parse(file).is_err());
    }
}
