//! A store that counts what is asked of it, as R2 counts it for the bill.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What a listing gives at a time: each further thousand is another request.
const LISTED_AT_ONCE: u64 = 1000;

/// Requests so far, and what they brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Objects written, and listings, a thousand keys at a time. R2 calls them class A.
    pub(crate) writes: u64,
    /// Objects or ranges of them read, and heads; also of what is not there. R2 calls them class B.
    pub(crate) reads: u64,
    /// Bytes read.
    pub(crate) bytes: u64,
}

impl Requests {
    /// What R2 takes for these requests, in dollars. Removing is free, and so are bytes.
    pub(crate) fn dollars(&self) -> f64 {
        self.writes as f64 * 4.5e-6 + self.reads as f64 * 0.36e-6
    }
}

impl Add for Requests {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let Self { writes, reads, bytes } = other;
        Self { writes: self.writes + writes, reads: self.reads + reads, bytes: self.bytes + bytes }
    }
}

impl Sub for Requests {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        let Self { writes, reads, bytes } = earlier;
        Self { writes: self.writes - writes, reads: self.reads - reads, bytes: self.bytes - bytes }
    }
}

/// The counters of one or several stores.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    writes: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
    longest: AtomicU64,
}

impl Tally {
    pub(crate) fn requests(&self) -> Requests {
        Requests { writes: self.writes.load(Relaxed), reads: self.reads.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }

    /// The longest answer since this was asked last, in bytes.
    pub(crate) fn take_longest(&self) -> u64 {
        self.longest.swap(0, Relaxed)
    }
}

/// A store whose requests are counted.
#[derive(Debug)]
pub(crate) struct Counting {
    store: Arc<dyn ObjectStore>,
    tally: Arc<Tally>,
}

impl Counting {
    pub(crate) fn over(store: impl ObjectStore, tally: &Arc<Tally>) -> Arc<dyn ObjectStore> {
        Arc::new(Self { store: Arc::new(store), tally: Arc::clone(tally) })
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.tally.writes.fetch_add(1, Relaxed);
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unneeded("an upload in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.tally.reads.fetch_add(1, Relaxed);
        let head = options.head;
        let result = self.store.get_opts(location, options).await?;
        if !head {
            let bytes = result.range.end - result.range.start;
            self.tally.bytes.fetch_add(bytes, Relaxed);
            self.tally.longest.fetch_max(bytes, Relaxed);
        }
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.tally.writes.fetch_add(1, Relaxed);
        let tally = Arc::clone(&self.tally);
        let mut listed = 0;
        let count = move |entry: &Result<ObjectMeta>| {
            listed += u64::from(entry.is_ok());
            tally.writes.fetch_add(u64::from(listed > 1 && listed % LISTED_AT_ONCE == 1), Relaxed);
        };
        self.store.list(prefix).inspect(count).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(unneeded("a listing by folders"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unneeded("a copy"))
    }
}

/// What nothing that is measured asks for, and whose requests would not be counted right.
pub(crate) fn unneeded(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "the benchmark".to_owned() }
}
