//! The index brought up to date with CARPARK: CARs that are there and not indexed are added, those that are gone are
//! struck.
//!
//! It may be stopped or killed at any point: what was added stays, and the next time goes on from there. It may run
//! beside others that do the same.

use std::fmt;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use hoverboard_index::manifest::{Manifest, ManifestError};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt};

use super::change::{Completeness, Strike};
use super::gather::{Gathering, Listed};
use super::known::{Known, Standing};
use super::{Index, IndexError};
use crate::layout::{self, CARPARK};
use crate::{CarCid, import};

/// Runs at which those are merged that the tiers ask for, while CARs are still being added: so that readers never have
/// to look through many, and the pieces that a merge reads stay large.
pub const MANY_RUNS: usize = 12;

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Entries that are gathered before they are written as a run, at thirty bytes each: 1,000,000. Sorting and writing take
    /// as much again.
    pub run_entries: usize,
    /// CARs that are read at a time: 8.
    pub concurrency: usize,
    /// How indexes are uploaded where they have to be made.
    pub import: import::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self { run_entries: 1_000_000, concurrency: 8, import: import::Options::default() }
    }
}

/// Who wants to know how work on an index goes on.
pub trait Progress: Send + Sync {
    /// A CAR was indexed, of so many bytes and blocks. It counts for readers once it is [committed](Self::committed).
    fn indexed(&self, _car: &CarCid, _size: u64, _blocks: u64) {}

    /// The index has a new generation.
    fn committed(&self, _generation: u64) {}

    /// Something is wrong with an object: it was passed over.
    fn fault(&self, _what: &dyn fmt::Display) {}

    /// A step of so many was done.
    fn step(&self, _done: u64, _of: u64) {}
}

/// Nobody wants to know.
impl Progress for () {}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// CARs that were added.
    pub cars: u64,
    /// Their blocks.
    pub blocks: u64,
    /// CARs that are no longer there and were struck.
    pub gone: u64,
    /// CARs that could not be indexed.
    pub faults: u64,
    /// CARs that the index has now.
    pub indexed: u64,
}

impl Index {
    /// Brings the index up to date with CARPARK, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// The store fails, or the host says stop. A CAR that is damaged is told to `progress` and passed over; while there is
    /// one, the index is not complete, so that no block is said to be missing that may lie in it.
    pub async fn update(&self, options: &Options, progress: &dyn Progress) -> Result<Updated, IndexError> {
        let manifest = match self.newest().await? {
            Some(manifest) => manifest,
            None => self.begin(!self.has_cars().await?).await?,
        };
        let mut known = Known::new();
        known.read(self, &manifest).await?;
        self.update_from(&manifest, &mut known, options, progress).await
    }

    /// The same, given what is known to be indexed.
    pub(super) async fn update_from(
        &self,
        manifest: &Manifest,
        known: &mut Known,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Updated, IndexError> {
        let mut updated = Updated::default();
        let mut listing = self.bucket.carpark.list(None);
        let mut gathering = Gathering::new(self, manifest.key(), options.run_entries);
        let mut over = false;
        while !over {
            let mut unknown = Vec::new();
            while unknown.len() < PIECE {
                let listed = match listing.next().await {
                    Some(Ok(meta)) => listed(meta),
                    Some(Err(Error::NotFound { .. })) => continue,
                    Some(Err(source)) => {
                        return Err(IndexError::store("list", CARPARK, &Path::default(), source));
                    }
                    None => {
                        over = true;
                        break;
                    }
                };
                let Some(listed) = listed else { continue };
                match known.list(&listed, listed.record(manifest.key())) {
                    Standing::Indexed => {}
                    Standing::New => unknown.push((listed, Vec::new())),
                    Standing::Replaced(ordinals) => unknown.push((listed, ordinals)),
                }
            }
            let described = |(listed, replaces): (Listed, Vec<u32>)| async move {
                (listed.car, self.describe(listed, &options.import).await, replaces)
            };
            let mut described = stream::iter(unknown).map(described).buffered(options.concurrency.max(1));
            while let Some((car, described, replaces)) = described.next().await {
                self.check_stopped()?;
                match described {
                    Ok(described) => {
                        let blocks = self.gather(&described, &replaces, &mut gathering).await?;
                        updated.cars += 1;
                        updated.blocks += blocks;
                        progress.indexed(&described.car(), described.listed.size, blocks);
                    }
                    // A CAR that was removed while it was looked at is none.
                    Err(error) if error.is_missing() && self.find_car(&car).await?.is_none() => {}
                    Err(error @ (IndexError::Car { .. } | IndexError::Wrong { .. })) => {
                        updated.faults += 1;
                        progress.fault(&error);
                    }
                    Err(error) => return Err(error),
                }
                if gathering.is_full() {
                    let full =
                        std::mem::replace(&mut gathering, Gathering::new(self, manifest.key(), options.run_entries));
                    self.add(full, known, progress).await?;
                }
            }
        }
        self.add(gathering, known, progress).await?;
        updated.gone = self.strike_gone(known, progress).await?;
        self.commit(&mut Completeness(updated.faults == 0)).await?;
        updated.indexed = (known.indexed().count() as u64).saturating_sub(updated.gone);
        Ok(updated)
    }

    async fn add(&self, full: Gathering<'_>, known: &mut Known, progress: &dyn Progress) -> Result<(), IndexError> {
        if full.is_empty() {
            return Ok(());
        }
        if let Some(manifest) = full.commit(known.upto).await? {
            progress.committed(manifest.generation());
            known.read(self, &manifest).await?;
            if manifest.runs().len() >= MANY_RUNS {
                self.compact(false, progress).await?;
            }
        }
        Ok(())
    }

    /// Whether there is any CAR.
    pub(super) async fn has_cars(&self) -> Result<bool, IndexError> {
        let mut listing = self.bucket.carpark.list(None);
        while let Some(meta) = listing.next().await {
            match meta {
                Ok(meta) if layout::car_of_key(&meta.location).is_some() => return Ok(true),
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(source) => {
                    return Err(IndexError::store("list", CARPARK, &Path::default(), source));
                }
            }
        }
        Ok(false)
    }

    /// Strikes the CARs that the listing did not have, and that are not there when asked for one by one.
    async fn strike_gone(&self, known: &Known, progress: &dyn Progress) -> Result<u64, IndexError> {
        let (mut gone, mut count) = (Vec::new(), 0);
        for (car, ordinals) in known.unlisted() {
            self.check_stopped()?;
            if self.find_car(&car).await?.is_none() {
                gone.extend_from_slice(ordinals);
                count += 1;
            }
        }
        if let Some(manifest) = self.strike(gone).await? {
            progress.committed(manifest.generation());
        }
        Ok(count)
    }

    /// Strikes ordinals, and compacts where the manifest has no room for more of them.
    pub(super) async fn strike(&self, ordinals: Vec<u32>) -> Result<Option<Arc<Manifest>>, IndexError> {
        let mut last = None;
        for piece in ordinals.chunks(STRUCK_AT_ONCE) {
            let mut strike = Strike(piece.to_vec());
            last = match self.commit(&mut strike).await {
                Err(IndexError::Manifest(ManifestError::TooManyStruck)) => {
                    self.compact(true, &()).await?;
                    self.commit(&mut strike).await?
                }
                outcome => outcome?,
            };
        }
        Ok(last)
    }

    /// A CAR as it lies in CARPARK, at either of its keys. `None`: at neither.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub async fn find_car(&self, car: &CarCid) -> Result<Option<Listed>, IndexError> {
        for (key, blob) in [(layout::car(car), false), (layout::blob(car), true)] {
            match self.retrying(|| self.bucket.carpark.head(&key)).await {
                Ok(meta) => return Ok(Some(Listed { car: *car, blob, size: meta.size, e_tag: strong(meta.e_tag) })),
                Err(Error::NotFound { .. }) => {}
                Err(source) => return Err(IndexError::store("read", CARPARK, &key, source)),
            }
        }
        Ok(None)
    }
}

/// CARs that are looked for in a listing before those that are new are indexed.
const PIECE: usize = 64;
/// CARs that are struck by one change.
const STRUCK_AT_ONCE: usize = 2048;

pub(super) fn listed(meta: ObjectMeta) -> Option<Listed> {
    let (car, blob) = layout::car_of_key(&meta.location)?;
    Some(Listed { car, blob, size: meta.size, e_tag: strong(meta.e_tag) })
}

/// A weak ETag does not say which object it is.
fn strong(e_tag: Option<String>) -> Option<String> {
    e_tag.filter(|e_tag| !e_tag.starts_with("W/"))
}
