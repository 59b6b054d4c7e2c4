//! A store in memory whose clock is the test's, that is busy when it is written to too often, and that can crash.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::Instant;

/// What a store does as long as a test runs. All places of a bucket share it.
#[derive(Debug)]
pub(crate) struct World {
    begun: Instant,
    /// When each object was written, and when that was last tried.
    written: Mutex<HashMap<(usize, Path), Instant>>,
    tried: Mutex<HashMap<(usize, Path), Instant>>,
    /// One write a second on a key, and no more.
    pub(crate) busy: AtomicBool,
    /// Writes that are still done before it crashes.
    pub(crate) crash_after: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    pub(crate) reads: AtomicUsize,
    pub(crate) refused: AtomicUsize,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            written: Mutex::default(),
            tried: Mutex::default(),
            busy: AtomicBool::new(false),
            crash_after: AtomicUsize::new(usize::MAX),
            writes: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        })
    }

    /// Forgets a crash.
    pub(crate) fn restart(&self) {
        self.crash_after.store(usize::MAX, Ordering::Relaxed);
    }

    fn crashed(&self) -> Result<()> {
        match self.crash_after.load(Ordering::Relaxed) {
            0 => Err(error("crashed")),
            _ => Ok(()),
        }
    }

    /// A write is about to be made.
    fn write(&self, place: usize, key: &Path) -> Result<()> {
        self.crashed()?;
        let now = Instant::now();
        if self.busy.load(Ordering::Relaxed) {
            let mut tried = self.tried.lock().unwrap();
            let lately = tried.get(&(place, key.clone())).is_some_and(|at| now - *at < Duration::from_secs(1));
            if lately {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(error("429 Too Many Requests"));
            }
            tried.insert((place, key.clone()), now);
        }
        let left = self.crash_after.load(Ordering::Relaxed);
        if left != usize::MAX {
            self.crash_after.store(left - 1, Ordering::Relaxed);
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn date(&self, place: usize, mut meta: ObjectMeta) -> ObjectMeta {
        let written = self.written.lock().unwrap().get(&(place, meta.location.clone())).copied();
        let age = written.map_or(Duration::ZERO, |written| written - self.begun);
        meta.last_modified = Default::default();
        meta.last_modified += age;
        meta
    }
}

fn error(what: &'static str) -> Error {
    Error::Generic { store: "test", source: what.into() }
}

/// One place of a bucket.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) memory: Arc<InMemory>,
    place: usize,
    world: Arc<World>,
}

impl Store {
    pub(crate) fn new(place: usize, world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { memory: Arc::default(), place, world: Arc::clone(world) })
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("test")
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        // As long as a store takes to answer, so that others come between.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.world.write(self.place, location)?;
        let put = self.memory.put_opts(location, payload, options).await?;
        self.world.written.lock().unwrap().insert((self.place, location.clone()), Instant::now());
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.world.write(self.place, location)?;
        self.memory.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.world.crashed()?;
        self.world.reads.fetch_add(1, Ordering::Relaxed);
        let mut result = self.memory.get_opts(location, options).await?;
        result.meta = self.world.date(self.place, result.meta);
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (memory, place, world) = (Arc::clone(&self.memory), self.place, Arc::clone(&self.world));
        let delete = move |location: Result<Path>| {
            let (memory, world) = (Arc::clone(&memory), Arc::clone(&world));
            async move {
                let location = location?;
                world.write(place, &location)?;
                memory.delete(&location).await.map(|()| location)
            }
            .boxed()
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.world.crashed() {
            return stream::iter([Err(error)]).boxed();
        }
        let (place, world) = (self.place, Arc::clone(&self.world));
        self.memory.list(prefix).map(move |meta| meta.map(|meta| world.date(place, meta))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}
