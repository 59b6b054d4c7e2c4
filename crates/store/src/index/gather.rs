//! CARs that are to be added to the index: their blocks become runs, they themselves a segment of the CAR table, and both
//! together one change of the manifest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use hoverboard_car::SectionOffset;
use hoverboard_index::cars::{self, Record};
use hoverboard_index::manifest::{Addition, Manifest, ManifestError};
use hoverboard_index::run::Batch;
use hoverboard_index::{Extent, Key, Place, PlaceError};
use multihash::Multihash;
use object_store::path::Path;

use super::chain::{Change, Made};
use super::{Index, IndexError};
use crate::{CarCid, layout};

/// A CAR of CARPARK as a listing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The CAR.
    pub car: CarCid,
    /// It lies where newer writers put it.
    pub blob: bool,
    /// Its length in bytes.
    pub size: u64,
    /// Its ETag, where the store has one.
    pub e_tag: Option<String>,
}

impl Listed {
    /// What the CAR table has of it.
    pub(super) fn record(&self, key: &Key) -> Record {
        Record {
            digest: *self.car.digest(),
            size: self.size,
            etag_hash: self.e_tag.as_deref().map_or(0, |e_tag| key.etag_hash(e_tag)),
            blob: self.blob,
        }
    }
}

/// Whether both are of the same object, as far as is known: an ETag that a store did not tell decides nothing.
pub(super) fn same_object(one: &Record, other: &Record) -> bool {
    let same_tag = one.etag_hash == 0 || other.etag_hash == 0 || one.etag_hash == other.etag_hash;
    one.digest == other.digest && one.size == other.size && same_tag
}

/// CARs and their blocks, gathered until there are enough to be added.
///
/// A run and a segment are written whenever there are enough entries, also in the middle of a CAR: it goes on in the next
/// run, under an ordinal of its own and the same record.
pub(super) struct Gathering<'a> {
    index: &'a Index,
    key: Key,
    run_entries: usize,
    /// CARs of the run that is being gathered.
    cars: Vec<Record>,
    batch: Batch,
    /// What is written, and its CARs.
    parts: Vec<(Addition, Vec<Record>)>,
    /// Ordinals that CARs had before they were replaced by other bytes.
    replaced: Vec<u32>,
}

impl<'a> Gathering<'a> {
    /// Nothing yet. Every `run_entries` entries are written as a run, so that no more are held in memory.
    pub(super) fn new(index: &'a Index, key: &Key, run_entries: usize) -> Self {
        let (cars, batch, parts) = (Vec::new(), Batch::new(), Vec::new());
        Self { index, key: *key, run_entries, cars, batch, parts, replaced: Vec::new() }
    }

    /// Whether there is enough for a change of its own.
    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= self.run_entries || !self.parts.is_empty() || self.cars.len() >= MAX_CARS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cars.is_empty() && self.parts.is_empty()
    }

    /// Begins a CAR, of which blocks may be [pushed](Self::push) from now on. `replaces` are the ordinals that it had as
    /// another object.
    pub(super) fn begin(&mut self, listed: &Listed, replaces: &[u32]) -> Result<(), PlaceError> {
        self.begin_part(listed.record(&self.key))?;
        self.replaced.extend(replaces);
        Ok(())
    }

    fn begin_part(&mut self, record: Record) -> Result<(), PlaceError> {
        let whole = Extent::section(SectionOffset(0), None);
        let place = Place { car: self.cars.len() as u32, extent: whole };
        self.batch.push(self.key.car_fingerprint(&record.digest), place)?;
        self.cars.push(record);
        Ok(())
    }

    /// Adds a block of the CAR that was begun last.
    pub(super) fn push(&mut self, multihash: &Multihash<64>, extent: Extent) -> Result<(), PlaceError> {
        let car = (self.cars.len() as u32).saturating_sub(1);
        self.batch.push(self.key.fingerprint(multihash), Place { car, extent })
    }

    /// Writes a run if there are enough entries for one; the CAR that was begun last goes on in the next.
    pub(super) async fn spill(&mut self) -> Result<(), IndexError> {
        if self.batch.len() < self.run_entries {
            return Ok(());
        }
        let last = self.cars.last().copied();
        self.write_part().await?;
        last.map_or(Ok(()), |last| self.begin_part(last)).map_err(|error| unwritable(&error))
    }

    async fn write_part(&mut self) -> Result<(), IndexError> {
        let (batch, cars) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.cars));
        if cars.is_empty() {
            return Ok(());
        }
        let sorted = batch.sort().map_err(|error| unwritable(&error))?;
        let mut entries = 0;
        for number in 0..sorted.run().shards() {
            self.index.check_stopped()?;
            let shard = sorted.shard(number).map_err(|error| unwritable(&error))?;
            entries += shard.entries;
            self.index.put(&Path::from(sorted.run().shard_key(number)), shard.bytes.into()).await?;
        }
        let table = cars::build(&cars).map_err(|error| unwritable(&error))?;
        self.index.put(&Path::from(cars::object_key(table.id)), Bytes::from(table.bytes.clone())).await?;
        let addition = Addition::new(&table, sorted.finish(entries));
        self.parts.push((addition.ok_or_else(|| unwritable(&"a run over other CARs"))?, cars));
        Ok(())
    }

    /// Writes what is left and adds everything. CARs that others added since the manifest with the next ordinal `seen` are
    /// left out. The manifest that has it all; `None` if all of it was there already.
    pub(super) async fn commit(mut self, seen: u32) -> Result<Option<Arc<Manifest>>, IndexError> {
        self.write_part().await?;
        if self.parts.is_empty() {
            return Ok(None);
        }
        let mut adding = Adding { parts: &self.parts, replaced: &self.replaced, seen, others: HashMap::new() };
        for _ in 0..ROOM_MADE {
            match self.index.commit(&mut adding).await {
                // Many add at once, and nobody has merged meanwhile.
                Err(IndexError::Manifest(ManifestError::TooManyRuns | ManifestError::TooManySegments)) => {
                    self.index.compact(false, &()).await?;
                }
                Err(IndexError::Manifest(ManifestError::TooManyStruck)) => drop(self.index.compact(true, &()).await?),
                outcome => return outcome,
            }
        }
        self.index.commit(&mut adding).await
    }
}

/// What was gathered does not fit the format, which its bounds rule out.
fn unwritable(why: &dyn ToString) -> IndexError {
    IndexError::wrong(&layout::runs(), why.to_string())
}

/// How often runs are merged so that the manifest has room for what was gathered.
const ROOM_MADE: u32 = 8;

/// The most CARs of one change.
const MAX_CARS: usize = 4096;

/// The change that adds what is written.
struct Adding<'a> {
    parts: &'a [(Addition, Vec<Record>)],
    replaced: &'a [u32],
    /// CARs with smaller ordinals are known, and none of ours is among them.
    seen: u32,
    /// What others added meanwhile and is among ours, by digest.
    others: HashMap<[u8; 32], Vec<(u32, Record)>>,
}

impl Adding<'_> {
    fn ours(&self) -> impl Iterator<Item = &Record> {
        self.parts.iter().flat_map(|(_, records)| records)
    }

    /// Takes note of what others added.
    async fn look(&mut self, index: &Index, newest: &Manifest) -> Result<(), IndexError> {
        let added = index.records_from(newest, self.seen).await?;
        let ours: HashSet<[u8; 32]> = self.ours().map(|record| record.digest).collect();
        for (ordinal, record) in added.into_iter().filter(|(_, record)| ours.contains(&record.digest)) {
            self.others.entry(record.digest).or_default().push((ordinal, record));
        }
        self.seen = self.seen.max(newest.next_ordinal());
        Ok(())
    }

    fn is_there(&self, newest: &Manifest, record: &Record) -> bool {
        let others = self.others.get(&record.digest).into_iter().flatten();
        let mut live = others.filter(|(ordinal, _)| !newest.struck().contains(*ordinal));
        live.any(|(_, other)| same_object(record, other))
    }
}

impl Change for Adding<'_> {
    fn upon<'a>(&'a mut self, index: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a> {
        async move {
            self.look(index, newest).await?;
            if self.ours().all(|record| self.is_there(newest, record)) {
                return Ok(None);
            }
            let mut draft = newest.draft(at);
            for (addition, records) in self.parts {
                let first = draft.append(*addition)?;
                // Their entries are written with the others: they are struck as they are added.
                let double = (first..).zip(records).filter(|(_, record)| self.is_there(newest, record));
                draft.strike(double.map(|(ordinal, _)| ordinal))?;
            }
            draft.strike(self.replaced.iter().copied())?;
            Ok(Some(draft.finish()?))
        }
        .boxed()
    }
}
