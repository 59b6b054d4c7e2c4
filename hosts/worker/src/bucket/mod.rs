//! R2 as an object store, by its binding.
//!
//! It maps the calls, the conditions and the errors, and counts nothing: that is the ledger's part. Copying is not there, as
//! the binding has none.

mod answered;
mod body;
mod error;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use hoverboard_store::Bucket;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use worker::send::{SendFuture, SendWrapper};
use worker::{Conditional, Env, Object, Range as R2Range};

use self::answered::Answered;
use self::error::{NAME, failed, no_key, precondition};
use crate::config::{Buckets, Config};

/// Opens what the configuration names.
///
/// # Errors
///
/// A binding is missing, or is no bucket.
pub(crate) fn open(env: &Env, config: &Config) -> worker::Result<Bucket> {
    let store = |name: &str| -> worker::Result<Arc<dyn ObjectStore>> { Ok(Arc::new(R2::new(name, env.bucket(name)?))) };
    Ok(match &config.buckets {
        Buckets::One { prefix } => Bucket::under(&store("BUCKET")?, prefix),
        Buckets::Three => {
            // A deployment without it has no index: nothing is in that place.
            let index = store("INDEX").unwrap_or_else(|_| Arc::new(InMemory::new()));
            Bucket { carpark: store("CARPARK")?, dudewhere: store("DUDEWHERE")?, satnav: store("SATNAV")?, index }
        }
    })
}

/// One bucket.
#[derive(Clone)]
struct R2 {
    name: Arc<str>,
    /// A Worker has one thread: what belongs to it may be said to go to others, because there are none.
    bucket: SendWrapper<worker::Bucket>,
}

impl R2 {
    fn new(name: &str, bucket: worker::Bucket) -> Self {
        Self { name: name.into(), bucket: SendWrapper::new(bucket) }
    }

    async fn head(&self, location: &Path) -> Result<Object> {
        let found = self.bucket.head(location.as_ref()).await.map_err(|error| failed(location, &error))?;
        found.ok_or_else(|| no_key(location))
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            let meta = meta(location.clone(), &self.head(location).await?);
            options.check_preconditions(&meta)?;
            let range = 0..meta.size;
            return Ok(result(meta, range, GetResultPayload::Stream(stream::empty().boxed())));
        }
        let mut request = self.bucket.get(location.as_ref());
        // Asked for, so that nothing is read of an object that is another one by now; a list or `*` is only checked.
        if let Some(etag) = options.if_match.as_deref().filter(|etag| !etag.contains(['*', ','])) {
            request = request.only_if(Conditional { etag_matches: Some(bare(etag)), ..Conditional::default() });
        }
        if let Some(range) = &options.range {
            request = request.range(asked(range));
        }
        let found = request.execute().await.map_err(|error| failed(location, &error))?;
        let object = found.ok_or_else(|| no_key(location))?;
        let meta = meta(location.clone(), &object);
        let Some(body) = object.body() else { return Err(precondition(location)) };
        let body = body::Body::new(location.clone(), body).map_err(|error| failed(location, &error))?;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(|error| error::generic(error.into()))?,
            None => 0..meta.size,
        };
        let payload = GetResultPayload::Stream(body.chunks(range.end - range.start));
        Ok(result(meta, range, payload))
    }

    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = matches!(options.mode, PutMode::Create);
        let mut request = self.bucket.put(location.as_ref(), upload::joined(&payload));
        match options.mode {
            PutMode::Overwrite => {}
            PutMode::Create => {
                let condition = Conditional { etag_does_not_match: Some("*".to_owned()), ..Conditional::default() };
                request = request.only_if(condition);
            }
            PutMode::Update(version) => {
                let etag = version.e_tag.as_deref().map(bare).ok_or_else(|| precondition(location))?;
                request = request.only_if(Conditional { etag_matches: Some(etag), ..Conditional::default() });
            }
        }
        match request.execute().await.map_err(|error| failed(location, &error))? {
            Some(object) => Ok(PutResult {
                e_tag: Some(object.etag()),
                version: Some(object.version()),
                extensions: Default::default(),
            }),
            None if create => Err(error::exists(location)),
            None => Err(precondition(location)),
        }
    }

    /// One page of a listing.
    async fn page(&self, listing: &Listing, cursor: Option<String>) -> Result<Page> {
        let mut request = self.bucket.list();
        if let Some(prefix) = &listing.prefix {
            request = request.prefix(prefix);
        }
        if let Some(after) = &listing.after {
            request = request.start_after(after);
        }
        if listing.delimited {
            request = request.delimiter("/");
        }
        if let Some(cursor) = cursor {
            request = request.cursor(cursor);
        }
        let page = request.execute().await.map_err(|error| failed(&Path::default(), &error))?;
        let objects =
            page.objects().iter().map(|object| Ok(meta(Path::parse(object.key())?, object))).collect::<Result<_>>()?;
        let prefixes =
            page.delimited_prefixes().into_iter().map(|prefix| Ok(Path::parse(prefix)?)).collect::<Result<_>>()?;
        Ok(Page { objects, prefixes, next: page.truncated().then(|| page.cursor()).flatten() })
    }

    /// All pages of a listing, each asked for when the one before it is used up.
    fn pages(&self, listing: Listing) -> BoxStream<'static, Result<Page>> {
        let first = (self.clone(), listing, Some(None));
        stream::try_unfold(first, |(store, listing, cursor)| {
            SendFuture::new(async move {
                let Some(cursor) = cursor else { return Ok(None) };
                let mut page = store.page(&listing, cursor).await?;
                let next = page.next.take().map(Some);
                Ok(Some((page, (store, listing, next))))
            })
        })
        .boxed()
    }

    fn objects(&self, listing: Listing) -> BoxStream<'static, Result<ObjectMeta>> {
        let pages = self.pages(listing);
        pages.map_ok(|page| stream::iter(page.objects.into_iter().map(Ok))).try_flatten().boxed()
    }
}

/// What is listed.
struct Listing {
    prefix: Option<String>,
    after: Option<String>,
    delimited: bool,
}

/// A page of what was listed.
struct Page {
    objects: Vec<ObjectMeta>,
    prefixes: Vec<Path>,
    next: Option<String>,
}

impl Listing {
    /// All that lies under a prefix, which is whole segments of the keys.
    fn of(prefix: Option<&Path>) -> Self {
        let prefix = prefix.filter(|prefix| !prefix.as_ref().is_empty()).map(|prefix| format!("{prefix}/"));
        Self { prefix, after: None, delimited: false }
    }
}

#[async_trait]
impl ObjectStore for R2 {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        SendFuture::new(self.put(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        SendFuture::new(async {
            let upload = upload::Upload::begin(self.bucket.clone(), location.clone()).await?;
            Ok(Box::new(upload) as Box<dyn MultipartUpload>)
        })
        .await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (store, location) = (self.clone(), location.clone());
        SendFuture::new(Answered::new(async move { store.get(&location, options).await })).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Path| {
            let store = store.clone();
            SendFuture::new(async move {
                let deleted = store.bucket.delete(location.as_ref()).await;
                deleted.map(|()| location.clone()).map_err(|error| failed(&location, &error))
            })
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects(Listing::of(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects(Listing { after: Some(offset.to_string()), ..Listing::of(prefix) })
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut pages = self.pages(Listing { delimited: true, ..Listing::of(prefix) });
        let mut listed =
            ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Default::default() };
        while let Some(page) = pages.try_next().await? {
            listed.common_prefixes.extend(page.prefixes);
            listed.objects.extend(page.objects);
        }
        Ok(listed)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copying".to_owned(), implementer: self.to_string() })
    }
}

fn meta(location: Path, object: &Object) -> ObjectMeta {
    let uploaded = i64::try_from(object.uploaded().as_millis()).unwrap_or_default();
    ObjectMeta {
        location,
        last_modified: DateTime::<Utc>::from_timestamp_millis(uploaded).unwrap_or_default(),
        size: object.size(),
        e_tag: Some(object.etag()),
        version: Some(object.version()),
    }
}

fn result(meta: ObjectMeta, range: Range<u64>, payload: GetResultPayload) -> GetResult {
    GetResult { payload, meta, range, attributes: Attributes::default(), extensions: Default::default() }
}

/// The binding wants ETags without the quotes that HTTP puts around them.
fn bare(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn asked(range: &GetRange) -> R2Range {
    match range {
        GetRange::Bounded(range) => {
            R2Range::OffsetWithLength { offset: range.start, length: range.end.saturating_sub(range.start) }
        }
        GetRange::Offset(offset) => R2Range::OffsetToEnd { offset: *offset },
        GetRange::Suffix(suffix) => R2Range::Suffix { suffix: *suffix },
    }
}

impl fmt::Debug for R2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(NAME).field(&self.name).finish()
    }
}

impl fmt::Display for R2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}({})", self.name)
    }
}
