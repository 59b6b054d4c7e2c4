//! CARs to serve: raw blocks of incompressible bytes, the same for the same numbers.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use cid::Cid;
use hoverboard_car::{Options, Reader, Writer};
use multihash::Multihash;
use sha2::{Digest as _, Sha256};

const RAW: u64 = 0x55;
const SHA2_256: u64 = 0x12;

pub(crate) fn car(blocks: u64, size: usize, out: &Path) -> Result<()> {
    let file = File::create(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut data = vec![0; size];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ blocks ^ size as u64;
    let mut block = |data: &mut [u8]| -> Result<Cid> {
        for chunk in data.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
        }
        Ok(Cid::new_v1(RAW, Multihash::wrap(SHA2_256, &Sha256::digest(&data))?))
    };
    let root = block(&mut data)?;
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, file), &[root])?;
    writer.write(&root, &data)?;
    for _ in 1..blocks {
        let cid = block(&mut data)?;
        writer.write(&cid, &data)?;
    }
    writer.finish()?.flush()?;
    Ok(())
}

/// The CIDs of a CAR, in its order.
pub(crate) fn cids(car: &Path) -> Result<Vec<Cid>> {
    let file = File::open(car).with_context(|| format!("cannot open {}", car.display()))?;
    let reader = Reader::new(BufReader::with_capacity(1 << 20, file), Options::default())?;
    reader.map(|section| Ok(*section?.cid())).collect()
}
