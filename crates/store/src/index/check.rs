//! What is wrong with an index: objects that are missing or damaged, CARs that are not in it or no longer there, blocks of
//! which it only knows that others have them, and objects that nobody needs.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use futures_util::StreamExt;
use hoverboard_index::cars::Segment;
use hoverboard_index::manifest::Manifest;
use hoverboard_index::run::{Run, Slice};
use hoverboard_index::{Fingerprint, Place};
use object_store::Error;
use object_store::path::Path;

use super::known::{Known, Standing};
use super::{Index, IndexError, Orphans, Progress};
use crate::CarCid;
use crate::layout::{self, CARPARK};

/// The most blocks of which it is looked up who else has them, in one check.
const MAX_EXHAUSTED: usize = 1 << 20;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// An object of the index is not there, or is not what it should be: this says which and how.
    Damaged(String),
    /// A CAR of CARPARK is not in the index.
    NotIndexed(CarCid),
    /// A CAR of the index is not in CARPARK.
    Gone(CarCid),
    /// A CAR of CARPARK is another object than the one that was indexed.
    Replaced(CarCid),
    /// Of so many blocks the index only knows that there are CARs that have them, and not which.
    Exhausted(usize),
    /// It was never brought up to date with all of CARPARK, or a CAR there could not be indexed.
    Incomplete,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => f.write_str(what),
            Self::NotIndexed(car) => write!(f, "{car} is not indexed"),
            Self::Gone(car) => write!(f, "{car} is indexed, and is not there"),
            Self::Replaced(car) => write!(f, "{car} was replaced since it was indexed"),
            Self::Exhausted(1) => f.write_str("of 1 block all known places are gone, and others have it"),
            Self::Exhausted(blocks) => write!(f, "of {blocks} blocks all known places are gone, and others have them"),
            Self::Incomplete => {
                f.write_str("the index was never completed: while it is not, no block is told to be missing")
            }
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Objects that nobody needs: nothing is wrong with that.
    pub orphans: Orphans,
}

/// What is wrong, as it has to be known to mend it.
#[derive(Default)]
pub(super) struct Diagnosis {
    pub(super) findings: Vec<Finding>,
    /// Manifests that are damaged, newer than the newest that is not.
    pub(super) manifests: Vec<u64>,
    pub(super) segments: Vec<Segment>,
    pub(super) runs: Vec<Run>,
    pub(super) exhausted: HashSet<Fingerprint>,
}

impl Index {
    /// Reads the whole index and lists CARPARK, and says what is wrong. Nothing is changed.
    ///
    /// # Errors
    ///
    /// There is no index, or the store fails.
    pub async fn check(&self, progress: &dyn Progress) -> Result<Checked, IndexError> {
        let (manifest, mut diagnosis) = self.diagnose(progress).await?;
        let known = self.known_of(&manifest, &diagnosis.segments).await?;
        self.compare(&manifest, known, &mut diagnosis.findings).await?;
        if !manifest.complete() {
            diagnosis.findings.push(Finding::Incomplete);
        }
        let orphans = match self.orphans().await {
            Err(error) if error.is_damage() => Orphans::default(),
            orphans => orphans?,
        };
        Ok(Checked { findings: diagnosis.findings, orphans })
    }

    /// The newest manifest that can be read, and what is wrong with it and with what it names.
    pub(super) async fn diagnose(&self, progress: &dyn Progress) -> Result<(Manifest, Diagnosis), IndexError> {
        let mut diagnosis = Diagnosis::default();
        let manifest = self.newest_good(&mut diagnosis).await?;
        for segment in manifest.segments() {
            if let Err(error) = self.segment(segment).await {
                note(error, &mut diagnosis.findings)?;
                diagnosis.segments.push(*segment);
            }
        }
        let shards = manifest.runs().iter().map(|run| u64::from(run.shards())).sum();
        let mut done = 0;
        let mut exhausted = BTreeSet::new();
        for run in manifest.runs() {
            let mut lost = false;
            for shard in 0..run.shards() {
                self.check_stopped()?;
                match self.shard(run, shard).await {
                    Ok(slice) => blocks(&slice, |fingerprint, places, more| {
                        let live = places.iter().any(|place| !manifest.struck().contains(place.car));
                        if more && !live && exhausted.len() < MAX_EXHAUSTED {
                            exhausted.insert(fingerprint);
                        }
                    }),
                    Err(error) => {
                        note(error, &mut diagnosis.findings)?;
                        lost = true;
                    }
                }
                done += 1;
                progress.step(done, shards);
            }
            if lost {
                diagnosis.runs.push(*run);
            }
        }
        if !exhausted.is_empty() {
            self.keep_exhausted(&manifest, &mut exhausted).await?;
        }
        if !exhausted.is_empty() {
            diagnosis.findings.push(Finding::Exhausted(exhausted.len()));
        }
        diagnosis.exhausted = exhausted.into_iter().collect();
        Ok((manifest, diagnosis))
    }

    async fn newest_good(&self, diagnosis: &mut Diagnosis) -> Result<Manifest, IndexError> {
        let mut generations: Vec<u64> =
            self.manifests().await?.iter().filter_map(|meta| layout::generation(&meta.location)).collect();
        generations.sort_unstable();
        while let Some(generation) = generations.pop() {
            match self.load(generation).await {
                Ok(Some((manifest, _))) => return Ok(manifest),
                Ok(None) => {}
                Err(error) => {
                    note(error, &mut diagnosis.findings)?;
                    diagnosis.manifests.push(generation);
                }
            }
        }
        Err(IndexError::NoIndex)
    }

    /// Leaves only those blocks that no run has a living place of.
    async fn keep_exhausted(
        &self,
        manifest: &Manifest,
        exhausted: &mut BTreeSet<Fingerprint>,
    ) -> Result<(), IndexError> {
        for run in manifest.runs() {
            for shard in 0..run.shards() {
                self.check_stopped()?;
                let Ok(slice) = self.shard(run, shard).await else { continue };
                exhausted.retain(|fingerprint| {
                    let found = slice.lookup(*fingerprint);
                    !found.places.iter().any(|place| !manifest.struck().contains(place.car))
                });
            }
        }
        Ok(())
    }

    /// The CARs of all segments but these, which are damaged.
    pub(super) async fn known_of(&self, manifest: &Manifest, damaged: &[Segment]) -> Result<Known, IndexError> {
        let mut known = Known::new();
        for segment in manifest.segments().iter().filter(|segment| !damaged.contains(segment)) {
            let records = self.segment(segment).await?;
            known.take(manifest, (segment.first..).zip(records).collect());
        }
        known.upto = manifest.next_ordinal();
        Ok(known)
    }

    /// Compares what is indexed with what is there.
    async fn compare(
        &self,
        manifest: &Manifest,
        mut known: Known,
        findings: &mut Vec<Finding>,
    ) -> Result<(), IndexError> {
        let mut listing = self.bucket.carpark.list(None);
        while let Some(meta) = listing.next().await {
            let listed = match meta {
                Ok(meta) => super::update::listed(meta),
                Err(Error::NotFound { .. }) => None,
                Err(source) => {
                    return Err(IndexError::store("list", CARPARK, &Path::default(), source));
                }
            };
            let Some(listed) = listed else { continue };
            match known.list(&listed, listed.record(manifest.key())) {
                Standing::Indexed => {}
                Standing::New => findings.push(Finding::NotIndexed(listed.car)),
                Standing::Replaced(_) => findings.push(Finding::Replaced(listed.car)),
            }
        }
        findings.extend(known.unlisted().map(|(car, _)| Finding::Gone(car)));
        Ok(())
    }
}

/// Takes damage for a finding, and everything else for the error that it is.
fn note(error: IndexError, findings: &mut Vec<Finding>) -> Result<(), IndexError> {
    if !error.is_damage() {
        return Err(error);
    }
    findings.push(Finding::Damaged(error.to_string()));
    Ok(())
}

/// What a shard says of each block: its places, and whether others have it.
fn blocks(slice: &Slice, mut each: impl FnMut(Fingerprint, &[Place], bool)) {
    let mut entries = slice.entries().peekable();
    let mut places = Vec::new();
    while let Some(entry) = entries.next() {
        places.clear();
        places.extend(entry.place);
        let mut more = entry.more;
        while let Some(next) = entries.next_if(|next| next.fingerprint == entry.fingerprint) {
            places.extend(next.place);
            more |= next.more;
        }
        each(entry.fingerprint, &places, more);
    }
}
