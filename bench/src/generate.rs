//! CARs to serve: raw blocks of incompressible bytes, the same for the same numbers.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use cid::Cid;
use hoverboard_car::{Options, Reader, Writer};
use multihash::Multihash;
use sha2::{Digest as _, Sha256};

pub(crate) const RAW: u64 = 0x55;
pub(crate) const SHA2_256: u64 = 0x12;

/// Writes a CAR. Behind each block lies one of `filler` bytes, if that is not 0; the others are the same as without.
pub(crate) fn car(blocks: u64, size: usize, filler: usize, out: &Path) -> Result<()> {
    let file = File::create(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut wanted = Blocks::new(blocks ^ size as u64, size);
    let mut fillers = Blocks::new(!blocks, filler);
    let root = wanted.next()?;
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, file), &[root])?;
    writer.write(&root, &wanted.data)?;
    for n in 1..=blocks {
        if filler > 0 {
            let cid = fillers.next()?;
            writer.write(&cid, &fillers.data)?;
        }
        if n < blocks {
            let cid = wanted.next()?;
            writer.write(&cid, &wanted.data)?;
        }
    }
    writer.finish()?.flush()?;
    Ok(())
}

/// A sequence of random blocks of one size (xorshift).
struct Blocks {
    state: u64,
    data: Vec<u8>,
}

impl Blocks {
    fn new(seed: u64, size: usize) -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15 ^ seed, data: vec![0; size] }
    }

    /// Makes the next block in place, and returns its CID.
    fn next(&mut self) -> Result<Cid> {
        for chunk in self.data.chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            chunk.copy_from_slice(&self.state.to_le_bytes()[..chunk.len()]);
        }
        Ok(Cid::new_v1(RAW, Multihash::wrap(SHA2_256, &Sha256::digest(&self.data))?))
    }
}

/// The CIDs of a CAR, in its order.
pub(crate) fn cids(car: &Path) -> Result<Vec<Cid>> {
    let file = File::open(car).with_context(|| format!("cannot open {}", car.display()))?;
    let reader = Reader::new(BufReader::with_capacity(1 << 20, file), Options::default())?;
    reader.map(|section| Ok(*section?.cid())).collect()
}
