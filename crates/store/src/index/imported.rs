//! CARs that were just imported, added to the index as they are: nothing of them is read again.

use super::gather::Gathering;
use super::known::{Known, Standing};
use super::{Index, IndexError, Progress};
use crate::import::Surveyed;

/// An import that keeps the index up to date.
pub struct Importing {
    index: Index,
    known: Known,
    run_entries: usize,
}

/// Runs up to so many entries are merged by an import itself; larger merges are for `hoverboard index`.
const SMALL_MERGE: u64 = 1 << 20;

impl Importing {
    /// Begins an import, and an index with it if the bucket is empty. `None`: the bucket has CARs and no index. One that has
    /// only what is imported now would say that blocks of the others are missing.
    ///
    /// # Errors
    ///
    /// The store fails, or the index is damaged.
    pub async fn begin(index: Index, run_entries: usize) -> Result<Option<Self>, IndexError> {
        let manifest = match index.newest().await? {
            Some(manifest) => manifest,
            None if index.has_cars().await? => return Ok(None),
            None => index.begin(true).await?,
        };
        let mut known = Known::new();
        known.read(&index, &manifest).await?;
        Ok(Some(Self { index, known, run_entries }))
    }

    /// Adds CARs that are in the bucket, in one change. Says how many were not indexed before.
    ///
    /// # Errors
    ///
    /// The store fails, or others always came first. What is not added, `hoverboard index` adds later.
    pub async fn add(&mut self, imported: &[Surveyed]) -> Result<u64, IndexError> {
        let Self { index, known, run_entries } = self;
        let manifest = index.newest().await?.ok_or(IndexError::NoIndex)?;
        known.read(index, &manifest).await?;
        let mut gathering = Gathering::new(index, manifest.key(), *run_entries);
        let mut added = 0;
        for surveyed in imported {
            // One that somebody has removed meanwhile is not added.
            let Some(listed) = index.find_car(&surveyed.car).await? else { continue };
            let replaces = match known.list(&listed, listed.record(manifest.key())) {
                Standing::Indexed => continue,
                Standing::New => Vec::new(),
                Standing::Replaced(ordinals) => ordinals,
            };
            index.gather_surveyed(&listed, surveyed, &replaces, &mut gathering).await?;
            added += 1;
        }
        if let Some(manifest) = gathering.commit(known.upto).await? {
            known.read(index, &manifest).await?;
        }
        Ok(added)
    }

    /// Merges the small runs that imports leave behind.
    ///
    /// # Errors
    ///
    /// The store fails, or a run is damaged. What was added stays.
    pub async fn finish(self, progress: &dyn Progress) -> Result<(), IndexError> {
        self.index.compact_up_to(SMALL_MERGE, false, progress).await.map(drop)
    }
}
