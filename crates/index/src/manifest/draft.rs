//! The next generation, in the making.

use super::{MAX_RUNS, MAX_SEGMENTS, MAX_STRUCK, Manifest, ManifestError};
use crate::cars::{Segment, Table};
use crate::run::{Fresh, Run};
use crate::{ObjectId, Struck};

/// The next generation until it is finished. It depends on the one that it was drafted from: when somebody else commits
/// first, the changes are drafted again from theirs.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) manifest: Manifest,
}

/// CARs that come in: their records and the run over them, whose objects are written already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    table: ObjectId,
    run: Fresh,
}

impl Addition {
    /// The addition of a run and its CARs' records. `None`: they are not over the same number of CARs.
    pub fn new(table: &Table, run: Fresh) -> Option<Self> {
        (table.cars == run.cars).then_some(Self { table: table.id, run })
    }
}

impl Draft {
    /// The manifest as it would be.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Says whether every CAR of the bucket is in the runs.
    pub const fn set_complete(&mut self, complete: bool) {
        self.manifest.complete = complete;
    }

    /// Adds CARs and the run over them. Gives the ordinal of the first; the others follow.
    ///
    /// # Errors
    ///
    /// A bound is reached, or the run has no CAR or no entry. The draft is as before.
    pub fn append(&mut self, addition: Addition) -> Result<u32, ManifestError> {
        let Addition { table, run } = addition;
        let first = self.manifest.next;
        let next = first.checked_add(run.cars);
        let mut changed = self.manifest.clone();
        changed.next = next.ok_or(ManifestError::Ordinals)?;
        changed.segments.push(Segment { id: table, first, cars: run.cars });
        changed.runs.push(run.at(first));
        changed.check_segments()?;
        changed.check_runs()?;
        self.manifest = changed;
        Ok(first)
    }

    /// Strikes CARs: their entries count no more. Those that lie in no run are passed over. Gives how many are new.
    ///
    /// # Errors
    ///
    /// More than [`MAX_STRUCK`] would be struck. The draft is as before.
    pub fn strike(&mut self, cars: impl IntoIterator<Item = u32>) -> Result<usize, ManifestError> {
        let mut struck = self.manifest.struck.clone();
        let mut new = 0;
        for car in cars {
            if self.manifest.runs.iter().any(|run| run.ordinals().contains(&car)) {
                new += usize::from(struck.insert(car));
            }
            if struck.len() > MAX_STRUCK {
                return Err(ManifestError::TooManyStruck);
            }
        }
        self.manifest.struck = struck;
        Ok(new)
    }

    /// Puts the result of a merge in the place of its inputs; if it has no entry, nothing. `left_out` are the CARs whose
    /// entries the merge dropped: they need be struck no more.
    ///
    /// # Errors
    ///
    /// The inputs are not there any more, one behind the other, or the result is over other CARs. The draft is as before.
    pub fn replace_runs(&mut self, inputs: &[Run], merged: Run, left_out: &Struck) -> Result<(), ManifestError> {
        let runs = &self.manifest.runs;
        let (first, last) = inputs.first().zip(inputs.last()).ok_or(ManifestError::Replaced)?;
        let at = runs.windows(inputs.len()).position(|window| window == inputs).ok_or(ManifestError::Replaced)?;
        let ordinals = first.first..last.ordinals().end;
        if merged.ordinals() != ordinals {
            return Err(ManifestError::Run(at));
        }
        let mut changed = self.manifest.clone();
        changed.runs.splice(at..at + inputs.len(), (merged.entries > 0).then_some(merged));
        changed.check_runs()?;
        changed.struck.retain(|car| !(ordinals.contains(&car) && left_out.contains(car)));
        self.manifest = changed;
        self.forget_struck();
        Ok(())
    }

    /// Takes runs out that are lost, and with them all that they say. Only after their CARs were added
    /// anew, by [`append`](Self::append): or else what they alone had would be taken for missing.
    ///
    /// # Errors
    ///
    /// One is not there any more. The draft is as before.
    pub fn remove_runs(&mut self, lost: &[Run]) -> Result<(), ManifestError> {
        if !lost.iter().all(|run| self.manifest.runs.contains(run)) {
            return Err(ManifestError::Replaced);
        }
        self.manifest.runs.retain(|run| !lost.contains(run));
        self.forget_struck();
        Ok(())
    }

    /// Puts one piece of the CAR table, which has the same records, in the place of several.
    ///
    /// # Errors
    ///
    /// They are not there any more, one behind the other, or the new one has another number of records.
    pub fn replace_segments(&mut self, inputs: &[Segment], joined: &Table) -> Result<(), ManifestError> {
        let segments = &self.manifest.segments;
        let first = inputs.first().ok_or(ManifestError::Replaced)?.first;
        let at = segments.windows(inputs.len()).position(|window| window == inputs).ok_or(ManifestError::Replaced)?;
        let joined = Segment { id: joined.id, first, cars: joined.cars };
        let mut changed = self.manifest.clone();
        changed.segments.splice(at..at + inputs.len(), [joined]);
        changed.check_segments()?;
        self.manifest = changed;
        Ok(())
    }

    /// The manifest and the bytes to create under [`Manifest::object_key`].
    ///
    /// # Errors
    ///
    /// The manifest would not be read back, which the bounds on its parts rule out.
    pub fn finish(self) -> Result<(Manifest, Vec<u8>), ManifestError> {
        let bytes = self.manifest.encode();
        Ok((Manifest::decode(&bytes)?, bytes))
    }

    /// Forgets CARs that were struck and lie in no run any more.
    fn forget_struck(&mut self) {
        let runs = &self.manifest.runs;
        self.manifest.struck.retain(|car| runs.iter().any(|run| run.ordinals().contains(&car)));
    }
}

const _: () = assert!(MAX_RUNS * 64 + MAX_SEGMENTS * 32 + MAX_STRUCK * 5 + 256 <= super::MAX_BYTES);
