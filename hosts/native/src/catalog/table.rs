//! From a digest to the places that hold it: one hash table over all CARs.
//!
//! An entry is eight bytes, a car and a record number; the digest itself stays in that CAR's index, where a lookup
//! compares it. So a lookup is one probe and one comparison, and a miss is definite. The table is split into shards,
//! so that a writer holds the lock for one shard's entries at a time, and a shard that grows is rehashed in well
//! under a millisecond.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// A record of a CAR's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the car in the catalog
    pub(crate) car: u32,
    /// Number of the record in the car's index
    pub(crate) record: u32,
}

/// Power of two.
const SHARDS: usize = 1024;

/// The places of all digests. Digests are hashed with a key drawn at random, so that nobody can prepare digests that
/// collide.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Box<[HashTable<Place>]>,
    hasher: RandomState,
}

/// Hashes and records of one car, grouped by shard.
#[derive(Debug)]
pub(crate) struct Batch {
    car: u32,
    entries: Vec<(u64, u32)>,
    /// `ends[s]` is where shard `s` ends in `entries`.
    ends: Vec<usize>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { shards: vec![HashTable::new(); SHARDS].into_boxed_slice(), hasher: RandomState::default() }
    }

    /// What hashes digests for this table.
    pub(crate) fn hasher(&self) -> RandomState {
        self.hasher.clone()
    }

    /// The places whose digest satisfies `is_it`.
    pub(crate) fn places<'a>(
        &'a self,
        digest: &[u8],
        is_it: impl Fn(Place) -> bool + 'a,
    ) -> impl Iterator<Item = Place> + 'a {
        let hash = hash(&self.hasher, digest);
        self.shards[shard(hash)].iter_hash(hash).copied().filter(move |place| is_it(*place))
    }

    /// Puts one shard's part of a batch in. `digest` gives the digest of any place in the table.
    pub(crate) fn insert<'a>(&mut self, batch: &Batch, shard: usize, digest: impl Fn(Place) -> &'a [u8]) {
        let table = &mut self.shards[shard];
        let rehash = |place: &Place| hash(&self.hasher, digest(*place));
        let entries = batch.shard(shard);
        table.reserve(entries.len(), rehash);
        for &(hash, record) in entries {
            table.insert_unique(hash, Place { car: batch.car, record }, rehash);
        }
    }

    /// Takes one shard's part of a batch out.
    pub(crate) fn remove(&mut self, batch: &Batch, shard: usize) {
        for &(hash, record) in batch.shard(shard) {
            let place = Place { car: batch.car, record };
            if let Ok(entry) = self.shards[shard].find_entry(hash, |other| *other == place) {
                entry.remove();
            }
        }
    }

    /// How many entries there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }
}

impl Batch {
    /// Hashes records and groups them by shard: two passes over them and no comparison.
    pub(crate) fn new<'a>(hasher: &RandomState, car: u32, records: impl Iterator<Item = (u32, &'a [u8])>) -> Self {
        let unsorted: Vec<(u64, u32)> = records.map(|(record, digest)| (hash(hasher, digest), record)).collect();
        let mut ends = vec![0; SHARDS];
        for (hash, _) in &unsorted {
            ends[shard(*hash)] += 1;
        }
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        // Each slot of `ends` is now where its shard starts, and moves to where it ends as the shard fills.
        let mut entries = vec![(0, 0); unsorted.len()];
        for entry in unsorted {
            let next = &mut ends[shard(entry.0)];
            entries[*next] = entry;
            *next += 1;
        }
        Self { car, entries, ends }
    }

    /// The shards that this batch has entries in.
    pub(crate) fn shards(&self) -> impl Iterator<Item = usize> + '_ {
        (0..SHARDS).filter(|shard| !self.shard(*shard).is_empty())
    }

    fn shard(&self, shard: usize) -> &[(u64, u32)] {
        let start = shard.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.entries[start..self.ends[shard]]
    }
}

fn hash(hasher: &RandomState, digest: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(digest);
    hasher.finish()
}

/// hashbrown picks the bucket by the lowest bits and the tag by the highest seven: the shard comes from bits in
/// between.
fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(n: u32) -> Vec<[u8; 32]> {
        (0..n).map(|i| std::array::from_fn(|j| if j < 4 { i.to_le_bytes()[j] } else { 7 })).collect()
    }

    fn batch<'a>(table: &Table, car: u32, digests: &'a [[u8; 32]]) -> Batch {
        Batch::new(&table.hasher(), car, (0..).zip(digests.iter().map(|digest: &'a [u8; 32]| &digest[..])))
    }

    #[test]
    fn what_is_put_in_is_found_and_nothing_else() {
        let all = digests(6000);
        let (there, absent) = all.split_at(5000);
        let mut table = Table::new();
        for car in 0..2 {
            let batch = batch(&table, car, there);
            for shard in batch.shards() {
                table.insert(&batch, shard, |place| &there[place.record as usize]);
            }
        }
        assert_eq!(table.len(), 10_000);
        let find = |table: &Table, digest: &[u8; 32]| {
            table
                .places(digest, |place| there[place.record as usize] == *digest)
                .map(|place| place.car)
                .collect::<Vec<_>>()
        };
        for digest in there {
            let mut cars = find(&table, digest);
            cars.sort_unstable();
            assert_eq!(cars, [0, 1]);
        }
        assert!(absent.iter().all(|digest| find(&table, digest).is_empty()));

        let batch = batch(&table, 0, there);
        for shard in batch.shards() {
            table.remove(&batch, shard);
        }
        assert_eq!(table.len(), 5_000);
        assert!(there.iter().all(|digest| find(&table, digest) == [1]));
    }
}
