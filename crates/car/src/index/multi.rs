//! MultiIndex (`0x0402`): the indexes of several CARs in one file, which web3.storage calls blockly.
//!
//! The codec's varint, a varint count, and for each CAR, sorted by digest, its multihash and a whole index
//! with a codec of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use multihash::Multihash;

use super::{IndexError, Input, MULTI_INDEX, SortedIndex};
use crate::{SectionOffset, varint};

/// The most CARs read: a block and its links lie in few, and each costs memory when the index is opened.
const MAX_CARS: u64 = 1 << 16;

/// Indexes by CAR. Cloning shares the bytes of the indexes.
#[derive(Clone, Debug)]
pub struct MultiIndex {
    cars: Vec<(Multihash<64>, SortedIndex)>,
}

impl MultiIndex {
    /// Opens the index that `bytes` are, codec at the front. Bytes behind it are an error.
    ///
    /// # Errors
    ///
    /// Another codec, counts that the bytes do not bear out, over 65,536 CARs, or an index inside that is a
    /// MultiIndex again.
    pub fn open(bytes: Bytes) -> Result<Self, IndexError> {
        let mut input = Input::new(bytes);
        let index = Self::read(&mut input)?;
        input.end()?;
        Ok(index)
    }

    pub(super) fn read(input: &mut Input) -> Result<Self, IndexError> {
        let at = input.at;
        match input.varint("codec")? {
            MULTI_INDEX => {}
            codec => return Err(IndexError::Codec { at, codec }),
        }
        let at = input.at;
        let count = input.varint("count of CARs")?;
        if count > MAX_CARS {
            return Err(IndexError::TooManyTables { at, max: MAX_CARS as usize });
        }
        let mut cars = Vec::new();
        for _ in 0..count {
            cars.push((read_multihash(input)?, SortedIndex::read(input)?));
        }
        Ok(Self { cars })
    }

    /// The CARs' multihashes with their indexes, in the order of the file.
    pub fn cars(&self) -> &[(Multihash<64>, SortedIndex)] {
        &self.cars
    }

    /// The CARs in which this multihash lies, and where.
    pub fn lookup<'a>(
        &'a self,
        multihash: &'a Multihash<64>,
    ) -> impl Iterator<Item = (&'a Multihash<64>, SectionOffset)> {
        self.cars.iter().flat_map(move |(car, index)| index.lookup(multihash).map(move |offset| (car, offset)))
    }

    /// Reads every record to see that CARs and records are sorted.
    ///
    /// # Errors
    ///
    /// [`IndexError::Unsorted`] with the number of the first CAR, or record within its CAR, that is not.
    pub fn check(&self) -> Result<(), IndexError> {
        for (entry, pair) in self.cars.windows(2).enumerate() {
            if pair[1].0.digest() < pair[0].0.digest() {
                return Err(IndexError::Unsorted { entry: entry as u64 + 1 });
            }
        }
        self.cars.iter().try_for_each(|(_, index)| index.check())
    }
}

/// Writes a MultiIndex. CARs are sorted by digest; the one added last wins where two are the same.
#[derive(Clone, Debug, Default)]
pub struct MultiIndexBuilder {
    /// By digest, then by the whole multihash.
    cars: BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>>,
}

impl MultiIndexBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the index of a CAR: the bytes of an IndexSorted or a MultihashIndexSorted.
    ///
    /// # Errors
    ///
    /// The bytes are no such index.
    pub fn push(&mut self, car: &Multihash<64>, index: Bytes) -> Result<(), IndexError> {
        SortedIndex::open(index.clone())?;
        self.cars.insert((car.digest().to_vec(), car.to_bytes()), index.into());
        Ok(())
    }

    /// The index, codec at the front.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::write(MULTI_INDEX, &mut out);
        varint::write(self.cars.len() as u64, &mut out);
        for ((_, multihash), index) in self.cars {
            out.extend_from_slice(&multihash);
            out.extend_from_slice(&index);
        }
        out
    }
}

fn read_multihash(input: &mut Input) -> Result<Multihash<64>, IndexError> {
    let at = input.at;
    let code = input.varint("multihash code")?;
    let len = input.varint("digest length")?;
    if len > 64 {
        return Err(IndexError::Multihash { at });
    }
    let digest = input.take(len, "digest")?;
    Multihash::wrap(code, &digest).map_err(|_| IndexError::Multihash { at })
}
