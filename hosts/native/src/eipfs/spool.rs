//! Rows brought together by their CAR, on disk: an export has them in the order of a hash of their block.
//!
//! Each row goes into one of some files, by its CAR. A file is then read back in pieces that fit in memory, each with all
//! the rows of its CARs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use hoverboard_car::BlockOffset;
use hoverboard_store::CarCid;
use multihash::Multihash;

use super::BlockRow;

/// Files that rows are spread over.
const FILES: usize = 256;
/// What is held in memory of each while it is written.
const BUFFER: usize = 32 << 10;
/// Bytes of a row: the CAR's digest, the offset, the length, and the multihash behind its own length.
const HEAD: usize = 32 + 8 + 4 + 1;
/// The longest multihash, in bytes.
const MAX_MULTIHASH: usize = 2 * 10 + 64;

/// A block of a CAR.
pub type Block = (Multihash<64>, BlockOffset, u32);

/// Rows on disk, in the folder for temporary files; they go with this.
#[derive(Debug)]
pub struct Spool {
    files: Vec<BufWriter<File>>,
    rows: u64,
}

impl Spool {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let file = |_| Ok(BufWriter::with_capacity(BUFFER, tempfile::tempfile()?));
        Ok(Self { files: (0..FILES).map(file).collect::<io::Result<_>>()?, rows: 0 })
    }

    /// Adds a row of this CAR.
    pub fn push(&mut self, car: &CarCid, row: &BlockRow) -> io::Result<()> {
        let multihash = row.block.to_bytes();
        // Digests are evenly spread as they are.
        let file = &mut self.files[usize::from(car.digest()[0]) % FILES];
        file.write_all(car.digest())?;
        file.write_all(&row.offset.0.to_le_bytes())?;
        file.write_all(&row.length.to_le_bytes())?;
        file.write_all(&[multihash.len() as u8])?;
        file.write_all(&multihash)?;
        self.rows += 1;
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Reads everything back: CARs with all their rows, in pieces of at most `most` rows, or of one CAR that has more.
    pub fn read(self, most: u64, mut piece: impl FnMut(Cars) -> io::Result<()>) -> io::Result<()> {
        for file in self.files {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            let mut counts: HashMap<CarCid, u64> = HashMap::new();
            each(&mut file, |car, _| *counts.entry(car).or_default() += 1)?;
            let mut counts: Vec<(CarCid, u64)> = counts.into_iter().collect();
            counts.sort_unstable();
            let mut rest = &counts[..];
            while !rest.is_empty() {
                let mut rows = 0;
                let fits = |(_, count): &&(CarCid, u64)| {
                    rows += count;
                    rows <= most
                };
                let (some, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
                rest = others;
                let mut cars: HashMap<CarCid, Vec<Block>> = some.iter().map(|(car, _)| (*car, Vec::new())).collect();
                each(&mut file, |car, block| {
                    if let Some(blocks) = cars.get_mut(&car) {
                        blocks.push(block);
                    }
                })?;
                piece(sorted(cars))?;
            }
        }
        Ok(())
    }
}

/// CARs with their blocks in the order of their offsets.
pub type Cars = Vec<(CarCid, Vec<Block>)>;

fn sorted(cars: HashMap<CarCid, Vec<Block>>) -> Cars {
    let mut cars: Cars = cars.into_iter().collect();
    cars.sort_unstable_by_key(|(car, _)| *car);
    for (_, blocks) in &mut cars {
        blocks.sort_unstable_by_key(|(multihash, offset, length)| (*offset, *length, *multihash));
        // A CAR that was indexed under two paths has every row twice.
        blocks.dedup();
    }
    cars
}

fn each(file: &mut File, mut row: impl FnMut(CarCid, Block)) -> io::Result<()> {
    file.rewind()?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut head = [0; HEAD];
    let mut multihash = [0; MAX_MULTIHASH];
    loop {
        match file.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a temporary file is not what was written");
        let (Some((digest, rest)), [.., len]) = (head.split_first_chunk::<32>(), head) else { return Err(damaged()) };
        let (Some((offset, rest)), multihash) = (rest.split_first_chunk::<8>(), multihash.get_mut(..usize::from(len)))
        else {
            return Err(damaged());
        };
        let (Some((length, _)), Some(multihash)) = (rest.split_first_chunk::<4>(), multihash) else {
            return Err(damaged());
        };
        file.read_exact(multihash)?;
        let multihash = Multihash::from_bytes(multihash).map_err(|_| damaged())?;
        let block = (multihash, BlockOffset(u64::from_le_bytes(*offset)), u32::from_le_bytes(*length));
        row(CarCid::of_digest(*digest), block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cars_come_back_whole_and_sorted_in_pieces_that_fit() {
        let mut spool = Spool::new().expect("made");
        let cars: Vec<CarCid> = (0..20).map(|car| CarCid::of_digest([car * 3; 32])).collect();
        let block = |number: u64| Multihash::wrap(0x12, &[number as u8; 32]).expect("short");
        for number in (0..100).rev().chain(0..100) {
            let row = BlockRow { block: block(number), car: None, offset: BlockOffset(number), length: 1 };
            spool.push(&cars[number as usize % 20], &row).expect("written");
        }
        assert_eq!(spool.rows(), 200);
        let mut seen = Vec::new();
        spool
            .read(25, |cars| {
                assert!(cars.len() == 1 || cars.iter().map(|(_, blocks)| 2 * blocks.len()).sum::<usize>() <= 25);
                seen.extend(cars);
                Ok(())
            })
            .expect("read");
        seen.sort();
        let expected = (0..20).map(|car| {
            let blocks = (0..5).map(|at| car + 20 * at).map(|number| (block(number), BlockOffset(number), 1));
            (cars[car as usize], blocks.collect::<Vec<_>>())
        });
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }
}
