//! Runs and segments of the CAR table as objects, read and written whole.
//!
//! Their keys are made from what determines their bytes, so a write that is done twice writes the same. It is a plain
//! put: an object that an earlier attempt left becomes young again, and is not cleared away while it is about to be named.

use bytes::Bytes;
use hoverboard_index::cars::{Record, Segment};
use hoverboard_index::manifest::Manifest;
use hoverboard_index::run::{Run, Slice};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::handle::may_pass;
use super::{Index, IndexError};
use crate::layout::INDEX;

/// The longest object of an index that is read whole, in bytes: a shard with all the overflow pages that it may have is
/// no longer, and nor is a segment.
const MAX_OBJECT: u64 = 1 << 30;

impl Index {
    /// Writes an object.
    pub(super) async fn put(&self, key: &Path, bytes: Bytes) -> Result<(), IndexError> {
        let len = bytes.len() as u64;
        let put = || self.bucket.index.put(key, PutPayload::from_bytes(bytes.clone()));
        let Err(source) = self.retrying(put).await else { return Ok(()) };
        // Several who merge the same runs write the same object, and a store may take one write a second on a key.
        match self.bucket.index.head(key).await {
            Ok(there) if may_pass(&source) && there.size == len => Ok(()),
            _ => Err(IndexError::store("write", INDEX, key, source)),
        }
    }

    /// Reads an object whole.
    pub(super) async fn get(&self, key: &Path) -> Result<Bytes, IndexError> {
        self.get_up_to(MAX_OBJECT, key).await
    }

    /// Reads an object whole; one that is longer than this is none of ours.
    pub(super) async fn get_up_to(&self, most: u64, key: &Path) -> Result<Bytes, IndexError> {
        let read = || async {
            let result = self.bucket.index.get(key).await?;
            match result.meta.size <= most {
                true => result.bytes().await.map(Ok),
                false => Ok(Err(result.meta.size)),
            }
        };
        match self.retrying(read).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(size)) => Err(IndexError::wrong(key, format_args!("it has {size} bytes"))),
            Err(source) => Err(IndexError::store("read", INDEX, key, source)),
        }
    }

    /// One shard of a run.
    pub(super) async fn shard(&self, run: &Run, shard: u32) -> Result<Slice, IndexError> {
        let key = Path::from(run.shard_key(shard));
        let bytes = self.get(&key).await?;
        Slice::whole(run, shard, bytes).map_err(|error| IndexError::wrong(&key, error))
    }

    /// All records of a segment, in the order of their ordinals.
    pub(super) async fn segment(&self, segment: &Segment) -> Result<Vec<Record>, IndexError> {
        let key = Path::from(segment.object_key());
        let bytes = self.get(&key).await?;
        segment.records(&bytes).map_err(|error| IndexError::wrong(&key, error))
    }

    /// The records of the ordinals from `first` on.
    pub(super) async fn records_from(&self, manifest: &Manifest, first: u32) -> Result<Vec<(u32, Record)>, IndexError> {
        let mut found = Vec::new();
        for segment in manifest.segments().iter().filter(|segment| segment.ordinals().end > first) {
            let records = self.segment(segment).await?;
            found.extend((segment.first..).zip(records).filter(|(ordinal, _)| *ordinal >= first));
        }
        Ok(found)
    }
}
