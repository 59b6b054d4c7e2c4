//! The bytes of a denylist, if they are other ones than before.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::{GetOptions, ObjectStore};
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{StatusCode, Url, redirect};

use super::source::Source;
use crate::catalog::stamp::Stamp;
use crate::store::{Access, Location, StoreError};

/// The most bytes of a list: ten times the largest one that is known.
const MAX_BYTES: u64 = 256 << 20;
/// How long a server may take to take up a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may be silent, and how long it may take in all.
const SILENCE: Duration = Duration::from_secs(30);
const WHOLE: Duration = Duration::from_secs(600);
/// How often a server may send on to another address.
const REDIRECTS: usize = 5;

/// What shows that a list has not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tag {
    /// A file's stamp
    Stamp(Stamp),
    /// A server's ETag
    Etag(String),
}

impl Tag {
    /// Whether any later change would show in it.
    pub(super) fn is_settled(&self) -> bool {
        match self {
            Self::Stamp(stamp) => stamp.is_settled(SystemTime::now()),
            Self::Etag(_) => true,
        }
    }
}

/// A list that was asked for.
#[derive(Debug)]
pub(super) enum Fetched {
    /// It is as the tag says
    Unchanged,
    /// Its bytes, and what shows that they are still these
    New(Bytes, Option<Tag>),
}

/// Why a list cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It cannot be read from the disk
    #[error("{0}")]
    File(#[from] io::Error),
    /// It is too large
    #[error("it has more than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// The server says something else
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The server cannot be reached, or does not finish
    #[error("{0}")]
    Http(String),
    /// The bucket cannot be opened
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object cannot be read
    #[error("{0}")]
    Object(#[from] object_store::Error),
}

/// Asks for a list, unless it is as `known` says.
pub(super) async fn fetch(source: &Source, known: Option<&Tag>) -> Result<Fetched, FetchError> {
    match source {
        Source::File(path) => {
            let (path, known) = (path.clone(), known.cloned());
            let read = tokio::task::spawn_blocking(move || read_file(&path, known.as_ref())).await;
            read.map_err(io::Error::other)?
        }
        Source::Url(url) => get(url, etag(known)).await,
        Source::Object(location) => match (location.bucket(Access::Read)?, location) {
            (Some(store), Location::S3 { prefix: key, .. }) => read_object(&*store, key, etag(known)).await,
            _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        },
    }
}

/// A file's stamp. It is of the file that is there now, which may be another one a moment later.
pub(super) fn stamp(path: &Path) -> io::Result<Stamp> {
    std::fs::metadata(path).map(|meta| Stamp::from(&meta))
}

fn etag(known: Option<&Tag>) -> Option<&str> {
    match known {
        Some(Tag::Etag(etag)) => Some(etag),
        _ => None,
    }
}

fn read_file(path: &Path, known: Option<&Tag>) -> Result<Fetched, FetchError> {
    let file = File::open(path)?;
    let stamp = Stamp::of(&file)?;
    if known == Some(&Tag::Stamp(stamp)) {
        return Ok(Fetched::Unchanged);
    }
    let mut bytes = Vec::new();
    (&file).take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FetchError::TooLarge);
    }
    // A file that changes as it is read is read again later.
    let same = Stamp::of(&file)? == stamp;
    Ok(Fetched::New(bytes.into(), same.then_some(Tag::Stamp(stamp))))
}

async fn get(url: &Url, known: Option<&str>) -> Result<Fetched, FetchError> {
    // TLS has no provider of its own here; a second call finds the first one's and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = redirect::Policy::limited(REDIRECTS);
    let client = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).timeout(WHOLE);
    // What begins encrypted stays so, wherever it is sent on to; what begins on this machine stays here.
    let client = match url.scheme() {
        "https" => client.https_only(true).redirect(redirects),
        _ => client.redirect(redirect::Policy::none()).no_proxy(),
    };
    let client = client.user_agent(concat!("hoverboard/", env!("CARGO_PKG_VERSION"))).build().map_err(http)?;
    let mut request = client.get(url.clone());
    if let Some(etag) = known {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let mut response = request.send().await.map_err(http)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Fetched::Unchanged),
        status => return Err(FetchError::Status(status)),
    }
    let tag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(|etag| Tag::Etag(etag.to_owned()));
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(http)? {
        take(&mut bytes, &chunk)?;
    }
    Ok(Fetched::New(bytes.into(), tag))
}

async fn read_object(
    store: &dyn ObjectStore,
    key: &object_store::path::Path,
    known: Option<&str>,
) -> Result<Fetched, FetchError> {
    let options = GetOptions { if_none_match: known.map(str::to_owned), ..GetOptions::default() };
    let read = async {
        let found = match store.get_opts(key, options).await {
            Ok(found) => found,
            Err(object_store::Error::NotModified { .. }) => return Ok(Fetched::Unchanged),
            Err(error) => return Err(error.into()),
        };
        let tag = found.meta.e_tag.clone().map(Tag::Etag);
        let mut bytes = Vec::new();
        let mut body = found.into_stream();
        while let Some(chunk) = body.next().await {
            take(&mut bytes, &chunk?)?;
        }
        Ok(Fetched::New(bytes.into(), tag))
    };
    let timed_out = |_| FetchError::Http(format!("no answer within {} s", WHOLE.as_secs()));
    tokio::time::timeout(WHOLE, read).await.map_err(timed_out)?
}

fn take(bytes: &mut Vec<u8>, chunk: &[u8]) -> Result<(), FetchError> {
    if (bytes.len() + chunk.len()) as u64 > MAX_BYTES {
        return Err(FetchError::TooLarge);
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}

/// The error and what is behind it, without the address, which may have a secret in it.
fn http(error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(behind) = source {
        text = format!("{text}: {behind}");
        source = behind.source();
    }
    FetchError::Http(text)
}
