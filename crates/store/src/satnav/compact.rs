//! A large index boiled down to what finds a block: the first bytes of each digest, and where its section begins.
//!
//! Nine bytes a record instead of forty. It is made from one pass over the index, when so many blocks of a CAR are
//! looked up that pages would be read over and over. What it finds is probable, what it does not find is not there as
//! far as that pass was without fault: certainty is the pages'.

use multihash::Multihash;

use super::MAX_PLACES;
use super::directory::Table;

/// Bytes that a record comes to.
const RECORD: u64 = 9;
/// Bytes of a digest that are kept.
const KEPT: usize = 5;

#[derive(Debug)]
pub(crate) struct Compact(Vec<Keys>);

/// One table's records, in order.
#[derive(Debug)]
struct Keys {
    table: Table,
    high: Vec<u32>,
    low: Vec<u8>,
    offsets: Vec<u32>,
}

impl Compact {
    /// What the tables will take in memory, in bytes. `None`: they cannot be boiled down.
    pub(super) fn cost(tables: &[Table]) -> Option<usize> {
        let records = tables.iter().try_fold(0u64, |sum, table| {
            let digest = (table.width as usize).checked_sub(8)?;
            (digest >= KEPT).then(|| sum.checked_add(table.records))?
        });
        usize::try_from(records?.checked_mul(RECORD)?).ok()
    }

    /// The offsets of a block, at most [`MAX_PLACES`]; or of others whose digests begin alike.
    pub(super) fn locate(&self, multihash: &Multihash<64>) -> Vec<u64> {
        let digest = multihash.digest();
        let mut found = Vec::new();
        for keys in self.0.iter().filter(|keys| keys.table.may_have(multihash)) {
            let (high, low) = key(digest);
            let first = keys.high.partition_point(|other| *other < high);
            let alike = (first..keys.high.len()).take_while(|place| keys.high[*place] == high);
            let offsets = alike.filter(|place| keys.low[*place] == low).map(|place| u64::from(keys.offsets[place]));
            found.extend(offsets.take(MAX_PLACES));
        }
        found.truncate(MAX_PLACES);
        found
    }
}

/// Reads an index from its first byte to its last.
#[derive(Debug)]
pub(super) struct Builder {
    done: Vec<Keys>,
    /// The tables to come, the next one last.
    tables: Vec<Keys>,
    at: u64,
    /// The beginning of a record that the last chunk broke off.
    partial: Vec<u8>,
}

impl Builder {
    /// Of these tables, which were found to be as large as they say.
    pub(super) fn new(tables: &[Table]) -> Self {
        let keys = |table: &Table| {
            let records = table.records as usize;
            Keys {
                table: *table,
                high: Vec::with_capacity(records),
                low: Vec::with_capacity(records),
                offsets: Vec::with_capacity(records),
            }
        };
        Self { done: Vec::new(), tables: tables.iter().rev().map(keys).collect(), at: 0, partial: Vec::new() }
    }

    /// The next bytes.
    ///
    /// # Errors
    ///
    /// The records are not sorted, or an offset is beyond what is kept of one.
    pub(super) fn push(&mut self, mut chunk: &[u8]) -> Result<(), &'static str> {
        while let Some(keys) = self.tables.last_mut() {
            let end = keys.table.start + keys.table.records * keys.table.width;
            if self.at >= end {
                self.done.extend(self.tables.pop());
                continue;
            }
            if chunk.is_empty() {
                break;
            }
            let step = if self.at < keys.table.start { keys.table.start } else { end } - self.at;
            let (now, rest) = chunk.split_at(step.min(chunk.len() as u64) as usize);
            if self.at >= keys.table.start {
                keys.push(now, &mut self.partial)?;
            }
            self.at += now.len() as u64;
            chunk = rest;
        }
        Ok(())
    }

    /// `None`: not all tables came.
    pub(super) fn finish(self) -> Option<Compact> {
        self.tables.is_empty().then_some(Compact(self.done))
    }
}

impl Keys {
    fn push(&mut self, mut bytes: &[u8], partial: &mut Vec<u8>) -> Result<(), &'static str> {
        let width = self.table.width as usize;
        if !partial.is_empty() {
            let (now, rest) = bytes.split_at((width - partial.len()).min(bytes.len()));
            partial.extend_from_slice(now);
            bytes = rest;
            if partial.len() < width {
                return Ok(());
            }
            self.add(partial)?;
            partial.clear();
        }
        let mut records = bytes.chunks_exact(width);
        records.try_for_each(|record| self.add(record))?;
        partial.extend_from_slice(records.remainder());
        Ok(())
    }

    fn add(&mut self, record: &[u8]) -> Result<(), &'static str> {
        let (digest, offset) = record.split_at(record.len() - 8);
        let (high, low) = key(digest);
        if let (Some(before), Some(before_low)) = (self.high.last(), self.low.last())
            && (*before, *before_low) > (high, low)
        {
            return Err("its records are not sorted");
        }
        let offset = offset.first_chunk().map_or(0, |le| u64::from_le_bytes(*le));
        self.offsets.push(u32::try_from(offset).map_err(|_| "its CAR is longer than 4 GiB")?);
        self.high.push(high);
        self.low.push(low);
        Ok(())
    }
}

/// The first bytes of a digest, which sort as it does.
fn key(digest: &[u8]) -> (u32, u8) {
    let high = digest.first_chunk().map_or(0, |be| u32::from_be_bytes(*be));
    (high, digest.get(KEPT - 1).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use hoverboard_car::SectionOffset;
    use hoverboard_car::index::{Codec, IndexBuilder};
    use proptest::prelude::*;

    use super::super::directory::Directory;
    use super::*;

    fn multihash(number: u32, len: usize) -> Multihash<64> {
        let digest: Vec<u8> = number.wrapping_mul(0x9e37_79b9).to_be_bytes().into_iter().cycle().take(len).collect();
        Multihash::wrap(0x12, &digest).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_block_of_every_table_is_found_however_the_index_is_split(
            count in 1u32..300, splits in prop::collection::vec(1usize..500, 1..20),
        ) {
            let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
            for number in 0..count {
                builder.push(&multihash(number, if number % 3 == 0 { 20 } else { 32 }), SectionOffset(number.into()));
            }
            let bytes = builder.finish();
            let mut directory = Directory::new(bytes.len() as u64);
            while let Some((at, len)) = directory.needs() {
                directory.take(&bytes[at as usize..at as usize + len]).unwrap();
            }
            prop_assert_eq!(Compact::cost(&directory.tables), Some(9 * count as usize));
            let mut builder = Builder::new(&directory.tables);
            let mut rest = &bytes[..];
            for split in splits.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*split));
                builder.push(now).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            builder.push(&[]).unwrap();
            let compact = builder.finish().unwrap();
            for number in 0..count {
                let found = compact.locate(&multihash(number, if number % 3 == 0 { 20 } else { 32 }));
                prop_assert_eq!(found, [u64::from(number)]);
            }
            prop_assert!(compact.locate(&multihash(count, 32)).is_empty());
        }
    }

    #[test]
    fn an_index_cut_short_or_unsorted_gives_none() {
        let table = Table { code: None, width: 40, start: 2, records: 2 };
        let record = |first: u8, offset: u64| [&[first; 32][..], &offset.to_le_bytes()].concat();
        let mut builder = Builder::new(&[table]);
        builder.push(&[&[0, 0][..], &record(1, 1)].concat()).unwrap();
        assert!(builder.finish().is_none());
        let mut builder = Builder::new(&[table]);
        assert!(builder.push(&[&[0, 0][..], &record(2, 1), &record(1, 2)].concat()).is_err());
        let mut builder = Builder::new(&[table]);
        assert!(builder.push(&[&[0, 0][..], &record(1, 1 << 32)].concat()).is_err());
    }
}
