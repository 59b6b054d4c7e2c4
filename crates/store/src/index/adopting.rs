//! CARs whose blocks another index names, taken over from it: no CAR is read.
//!
//! A CAR that is in the index counts as indexed whole: of a block that is in no run it is said that it is missing. So one
//! is only adopted if what is said of it leaves no room for a block that nobody named, from its header to its end.

use hoverboard_car::BlockOffset;
use hoverboard_index::Extent;
use multihash::Multihash;

use super::gather::Gathering;
use super::known::{Known, Standing};
use super::{Index, IndexError, Progress};
use crate::CarCid;

/// The longest codec of a CID, as a varint. Codes of the multicodec table have three bytes at most.
const MAX_CODEC_LEN: u64 = 4;
/// How often the batch is looked at whether it is a run's worth.
const SPILL_EVERY: usize = 1 << 16;

/// A CAR as another index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The CAR.
    pub car: CarCid,
    /// Its length in bytes when it was indexed.
    pub size: u64,
    /// Where its first section begins: the length of its header.
    pub first_section: u64,
    /// Its blocks and where the bytes of each lie, in the order of their offsets.
    pub blocks: Vec<(Multihash<64>, BlockOffset, u32)>,
}

/// What became of a CAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Adopted {
    /// It was added.
    Added,
    /// It was in the index.
    Indexed,
    /// It is not in the bucket.
    Absent,
    /// What is in the bucket under its name has another length.
    Other,
    /// What is said of it leaves room for blocks that are not named.
    Gaps,
}

impl Foreign {
    /// Whether the blocks cover the CAR: between two of them, before the first and behind the last is room for the heads
    /// of their sections and for no other section.
    pub fn is_covered(&self) -> bool {
        let mut at = self.first_section;
        for (multihash, offset, length) in &self.blocks {
            let head = offset.0.checked_sub(at);
            if !head.is_some_and(|head| is_head(head, multihash, u64::from(*length))) {
                return false;
            }
            at = offset.0.saturating_add(u64::from(*length));
        }
        at == self.size
    }
}

/// Whether so many bytes are the length varint and the CID of one section with this block.
fn is_head(len: u64, multihash: &Multihash<64>, block: u64) -> bool {
    let bare = multihash.encoded_len() as u64;
    let version_0 = (multihash.code() == 0x12 && multihash.size() == 32).then_some(bare);
    let version_1 = (1..=MAX_CODEC_LEN).map(|codec| 1 + codec + bare);
    version_0.into_iter().chain(version_1).any(|cid| varint_len(cid + block) + cid == len)
}

fn varint_len(value: u64) -> u64 {
    u64::from(64 - value.leading_zeros()).div_ceil(7).max(1)
}

/// The taking over of another index.
pub struct Adopting {
    index: Index,
    known: Known,
    run_entries: usize,
}

impl Adopting {
    /// Begins, and makes an index if there is none. Every `run_entries` entries become a run.
    ///
    /// # Errors
    ///
    /// The store fails, or the index is damaged.
    pub async fn begin(index: Index, run_entries: usize) -> Result<Self, IndexError> {
        let manifest = match index.newest().await? {
            Some(manifest) => manifest,
            None => index.begin(!index.has_cars().await?).await?,
        };
        let mut known = Known::new();
        known.read(&index, &manifest).await?;
        Ok(Self { index, known, run_entries })
    }

    /// Adds those of these CARs that are in the bucket, are not indexed, and are [covered](Foreign::is_covered), in one
    /// change, and says what became of each. One request a CAR finds out what is in the bucket.
    ///
    /// # Errors
    ///
    /// The store fails, or others always came first. None of them is added then.
    pub async fn add(&mut self, cars: &[Foreign], progress: &dyn Progress) -> Result<Vec<Adopted>, IndexError> {
        let Self { index, known, run_entries } = self;
        let manifest = index.newest().await?.ok_or(IndexError::NoIndex)?;
        known.read(index, &manifest).await?;
        let mut gathering = Gathering::new(index, manifest.key(), *run_entries);
        let mut became = Vec::with_capacity(cars.len());
        for foreign in cars {
            index.check_stopped()?;
            became.push(adopt(index, known, manifest.key(), foreign, &mut gathering).await?);
            if became.last() == Some(&Adopted::Added) {
                progress.indexed(&foreign.car, foreign.size, foreign.blocks.len() as u64);
            }
        }
        if let Some(manifest) = gathering.commit(known.upto).await? {
            progress.committed(manifest.generation());
            known.read(index, &manifest).await?;
        }
        Ok(became)
    }
}

async fn adopt(
    index: &Index,
    known: &mut Known,
    key: &hoverboard_index::Key,
    foreign: &Foreign,
    into: &mut Gathering<'_>,
) -> Result<Adopted, IndexError> {
    if !known.ordinals(&foreign.car).is_empty() {
        return Ok(Adopted::Indexed);
    }
    if !foreign.is_covered() {
        return Ok(Adopted::Gaps);
    }
    let Some(listed) = index.find_car(&foreign.car).await? else { return Ok(Adopted::Absent) };
    if listed.size != foreign.size {
        return Ok(Adopted::Other);
    }
    let replaces = match known.list(&listed, listed.record(key)) {
        Standing::Indexed => return Ok(Adopted::Indexed),
        Standing::New => Vec::new(),
        Standing::Replaced(ordinals) => ordinals,
    };
    let wrong = |error: &dyn ToString| IndexError::wrong(&crate::layout::car(&foreign.car), error.to_string());
    into.begin(&listed, &replaces).map_err(|error| wrong(&error))?;
    for (number, (multihash, offset, length)) in foreign.blocks.iter().enumerate() {
        if number % SPILL_EVERY == 0 {
            into.spill().await?;
        }
        let extent = Extent::Bytes { offset: *offset, length: *length };
        into.push(multihash, extent).map_err(|error| wrong(&error))?;
    }
    Ok(Adopted::Added)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multihash(seed: u8) -> Multihash<64> {
        Multihash::wrap(0x12, &[seed; 32]).unwrap()
    }

    /// Blocks behind a header of 59 bytes, each with a head of as many bytes as is said.
    fn foreign(blocks: &[(u64, u32)], behind: u64) -> Foreign {
        let mut at = 59;
        let blocks = (0..).zip(blocks).map(|(seed, (head, length))| {
            let offset = BlockOffset(at + head);
            at = offset.0 + u64::from(*length);
            (multihash(seed), offset, *length)
        });
        let blocks = blocks.collect();
        Foreign { car: CarCid::of_digest([1; 32]), size: at + behind, first_section: 59, blocks }
    }

    #[test]
    fn a_car_without_gaps_is_covered_whatever_its_cids() {
        // The worked CAR, and CIDs of version 0, of a codec of two bytes, and with a length varint of two.
        for blocks in [&[(37, 5)][..], &[(35, 5)], &[(38, 5)], &[(38, 100)], &[(37, 0), (37, 91), (38, 92)], &[]] {
            assert!(foreign(blocks, 0).is_covered(), "{blocks:?}");
        }
    }

    #[test]
    fn room_for_a_section_that_nobody_named_is_a_gap() {
        for blocks in [&[(36, 5)][..], &[(37 + 42, 5)], &[(37, 92)], &[(37, 5), (37 + 37, 5)], &[(0, 5)]] {
            assert!(!foreign(blocks, 0).is_covered(), "{blocks:?}");
        }
        assert!(!foreign(&[(37, 5)], 1).is_covered());
        let mut other = foreign(&[(37, 5), (37, 5)], 0);
        other.blocks.swap(0, 1);
        assert!(!other.is_covered());
        other.blocks.pop();
        assert!(!other.is_covered());
    }
}
