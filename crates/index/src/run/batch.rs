//! A new run, out of entries in any order.

use super::{BuildError, Fresh, Run, Shape, Shard, TooLarge, build_shard};
use crate::entry::{ENTRY_LEN, Encoded, Ordinals, fingerprint};
use crate::id::IdHasher;
use crate::kept::Condensed;
use crate::{Entry, Fingerprint, MAX_ORDINAL, Place, PlaceError, Struck};

/// Ordinals of CARs that have none in the CAR table yet.
const UNPLACED: Ordinals = Ordinals { first: 0, count: MAX_ORDINAL };

/// Collects what is to be a run: places in CARs that are numbered from zero, in the order of the CAR table's records.
///
/// Takes 30 bytes an entry; how many entries that may be is up to the caller.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    entries: Vec<Encoded>,
    cars: u32,
}

/// A batch in order, ready to be written shard by shard.
#[derive(Clone, Debug)]
pub struct Sorted {
    entries: Vec<Encoded>,
    run: Run,
}

impl Batch {
    /// A batch with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a place of a block.
    ///
    /// # Errors
    ///
    /// A place that an entry cannot say. The batch is as before.
    pub fn push(&mut self, fingerprint: Fingerprint, place: Place) -> Result<(), PlaceError> {
        let entry = Entry { fingerprint, place: Some(place), more: false };
        self.entries.push(entry.encode(UNPLACED)?);
        self.cars = self.cars.max(place.car + 1);
        Ok(())
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sorts it. The same entries in any order give the same run: its id is over them.
    ///
    /// # Errors
    ///
    /// More entries than a run can have.
    pub fn sort(self) -> Result<Sorted, TooLarge> {
        let Self { mut entries, cars } = self;
        sort(&mut entries);
        entries.dedup();
        let shape = Shape::for_entries(entries.len() as u64)?;
        let mut id = IdHasher::new("hoverboard block run 1: new");
        id.number(u64::from(cars));
        id.number(entries.len() as u64);
        entries.iter().for_each(|entry| id.bytes(entry));
        let run = Run { id: id.finish(), first: 0, cars, entries: 0, shape };
        Ok(Sorted { entries, run })
    }
}

impl Sorted {
    /// The run that is written, but for the number of its entries.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Its shards, built one after the other as they are asked for, for the keys [`Run::shard_key`].
    pub fn shards(&self) -> impl Iterator<Item = Result<Shard, BuildError>> {
        (0..self.run.shards()).map(|shard| self.shard(shard))
    }

    /// The run when all shards are written, of which there were so many entries in all.
    pub fn finish(self, entries: u64) -> Fresh {
        Fresh { id: self.run.id, cars: self.run.cars, entries, shape: self.run.shape }
    }

    /// Builds one shard.
    ///
    /// # Errors
    ///
    /// More entries collide in it than the format has room for.
    pub fn shard(&self, shard: u32) -> Result<Shard, BuildError> {
        let shape = self.run.shape;
        let from = self.entries.partition_point(|entry| shape.shard_of(fingerprint(entry)) < shard);
        let of_shard = self.entries[from..].iter().take_while(|entry| shape.shard_of(fingerprint(entry)) == shard);
        // All were encoded under the same numbering and decode again.
        let entries = of_shard.filter_map(|entry| Entry::decode(entry, UNPLACED).ok());
        build_shard(&self.run, shard, Condensed::new(entries, &Struck::default()))
    }
}

/// Sorts entries in place: by their first byte into 256 parts, each of which a processor's cache holds, and then those.
fn sort(entries: &mut [Encoded]) {
    let mut ends = [0; 256];
    entries.iter().for_each(|entry| ends[usize::from(entry[0])] += 1);
    let mut next = [0; 256];
    let mut sum = 0;
    for (end, next) in ends.iter_mut().zip(&mut next) {
        *next = sum;
        sum += *end;
        *end = sum;
    }
    for part in 0..256 {
        while next[part] < ends[part] {
            let home = usize::from(entries[next[part]][0]);
            if home != part {
                entries.swap(next[part], next[home]);
            }
            next[home] += 1;
        }
        let start = if part == 0 { 0 } else { ends[part - 1] };
        // The fingerprint nearly always decides, and compares as one number.
        entries[start..ends[part]].sort_unstable_by(|a, b| fingerprint(a).cmp(&fingerprint(b)).then_with(|| a.cmp(b)));
    }
}

const _: () = assert!(size_of::<Encoded>() == ENTRY_LEN);
