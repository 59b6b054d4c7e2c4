//! Runs merged as they grow in number, pieces of the CAR table joined, and CARs that were struck forgotten.
//!
//! A merge goes shard by shard: a step reads what it needs of each input, writes one shard, and holds no more. What is
//! merged takes the place of its inputs in one change; if somebody else has changed those meanwhile it is given up, and
//! planned anew.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{FutureExt, future};
use hoverboard_index::cars::{self, Record, Segment, Table};
use hoverboard_index::manifest::{Manifest, ManifestError};
use hoverboard_index::merge::Merge;
use hoverboard_index::run::{Opened, Piece, Run, Slice};
use hoverboard_index::{Struck, tiers};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::chain::{Change, Made};
use super::known::VOID;
use super::{Index, IndexError, Progress};
use crate::layout::INDEX;

/// What compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Runs that were merged.
    pub runs: usize,
    /// Entries that were written.
    pub entries: u64,
}

/// How often a merge is planned anew because others changed its inputs.
const PLANS: u32 = 8;

impl Index {
    /// Merges runs: by tiers, so that there are never more than a few and each entry is written again only a few times; or
    /// `all` into one, without the CARs that were struck.
    ///
    /// # Errors
    ///
    /// The store fails, a run is damaged, or the host says stop.
    pub async fn compact(&self, all: bool, progress: &dyn Progress) -> Result<Compacted, IndexError> {
        self.compact_up_to(u64::MAX, all, progress).await
    }

    /// The same for merges of so many entries at most: the small ones that are left behind by every import.
    pub(super) async fn compact_up_to(
        &self,
        most: u64,
        all: bool,
        progress: &dyn Progress,
    ) -> Result<Compacted, IndexError> {
        let mut compacted = Compacted::default();
        let mut lost = 0;
        loop {
            let manifest = self.newest().await?.ok_or(IndexError::NoIndex)?;
            self.join_segments(&manifest).await?;
            let planned = match all {
                // One run alone is merged with itself to be rid of what was struck.
                true if manifest.runs().len() > 1 || !manifest.struck().is_empty() => Some(0..manifest.runs().len()),
                true => None,
                false => tiers::plan(&manifest.entries()).filter(|range| range.len() > 1),
            };
            let Some(inputs) = planned.and_then(|range| manifest.runs().get(range)) else { return Ok(compacted) };
            if inputs.is_empty() || inputs.iter().map(|run| run.entries).sum::<u64>() > most {
                return Ok(compacted);
            }
            let merge = Merge::new(inputs, manifest.struck()).map_err(|error| unmergeable(&error))?;
            let merged = self.merge(&merge, progress).await?;
            let mut replace = Replace { merge: &merge, merged };
            match self.commit(&mut replace).await {
                Ok(Some(next)) => {
                    progress.committed(next.generation());
                    compacted.runs += merge.inputs().len();
                    compacted.entries += merged.entries;
                    if all {
                        return Ok(compacted);
                    }
                }
                // Somebody else merged them.
                Ok(None) | Err(IndexError::Manifest(ManifestError::Replaced)) if lost < PLANS => lost += 1,
                Ok(None) => return Ok(compacted),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the run that a merge makes.
    async fn merge(&self, merge: &Merge, progress: &dyn Progress) -> Result<Run, IndexError> {
        let shards = merge.output().shards();
        let mut entries = 0;
        for shard in 0..shards {
            entries += self.merge_shard(merge, shard).await?;
            progress.step(u64::from(shard) + 1, u64::from(shards));
        }
        Ok(merge.finish(entries))
    }

    /// Writes one shard of it, and says how many entries it has.
    pub(super) async fn merge_shard(&self, merge: &Merge, shard: u32) -> Result<u64, IndexError> {
        self.check_stopped()?;
        let mut slices = Vec::with_capacity(merge.inputs().len());
        for (number, run) in merge.inputs().iter().enumerate() {
            let mut of_run = Vec::new();
            for piece in merge.pieces(number, shard) {
                of_run.push(self.slice(run, &piece).await?);
            }
            slices.push(of_run);
        }
        let built = merge.build(shard, &slices).map_err(|error| unmergeable(&error))?;
        drop(slices);
        self.put(&Path::from(merge.output().shard_key(shard)), built.bytes.into()).await?;
        Ok(built.entries)
    }

    /// Pages of a run, and what overflowed from them.
    async fn slice(&self, run: &Run, piece: &Piece) -> Result<Slice, IndexError> {
        let key = Path::from(run.shard_key(piece.shard));
        let wrong = |error| IndexError::wrong(&key, error);
        let pages = self.range(&key, piece.range()).await?;
        match Slice::open(run, piece, pages).map_err(wrong)? {
            Opened::Whole(slice) => Ok(slice),
            Opened::Overflowing(partial) => {
                let overflow = self.range(&key, partial.range()).await?;
                partial.complete(overflow).map_err(wrong)
            }
        }
    }

    async fn range(&self, key: &Path, range: std::ops::Range<u64>) -> Result<Bytes, IndexError> {
        let read = || self.bucket.index.get_range(key, range.clone());
        self.retrying(read).await.map_err(|source| IndexError::store("read", INDEX, key, source))
    }

    /// Joins pieces of the CAR table, where there are many.
    pub(super) async fn join_segments(&self, manifest: &Manifest) -> Result<(), IndexError> {
        let cars: Vec<u32> = manifest.segments().iter().map(|segment| segment.cars).collect();
        let Some(pieces) = tiers::plan_segments(&cars).and_then(|range| manifest.segments().get(range)) else {
            return Ok(());
        };
        let mut records = Vec::new();
        for piece in pieces {
            records.extend(self.segment(piece).await?);
        }
        let table = self.write_table(&records).await?;
        match self.commit(&mut Join { pieces: pieces.to_vec(), table }).await {
            Ok(_) | Err(IndexError::Manifest(ManifestError::Replaced)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn write_table(&self, records: &[Record]) -> Result<Table, IndexError> {
        let table = cars::build(records).map_err(|error| unmergeable(&error))?;
        self.put(&Path::from(cars::object_key(table.id)), Bytes::from(table.bytes.clone())).await?;
        Ok(table)
    }
}

pub(super) fn unmergeable(why: &dyn ToString) -> IndexError {
    IndexError::wrong(&crate::layout::runs(), why.to_string())
}

/// A merged run takes the place of its inputs. The records of CARs that it left out become void, or they would be taken
/// for indexed once they are struck no more.
pub(super) struct Replace<'a> {
    pub(super) merge: &'a Merge,
    pub(super) merged: Run,
}

impl Change for Replace<'_> {
    fn upon<'a>(&'a mut self, index: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a> {
        async move {
            let mut draft = newest.draft(at);
            draft.replace_runs(self.merge.inputs(), self.merged, self.merge.struck())?;
            for (segment, table) in index.voided(newest, self.merge.struck()).await? {
                draft.replace_segments(&[segment], &table)?;
            }
            Ok(Some(draft.finish()?))
        }
        .boxed()
    }
}

impl Index {
    /// The segments that have records of these CARs, written without them.
    pub(super) async fn voided(&self, manifest: &Manifest, gone: &Struck) -> Result<Vec<(Segment, Table)>, IndexError> {
        let mut segments: HashMap<u32, (Segment, Vec<u32>)> = HashMap::new();
        for ordinal in gone.ordinals() {
            if let Some(segment) = manifest.segment_of(*ordinal) {
                segments.entry(segment.first).or_insert((*segment, Vec::new())).1.push(*ordinal);
            }
        }
        let mut voided = Vec::new();
        for (segment, ordinals) in segments.into_values() {
            let mut records = self.segment(&segment).await?;
            for ordinal in ordinals {
                if let Some(record) = records.get_mut((ordinal - segment.first) as usize) {
                    *record = Record { digest: VOID, size: 0, etag_hash: 0, blob: false };
                }
            }
            let table = self.write_table(&records).await?;
            if table.id != segment.id {
                voided.push((segment, table));
            }
        }
        Ok(voided)
    }
}

/// One piece of the CAR table takes the place of several.
struct Join {
    pieces: Vec<Segment>,
    table: Table,
}

impl Change for Join {
    fn upon<'a>(&'a mut self, _: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a> {
        let make = || {
            let mut draft = newest.draft(at);
            draft.replace_segments(&self.pieces, &self.table)?;
            Ok(Some(draft.finish()?))
        };
        future::ready(make()).boxed()
    }
}
