//! Which manifest is the newest, as far as is known: read once, and asked about again when that is too long ago.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use hoverboard_index::manifest::{MAX_BYTES, Manifest};
use hoverboard_index::run::Run;
use hoverboard_index::tiers;
use object_store::Error;

use super::Inner;
use crate::layout;
use crate::ledger::{Account, Kind};
use crate::library::Failure;

/// Manifests are asked for one after the other so often, and then listed.
const STEPS: u32 = 8;
/// A manifest that was seen to be the newest so long ago may have a successor that was cleared away since: then they are
/// listed. They are cleared away after a day.
const FOLLOWED: Duration = Duration::from_secs(3600);
/// Listings that end with a manifest which is gone before it is read.
const LISTINGS: u32 = 3;

/// A manifest, and which of its runs are held in memory.
pub(super) struct View {
    pub(super) manifest: Manifest,
    resident: std::ops::Range<usize>,
}

impl View {
    fn new(manifest: Manifest) -> Arc<Self> {
        let resident = tiers::resident(&manifest.entries());
        Arc::new(Self { manifest, resident })
    }

    /// The runs that are held in memory, youngest first.
    pub(super) fn resident(&self) -> impl Iterator<Item = Run> {
        self.manifest.runs()[self.resident.clone()].iter().rev().copied()
    }

    /// The others, oldest first: that is the largest, where most blocks are.
    pub(super) fn paged(&self) -> impl Iterator<Item = Run> {
        self.manifest.runs()[..self.resident.start].iter().copied()
    }
}

impl Inner {
    /// The newest manifest. `None`: the bucket has no index. It is asked for again if that was found out too long ago, or
    /// if `unlike` is what is known: something that it names is gone.
    pub(super) async fn view(
        self: &Arc<Self>,
        unlike: Option<&Arc<View>>,
        account: &Account,
    ) -> Result<Option<Arc<View>>, Failure> {
        let known = {
            let shelves = self.shelves.lock();
            shelves.view.clone().map(|(at, view)| (shelves.now.saturating_sub(at), view))
        };
        let outdated = |view: &Option<Arc<View>>| {
            unlike.is_some_and(|old| view.as_ref().is_some_and(|view| Arc::ptr_eq(view, old)))
        };
        if let Some((age, view)) = &known
            && *age < self.settings.life
            && !outdated(view)
        {
            return Ok(view.clone());
        }
        let (inner, account) = (Arc::clone(self), account.clone());
        let load = self.views.join((), || {
            async move {
                let begun = inner.shelves.lock().now;
                let view = match known {
                    Some((age, Some(view))) if age < FOLLOWED => inner.follow(view, &account).await?,
                    _ => inner.newest(&account).await?,
                };
                let mut shelves = inner.shelves.lock();
                let residents: Vec<Run> = view.iter().flat_map(|view| view.resident()).collect();
                shelves.pages.keep_residents(&residents);
                shelves.view = Some((begun, view.clone()));
                Ok(view)
            }
            .boxed()
        });
        load.await
    }

    /// The newest manifest, given one that was the newest not long ago.
    async fn follow(self: &Arc<Self>, view: Arc<View>, account: &Account) -> Result<Option<Arc<View>>, Failure> {
        let mut newest = view;
        for _ in 0..STEPS {
            match self.manifest(newest.manifest.generation().saturating_add(1), account).await? {
                Some(manifest) => newest = View::new(manifest),
                None => return Ok(Some(newest)),
            }
        }
        self.newest(account).await
    }

    /// The newest manifest, by a listing.
    async fn newest(self: &Arc<Self>, account: &Account) -> Result<Option<Arc<View>>, Failure> {
        for _ in 0..LISTINGS {
            let prefix = layout::manifests();
            let generation = self.retrying(&prefix, || self.newest_generation(account)).await?;
            let Some(generation) = generation else { return Ok(None) };
            if let Some(manifest) = self.manifest(generation, account).await? {
                return Ok(Some(View::new(manifest)));
            }
        }
        Err(Failure::failed("manifests that are listed are not there"))
    }

    async fn newest_generation(&self, account: &Account) -> Result<Option<u64>, Failure> {
        let permit = account.request(Kind::List).await?;
        let mut listing = self.bucket.index.list(Some(&layout::manifests()));
        let mut newest = None;
        while let Some(entry) = self.in_time(listing.next()).await? {
            match entry {
                Ok(meta) => newest = newest.max(layout::generation(&meta.location)),
                // A folder that is not there.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(Failure::of(&error, account)),
            }
        }
        drop(permit);
        Ok(newest)
    }

    /// The manifest of a generation. `None`: there is none.
    async fn manifest(&self, generation: u64, account: &Account) -> Result<Option<Manifest>, Failure> {
        let key = layout::manifest(generation);
        let read = || async {
            let (bytes, _) = self.read(&key, 0..MAX_BYTES as u64, account).await?;
            let manifest = Manifest::decode(&bytes).map_err(Failure::wrong)?;
            if manifest.generation() != generation {
                return Err(Failure::wrong(format_args!("it is of generation {}", manifest.generation())));
            }
            Ok(manifest)
        };
        match self.retrying(&key, read).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(Failure::Gone) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
