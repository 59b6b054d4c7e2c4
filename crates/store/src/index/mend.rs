//! What is wrong with an index, mended out of CARPARK and SATNAV.
//!
//! A lost run or segment stays in the manifest until its CARs are indexed anew: while it is there, what it might say is
//! unknown, and never taken for a miss.

use std::collections::{BTreeMap, HashSet};

use futures_util::{FutureExt, future};
use hoverboard_index::cars::{Record, Segment, Table};
use hoverboard_index::manifest::{Manifest, ManifestError};
use hoverboard_index::run::{self, Run};
use hoverboard_index::{Entry, Fingerprint, ObjectId, Struck};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};

use super::chain::{Change, Made};
use super::check::Diagnosis;
use super::gather::Gathering;
use super::known::{Known, VOID};
use super::{Checked, Index, IndexError, Options, Progress};
use crate::CarCid;
use crate::layout::{self, INDEX};

impl Index {
    /// Mends what [`check`](Self::check) finds, and removes what nobody needs. What is left is what it gives: CARs that are
    /// damaged cannot be indexed.
    ///
    /// # Errors
    ///
    /// There is no index, or the store fails. It is safe to do it again.
    pub async fn mend(&self, options: &Options, progress: &dyn Progress) -> Result<Checked, IndexError> {
        let (_, diagnosis) = self.diagnose(progress).await?;
        for generation in &diagnosis.manifests {
            self.remove_manifest(*generation).await?;
        }
        let manifest = self.newest().await?.ok_or(IndexError::NoIndex)?;
        let mut known = self.known_of(&manifest, &diagnosis.segments).await?;
        self.update_from(&manifest, &mut known, options, progress).await?;
        if !diagnosis.segments.is_empty() {
            self.commit(&mut VoidSegments(&diagnosis.segments)).await?;
        }
        self.mend_runs(&diagnosis, options, progress).await?;
        self.mend_exhausted(&diagnosis, options, progress).await?;
        let orphans = self.orphans().await?;
        self.collect(&orphans).await?;
        self.check(progress).await
    }

    /// Removes a manifest that cannot be read, so that the one before is the newest.
    async fn remove_manifest(&self, generation: u64) -> Result<(), IndexError> {
        let key = layout::manifest(generation);
        match self.retrying(|| self.bucket.index.delete(&key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(IndexError::store("remove", INDEX, &key, source)),
        }
    }

    /// Indexes the CARs of lost runs anew, and then takes the runs out.
    async fn mend_runs(
        &self,
        diagnosis: &Diagnosis,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<(), IndexError> {
        let manifest = self.newest().await?.ok_or(IndexError::NoIndex)?;
        let lost: Vec<Run> = diagnosis.runs.iter().filter(|run| manifest.runs().contains(run)).copied().collect();
        if lost.is_empty() {
            return Ok(());
        }
        let mut known = Known::new();
        known.read(self, &manifest).await?;
        let is_lost = |ordinal: &u32| lost.iter().any(|run| run.ordinals().contains(ordinal));
        let all_lost = known.indexed().filter(|(_, ordinals, _)| ordinals.iter().any(is_lost));
        // One that goes on in a run that is not lost is struck there, and indexed anew as a whole.
        let cars = all_lost
            .map(|(car, ordinals, _)| (car, ordinals.iter().copied().filter(|ordinal| !is_lost(ordinal)).collect()));
        let cars: Vec<(CarCid, Vec<u32>)> = cars.collect();
        if self.index_anew(&manifest, cars, options, progress).await? == 0 {
            self.commit(&mut RemoveRuns(&lost)).await?;
        }
        Ok(())
    }

    /// Finds CARs that have the blocks of which all known places are gone, and indexes them anew: so they are the youngest
    /// of the block's CARs, and kept.
    async fn mend_exhausted(
        &self,
        diagnosis: &Diagnosis,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<(), IndexError> {
        let mut sought: HashSet<Fingerprint> = diagnosis.exhausted.clone();
        if sought.is_empty() {
            return Ok(());
        }
        let manifest = self.newest().await?.ok_or(IndexError::NoIndex)?;
        let mut known = Known::new();
        known.read(self, &manifest).await?;
        let (mut cars, mut all_read) = (Vec::new(), manifest.complete());
        for (car, ordinals, _) in known.indexed() {
            self.check_stopped()?;
            if sought.is_empty() {
                break;
            }
            let Some(listed) = self.find_car(&car).await? else { continue };
            let described = match self.describe(listed, &options.import).await {
                Ok(described) => described,
                Err(error) if error.is_missing() && self.find_car(&car).await?.is_none() => continue,
                Err(error @ (IndexError::Car { .. } | IndexError::Wrong { .. })) => {
                    progress.fault(&error);
                    all_read = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let before = sought.len();
            self.each_block(&described, |multihash| {
                sought.remove(&manifest.key().fingerprint(multihash));
            })
            .await?;
            if sought.len() < before {
                cars.push((car, ordinals.to_vec()));
            }
        }
        self.index_anew(&manifest, cars, options, progress).await?;
        if all_read { self.forget(&sought).await } else { Ok(()) }
    }

    /// Takes blocks out of the runs that are in no CAR any more: until then a run says that others have them.
    async fn forget(&self, vanished: &HashSet<Fingerprint>) -> Result<(), IndexError> {
        let manifest = self.newest().await?.ok_or(IndexError::NoIndex)?;
        for run in manifest.runs().iter().filter(|_| !vanished.is_empty()) {
            let mut kept = 0;
            let id = ObjectId::from_bytes(self.host.random());
            let without = Run { id, ..*run };
            for number in 0..run.shards() {
                self.check_stopped()?;
                let slice = self.shard(run, number).await?;
                // A CAR that came meanwhile may have it: what lies in one that is not struck stays.
                let struck = |entry: &Entry| entry.place.is_none_or(|place| manifest.struck().contains(place.car));
                let entries = slice.entries().filter(|entry| !(vanished.contains(&entry.fingerprint) && struck(entry)));
                let built = run::build_shard(&without, number, entries);
                let built = built.map_err(|error| IndexError::wrong(&layout::runs(), error))?;
                kept += built.entries;
                self.put(&Path::from(without.shard_key(number)), built.bytes.into()).await?;
            }
            match self.commit(&mut Substitute { run: *run, without: Run { entries: kept, ..without } }).await {
                // Somebody else merged it: the next time finds what is left.
                Ok(_) | Err(IndexError::Manifest(ManifestError::Replaced)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Indexes CARs anew that are indexed already, and strikes these of their ordinals. Says how many could not be.
    async fn index_anew(
        &self,
        manifest: &Manifest,
        cars: Vec<(CarCid, Vec<u32>)>,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<u64, IndexError> {
        let mut faults = 0;
        let mut gathering = Gathering::new(self, manifest.key(), options.run_entries);
        for (car, replaces) in cars {
            let Some(listed) = self.find_car(&car).await? else { continue };
            let described = match self.describe(listed, &options.import).await {
                Ok(described) => described,
                Err(error) if error.is_missing() && self.find_car(&car).await?.is_none() => continue,
                Err(error @ (IndexError::Car { .. } | IndexError::Wrong { .. })) => {
                    progress.fault(&error);
                    faults += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let blocks = self.gather(&described, &replaces, &mut gathering).await?;
            progress.indexed(&car, described.listed.size, blocks);
            if gathering.is_full() {
                let next = Gathering::new(self, manifest.key(), options.run_entries);
                std::mem::replace(&mut gathering, next).commit(u32::MAX).await?;
            }
        }
        gathering.commit(u32::MAX).await?;
        Ok(faults)
    }
}

/// A run takes the place of another over the same CARs.
struct Substitute {
    run: Run,
    without: Run,
}

impl Change for Substitute {
    fn upon<'a>(&'a mut self, _: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a> {
        let make = || {
            if self.run.entries == self.without.entries {
                return Ok(None);
            }
            let mut draft = newest.draft(at);
            draft.replace_runs(&[self.run], self.without, &Struck::default())?;
            Ok(Some(draft.finish()?))
        };
        future::ready(make()).boxed()
    }
}

/// The segments that are lost have no records any more.
struct VoidSegments<'a>(&'a [Segment]);

impl Change for VoidSegments<'_> {
    fn upon<'a>(&'a mut self, index: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a> {
        async move {
            let mut draft = newest.draft(at);
            let mut changed = false;
            for segment in self.0.iter().filter(|segment| newest.segments().contains(segment)) {
                let void = Record { digest: VOID, size: 0, etag_hash: 0, blob: false };
                let table: Table = index.write_table(&vec![void; segment.cars as usize]).await?;
                draft.replace_segments(&[*segment], &table)?;
                changed = true;
            }
            Ok(if changed { Some(draft.finish()?) } else { None })
        }
        .boxed()
    }
}

/// Lost runs are taken out, and the records of their CARs with them.
struct RemoveRuns<'a>(&'a [Run]);

impl Change for RemoveRuns<'_> {
    fn upon<'a>(&'a mut self, index: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a> {
        async move {
            let lost: Vec<Run> = self.0.iter().filter(|run| newest.runs().contains(run)).copied().collect();
            if lost.is_empty() {
                return Ok(None);
            }
            let mut draft = newest.draft(at);
            draft.remove_runs(&lost)?;
            let gone: Struck = lost.iter().flat_map(Run::ordinals).collect();
            let mut voided = BTreeMap::new();
            for (segment, table) in index.voided(newest, &gone).await? {
                voided.insert(segment.first, (segment, table));
            }
            for (segment, table) in voided.into_values() {
                draft.replace_segments(&[segment], &table)?;
            }
            Ok(Some(draft.finish()?))
        }
        .boxed()
    }
}
