//! What an index is like.

use hoverboard_index::manifest::Manifest;
use hoverboard_index::{PAGE_LEN, tiers};

/// What an index is like, by its manifest alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The manifest's number in the chain.
    pub generation: u64,
    /// When its writer says that it was made: milliseconds since 1970.
    pub at: u64,
    /// Whether it covers all of CARPARK, as of when that was last looked at.
    pub complete: bool,
    /// CARs that were ever given an ordinal, those that are gone included.
    pub ordinals: u32,
    /// CARs that were struck and whose entries still lie in runs.
    pub struck: usize,
    /// Runs.
    pub runs: usize,
    /// Runs that a reader holds in memory.
    pub resident: usize,
    /// Entries of all runs: one for each block and CAR, of at most four CARs a run.
    pub entries: u64,
    /// Bytes of all main pages. Overflow pages are some thousandths of it.
    pub bytes: u64,
    /// Objects of runs.
    pub shards: u64,
    /// Pieces of the CAR table.
    pub segments: usize,
}

impl Stats {
    /// The figures of a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        let runs = manifest.runs();
        let pages = |run: &hoverboard_index::run::Run| u64::from(run.shards()) * u64::from(run.shape.pages());
        Self {
            generation: manifest.generation(),
            at: manifest.at(),
            complete: manifest.complete(),
            ordinals: manifest.next_ordinal(),
            struck: manifest.struck().len(),
            runs: runs.len(),
            resident: tiers::resident(&manifest.entries()).len(),
            entries: runs.iter().map(|run| run.entries).sum(),
            bytes: runs.iter().map(pages).sum::<u64>() * PAGE_LEN as u64,
            shards: runs.iter().map(|run| u64::from(run.shards())).sum(),
            segments: manifest.segments().len(),
        }
    }
}
