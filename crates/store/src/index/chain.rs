//! The chain of manifests: which is the newest, and how the next one comes about.
//!
//! A manifest is created and never overwritten. Whoever wants to change something reads the newest, writes the objects
//! that the next one is to name, and creates that. Of two who do so at once the store lets one create it; the other
//! does the same upon the manifest of the first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use hoverboard_index::Key;
use hoverboard_index::manifest::{MAX_BYTES, Manifest};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, PutMode};

use super::backoff::Backoff;
use super::handle::may_pass;
use super::{Index, IndexError};
use crate::layout::{self, INDEX};

/// How often a change is tried: fifty writers at once are through before that.
const TRIES: u32 = 120;
/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(4);
/// Manifests that come after one another are looked for one by one so far, and then listed.
const STEPS: u32 = 64;

/// A change of the index, to be made upon whatever manifest is the newest.
pub(super) trait Change: Send {
    /// The manifest after `newest`, and its bytes; every object that it names is written. The same change upon the same
    /// manifest gives the same bytes. `None`: there is nothing to change, or nothing any more.
    fn upon<'a>(&'a mut self, index: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a>;
}

/// What a change makes of a manifest.
pub(super) type Made<'a> = BoxFuture<'a, Result<Option<(Manifest, Vec<u8>)>, IndexError>>;

impl Index {
    /// The newest manifest, by a listing. `None`: the bucket has no index.
    ///
    /// # Errors
    ///
    /// The store fails, or the newest manifest is damaged.
    pub async fn newest(&self) -> Result<Option<Arc<Manifest>>, IndexError> {
        let mut backoff = Backoff::new(self.host.random(), TRIES, LONGEST);
        loop {
            let listed = self.manifests().await?;
            let Some(newest) = listed.iter().filter_map(|meta| layout::generation(&meta.location)).max() else {
                return Ok(None);
            };
            match self.load(newest).await {
                Ok(Some((manifest, _))) => return self.follow(Arc::new(manifest)).await.map(Some),
                // Others made newer ones, and cleared this one away.
                Ok(None) => match backoff.next() {
                    Some(wait) => self.host.sleep(wait).await,
                    None => return Err(IndexError::wrong(&layout::manifest(newest), "it is listed and is not there")),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// The newest manifest, made if there is none: the first one, with a new key. `complete` says whether it covers the
    /// whole bucket, as it does while there is no CAR.
    ///
    /// # Errors
    ///
    /// As for [`newest`](Self::newest).
    pub async fn begin(&self, complete: bool) -> Result<Arc<Manifest>, IndexError> {
        if let Some(manifest) = self.newest().await? {
            return Ok(manifest);
        }
        let (key, at) = (Key::new(self.host.random()), self.host.unix_ms());
        let manifest = if complete { Manifest::first_of_empty(key, at) } else { Manifest::first(key, at) };
        match self.create(&manifest, &manifest.encode()).await {
            Ok(()) => Ok(Arc::new(manifest)),
            // Somebody else was first, or it is ours and the answer was lost.
            Err(_) => self.newest().await?.ok_or(IndexError::NoIndex),
        }
    }

    /// All manifests that are there.
    pub(super) async fn manifests(&self) -> Result<Vec<ObjectMeta>, IndexError> {
        self.list(&layout::manifests()).await
    }

    /// Everything of the index under a prefix. A folder that is not there is as good as an empty one.
    pub(super) async fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>, IndexError> {
        let list = || async {
            let mut found = Vec::new();
            let mut listing = self.bucket.index.list(Some(prefix));
            while let Some(meta) = listing.next().await {
                match meta {
                    Ok(meta) => found.push(meta),
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        };
        self.retrying(list).await.map_err(|source| IndexError::store("list", INDEX, prefix, source))
    }

    /// The manifest of a generation, and its bytes. `None`: it is not there.
    pub(super) async fn load(&self, generation: u64) -> Result<Option<(Manifest, Bytes)>, IndexError> {
        let key = layout::manifest(generation);
        match self.get_up_to(MAX_BYTES as u64, &key).await {
            Ok(bytes) => match Manifest::decode(&bytes) {
                Ok(manifest) if manifest.generation() == generation => Ok(Some((manifest, bytes))),
                Ok(manifest) => {
                    Err(IndexError::wrong(&key, format_args!("it is of generation {}", manifest.generation())))
                }
                Err(error) => Err(IndexError::wrong(&key, error)),
            },
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest manifest, given one that was the newest not long ago.
    async fn follow(&self, mut manifest: Arc<Manifest>) -> Result<Arc<Manifest>, IndexError> {
        for _ in 0..STEPS {
            match self.load(manifest.generation() + 1).await? {
                Some((next, _)) => manifest = Arc::new(next),
                None => break,
            }
        }
        Ok(manifest)
    }

    /// Creates a manifest.
    async fn create(&self, manifest: &Manifest, bytes: &[u8]) -> Result<(), Error> {
        let payload = Bytes::copy_from_slice(bytes).into();
        let key = layout::manifest(manifest.generation());
        self.bucket.index.put_opts(&key, payload, PutMode::Create.into()).await.map(drop)
    }

    /// Makes a change. `None`: there was nothing to change.
    ///
    /// # Errors
    ///
    /// The store fails, the manifest has no room, or others were always first.
    pub(super) async fn commit(&self, change: &mut dyn Change) -> Result<Option<Arc<Manifest>>, IndexError> {
        // The same in every try, so that what is made upon the same manifest has the same bytes.
        let at = self.host.unix_ms();
        let mut backoff = Backoff::new(self.host.random(), TRIES, LONGEST);
        let mut newest = self.newest().await?.ok_or(IndexError::NoIndex)?;
        loop {
            self.check_stopped()?;
            let Some((next, bytes)) = change.upon(self, &newest, at).await? else { return Ok(None) };
            let key = layout::manifest(next.generation());
            let failure = match self.create(&next, &bytes).await {
                Ok(()) => return Ok(Some(Arc::new(next))),
                Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => error,
                Err(error) if may_pass(&error) => error,
                Err(source) => return Err(IndexError::store("write", INDEX, &key, source)),
            };
            let Some(wait) = backoff.next() else {
                return Err(match failure {
                    Error::AlreadyExists { .. } | Error::Precondition { .. } => IndexError::Contended(TRIES),
                    source => IndexError::store("write", INDEX, &key, source),
                });
            };
            self.host.sleep(wait).await;
            match self.load(next.generation()).await? {
                // It was created, and the answer was lost.
                Some((_, there)) if there == bytes => return Ok(Some(Arc::new(next))),
                Some((there, _)) => newest = self.follow(Arc::new(there)).await?,
                None => {}
            }
        }
    }
}
