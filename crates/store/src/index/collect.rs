//! Objects of the index that nobody needs any more.
//!
//! A run or a segment is removed when no manifest names it that was the newest within the last hour, and it is older than
//! a day: a reader with an old manifest, and a writer that is slow, still find what they need. What time it is the store
//! says, by when the newest manifest was written: our clock and its may differ.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use hoverboard_index::manifest::Manifest;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt};

use super::{Index, IndexError};
use crate::layout::{self, INDEX};

/// For how long after it was the newest a manifest may be read by, in milliseconds.
const READ_FOR: i64 = 60 * 60 * 1000;
/// How old an object has to be before it is removed, in milliseconds.
const MIN_AGE: i64 = 24 * READ_FOR;
/// Removals at a time.
const AT_ONCE: usize = 8;

/// Objects that no manifest names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Those that may be removed: old enough, and named by no manifest that a reader may have.
    pub removable: Vec<Path>,
    /// Bytes of these.
    pub bytes: u64,
    /// How many others no current manifest names: they may be about to be named, or still be read.
    pub young: usize,
}

impl Index {
    /// Finds the objects that nobody needs any more, manifests among them.
    ///
    /// # Errors
    ///
    /// The store fails, or a manifest of the last hour is damaged.
    pub async fn orphans(&self) -> Result<Orphans, IndexError> {
        let mut manifests: Vec<(u64, i64, ObjectMeta)> =
            self.manifests().await?.into_iter().filter_map(dated).collect();
        manifests.sort_unstable_by_key(|(generation, ..)| *generation);
        let Some((_, now, _)) = manifests.last().cloned() else { return Ok(Orphans::default()) };
        // Each was the newest until the one after it was written.
        let until = manifests.iter().skip(1).map(|(_, written, _)| *written).chain([i64::MAX]);
        let needed: Vec<bool> = until.map(|until| until > now.saturating_sub(READ_FOR)).collect();
        let (mut current, mut named) = (HashSet::new(), HashSet::new());
        for ((generation, ..), _) in manifests.iter().zip(&needed).filter(|(_, needed)| **needed) {
            match self.load(*generation).await? {
                Some((manifest, _)) => {
                    current = objects(&manifest);
                    named.extend(current.iter().cloned());
                }
                // Somebody else removes at the same time, by the same rule at a later time.
                None => return Ok(Orphans::default()),
            }
        }
        let mut orphans = Orphans::default();
        let old = |written: i64| written < now.saturating_sub(MIN_AGE);
        for prefix in [layout::runs(), layout::segments()] {
            for meta in self.list(&prefix).await? {
                if named.contains(&meta.location) {
                    orphans.young += usize::from(!current.contains(&meta.location));
                } else if old(meta.last_modified.timestamp_millis()) {
                    orphans.bytes += meta.size;
                    orphans.removable.push(meta.location);
                } else {
                    orphans.young += 1;
                }
            }
        }
        for ((_, written, meta), _) in manifests.into_iter().zip(needed).filter(|(_, needed)| !needed) {
            if old(written) {
                orphans.bytes += meta.size;
                orphans.removable.push(meta.location);
            }
        }
        Ok(orphans)
    }

    /// Removes what [`orphans`](Self::orphans) found.
    ///
    /// # Errors
    ///
    /// The store fails, or the host says stop. The rest is found again.
    pub async fn collect(&self, orphans: &Orphans) -> Result<(), IndexError> {
        let remove = |key: Path| async move {
            self.check_stopped()?;
            match self.retrying(|| self.bucket.index.delete(&key)).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(source) => Err(IndexError::store("remove", INDEX, &key, source)),
            }
        };
        let mut removals = stream::iter(orphans.removable.iter().cloned()).map(remove).buffered(AT_ONCE);
        while let Some(removed) = removals.next().await {
            removed?;
        }
        Ok(())
    }
}

fn dated(meta: ObjectMeta) -> Option<(u64, i64, ObjectMeta)> {
    Some((layout::generation(&meta.location)?, meta.last_modified.timestamp_millis(), meta))
}

/// The keys of all objects that a manifest names.
pub(super) fn objects(manifest: &Manifest) -> HashSet<Path> {
    let shards = manifest.runs().iter().flat_map(|run| (0..run.shards()).map(move |shard| run.shard_key(shard)));
    let segments = manifest.segments().iter().map(|segment| segment.object_key());
    shards.chain(segments).map(Path::from).collect()
}
