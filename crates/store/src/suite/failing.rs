//! A bucket under which the ground gives way at the nth write, as in a crash: from then on nothing works.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::Bucket;

/// When it gives way, counted over all places together.
#[derive(Clone, Debug)]
pub(super) struct Crash {
    at: usize,
    /// Whether the write at which it happens is done, and only its answer lost.
    done: bool,
    writes: Arc<AtomicUsize>,
}

impl Crash {
    /// In the write of this number, counted from zero, which is lost.
    pub(super) fn before(write: usize) -> Self {
        Self { at: write, done: false, writes: Arc::default() }
    }

    /// In the write of this number, which is done but never answered.
    pub(super) fn after(write: usize) -> Self {
        Self { at: write, done: true, writes: Arc::default() }
    }

    /// The bucket, with this in store.
    pub(super) fn over(&self, bucket: &Bucket) -> Bucket {
        let wrap = |inner: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
            Arc::new(Failing { inner: Arc::clone(inner), crash: self.clone() })
        };
        Bucket {
            carpark: wrap(&bucket.carpark),
            dudewhere: wrap(&bucket.dudewhere),
            satnav: wrap(&bucket.satnav),
            index: wrap(&bucket.index),
        }
    }

    /// Makes a write, unless there was a crash before it or there is one now.
    async fn write<T>(self, write: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        if number < self.at {
            return write.await;
        }
        if number == self.at && self.done {
            write.await?;
        }
        Err(gone())
    }

    /// Whether it has happened.
    fn check(&self) -> Result<()> {
        match self.writes.load(Ordering::Relaxed) > self.at {
            true => Err(gone()),
            false => Ok(()),
        }
    }
}

fn gone() -> Error {
    Error::Generic { store: "crashed", source: "on purpose".into() }
}

/// One of the places.
#[derive(Debug)]
pub(super) struct Failing {
    inner: Arc<dyn ObjectStore>,
    crash: Crash,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failing({})", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.crash.clone().write(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.crash.clone().write(self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(FailingUpload { inner, crash: self.crash.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.crash.check()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.crash.check() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.crash.check() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.crash.check()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.crash.clone().write(self.inner.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FailingUpload {
    inner: Box<dyn MultipartUpload>,
    crash: Crash,
}

#[async_trait::async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.crash.clone().write(self.inner.put_part(data)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.crash.clone().write(self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.crash.check()?;
        self.inner.abort().await
    }
}
