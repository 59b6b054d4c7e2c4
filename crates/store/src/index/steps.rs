//! Merges a shard at a time, for who cannot do a whole one at once: what is between two steps is a few numbers.

use hoverboard_index::manifest::{MAX_STRUCK, ManifestError};
use hoverboard_index::merge::Merge;
use hoverboard_index::tiers;
use serde::{Deserialize, Serialize};

use super::compact::{Replace, unmergeable};
use super::{Index, IndexError};

/// A merge under way: which, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merging {
    /// It was planned upon this manifest, which a later step reads again.
    generation: u64,
    /// Its inputs among the runs of that manifest.
    from: usize,
    to: usize,
    /// The next shard.
    shard: u32,
    /// Entries of the shards that are written.
    entries: u64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// There is nothing to merge.
    Idle,
    /// A shard was written; this is what goes on.
    On(Merging),
    /// A merge is done, or somebody else has done it; there may be another.
    Over,
}

impl Index {
    /// Does one step: plans a merge if none is given, and writes one shard of it. Its memory is what one shard and its inputs
    /// take: some 64 MiB at the most, and less while there are fewer than 2^19 entries.
    ///
    /// # Errors
    ///
    /// The store fails, or a run is damaged. It is safe to do the step again.
    pub async fn merge_step(&self, merging: Option<Merging>) -> Result<Stepped, IndexError> {
        let Some(Merging { generation, from, to, shard, entries }) = (match merging {
            Some(merging) => Some(merging),
            None => self.plan_merge().await?,
        }) else {
            return Ok(Stepped::Idle);
        };
        // It is kept for a day. After that it is planned anew.
        let Some((manifest, _)) = self.load(generation).await? else { return Ok(Stepped::Over) };
        let Some(inputs) = manifest.runs().get(from..to) else { return Ok(Stepped::Over) };
        let merge = Merge::new(inputs, manifest.struck()).map_err(|error| unmergeable(&error))?;
        let written = match self.merge_shard(&merge, shard).await {
            Ok(written) => written,
            // Somebody else has merged them, and they were cleared away.
            Err(error) if error.is_missing() && !self.has_runs_of(generation).await? => return Ok(Stepped::Over),
            Err(error) => return Err(error),
        };
        let (shard, entries) = (shard + 1, entries + written);
        if shard < merge.output().shards() {
            return Ok(Stepped::On(Merging { generation, from, to, shard, entries }));
        }
        let mut replace = Replace { merge: &merge, merged: merge.finish(entries) };
        match self.commit(&mut replace).await {
            Ok(_) | Err(IndexError::Manifest(ManifestError::Replaced)) => Ok(Stepped::Over),
            Err(error) => Err(error),
        }
    }

    /// What is to be merged next, if anything: by tiers, or all where many CARs are struck.
    async fn plan_merge(&self) -> Result<Option<Merging>, IndexError> {
        let Some(manifest) = self.newest().await? else { return Ok(None) };
        self.join_segments(&manifest).await?;
        let many_struck = manifest.struck().len() > MAX_STRUCK / 2;
        let range = match many_struck && !manifest.runs().is_empty() {
            true => Some(0..manifest.runs().len()),
            false => tiers::plan(&manifest.entries()).filter(|range| range.len() > 1),
        };
        let generation = manifest.generation();
        Ok(range.map(|range| Merging { generation, from: range.start, to: range.end, shard: 0, entries: 0 }))
    }

    /// Whether the newest manifest still names the runs of that generation.
    async fn has_runs_of(&self, generation: u64) -> Result<bool, IndexError> {
        let Some((old, _)) = self.load(generation).await? else { return Ok(false) };
        let Some(newest) = self.newest().await? else { return Ok(false) };
        Ok(old.runs().iter().all(|run| newest.runs().contains(run)))
    }
}
