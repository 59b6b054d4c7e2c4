//! A part of a store that is read: what is asked of it is counted, and files come in pieces that suit a network.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use prometheus::IntCounter;

use crate::metrics::StoreMetrics;

/// Bytes of a file that are read at a time.
const PIECE: u64 = 128 << 10;

/// A store whose reads and listings are counted. What is written to it is not.
#[derive(Debug)]
pub(super) struct Counted {
    inner: Arc<dyn ObjectStore>,
    requests: IntCounter,
    errors: IntCounter,
    bytes: IntCounter,
}

impl Counted {
    /// `kind` is what the metrics call the requests.
    pub(super) fn new(inner: Arc<dyn ObjectStore>, kind: &str, metrics: &StoreMetrics) -> Arc<Self> {
        Arc::new(Self {
            inner,
            requests: metrics.requests.with_label_values(&[kind]),
            errors: metrics.errors.with_label_values(&[kind]),
            bytes: metrics.read_bytes.clone(),
        })
    }
}

/// Counts an answer that is an error, unless it says that there is no such object, or another one than was expected.
fn count_error<T>(errors: &IntCounter, result: &Result<T>) {
    if let Err(error) = result
        && !matches!(error, Error::NotFound { .. } | Error::Precondition { .. })
    {
        errors.inc();
    }
}

/// A range of a file, on threads that may block.
fn pieces(file: File, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let file = Arc::new(file);
    stream::try_unfold(range.start, move |at| {
        let file = Arc::clone(&file);
        let end = range.end.min(at.saturating_add(PIECE));
        async move {
            if at >= end {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || read_piece(&file, at..end)).await;
            let piece = read.unwrap_or_else(|error| Err(io::Error::other(error)));
            let piece = piece.map_err(|error| Error::Generic { store: "folder", source: Box::new(error) })?;
            Ok(Some((piece, end)))
        }
    })
    .boxed()
}

fn read_piece(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    // At most a piece.
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.requests.inc();
        let result = self.inner.get_opts(location, options).await;
        count_error(&self.errors, &result);
        let mut result = result?;
        let body = match result.payload {
            GetResultPayload::File(file, _) => pieces(file, result.range.clone()),
            GetResultPayload::Stream(stream) => stream,
        };
        let (bytes, errors) = (self.bytes.clone(), self.errors.clone());
        let body = body.inspect(move |chunk| {
            count_error(&errors, chunk);
            bytes.inc_by(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
        });
        result.payload = GetResultPayload::Stream(body.boxed());
        Ok(result)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.requests.inc();
        let errors = self.errors.clone();
        self.inner.list(prefix).inspect(move |entry| count_error(&errors, entry)).boxed()
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
