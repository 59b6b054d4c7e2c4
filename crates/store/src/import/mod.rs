//! A CAR into the bucket: the file, its index, and the roots it is found by.
//!
//! It takes two passes over the file, because the file's key is its own hash and nothing may be written of a file that
//! is damaged further on:
//!
//! 1. [`Survey`] is pushed every byte. It hashes each block against its CID, hashes the whole, makes the index and
//!    settles the roots. It does no I/O, so a pipe can be surveyed while it is spooled.
//! 2. [`import`] writes what the [`Surveyed`] says, reading from a [`Source`]: the CAR in parts, then its index, then
//!    an entry for each root.
//!
//! The order is what makes a crash harmless. An entry is written when all that it leads to is there, so a reader never
//! follows one to nothing; what was written before a crash is found by its size and kept when the import is run again.
//! An upload in parts becomes visible as a whole or not at all.
//!
//! # What is written of a CARv2
//!
//! Its payload, which is a CARv1. Offsets in an index count from the payload's start, so with the envelope gone they
//! count from the start of the object, and a reader needs to know nothing else. The CAR CID is that of the payload.

mod error;
mod frozen;
mod hash;
mod roots;
mod source;
mod survey;
mod upload;

use cid::Cid;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

pub use self::error::ImportError;
pub use self::roots::MAX_FOUND_ROOTS;
pub use self::source::Source;
pub use self::survey::{SectionLen, Survey, Surveyed};

use self::upload::Upload;
use crate::layout::{self, CARPARK, DUDEWHERE, SATNAV};
use crate::{Bucket, CarCid};

/// How much is sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a part of an upload; what is no longer goes in one request. S3 refuses less than 5 MiB, and takes at
    /// most 10,000 parts: of a CAR that would need more, parts are larger.
    pub part_size: usize,
    /// Parts, or entries, on their way at once. At least one. It bounds memory: so many parts are held, and one more.
    pub concurrency: usize,
}

impl Default for Options {
    /// Four parts of 8 MiB.
    fn default() -> Self {
        Self { part_size: 8 << 20, concurrency: 4 }
    }
}

/// What a host wants to know of an import while it runs, and whether it should go on.
pub trait Watch: Send + Sync {
    /// So many more bytes of the CAR are in the bucket, or were there already.
    fn done(&self, bytes: u64);
    /// Whether to stop. It is asked between parts: the upload is given up, and nothing of it stays.
    fn stopped(&self) -> bool;
}

/// Nobody watches.
impl Watch for () {
    fn done(&self, _: u64) {}

    fn stopped(&self) -> bool {
        false
    }
}

/// What an import did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Objects written: CAR, index and entries. Zero if all was there.
    pub objects: usize,
    /// Bytes written, of all of them.
    pub bytes: u64,
}

impl Imported {
    fn wrote(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Writes a CAR that was surveyed, its index, and its entries, in this order; what is there already is left alone.
///
/// `source` must have the bytes that were surveyed. They are hashed once more on their way.
///
/// # Errors
///
/// The source cannot be read or has changed, the store fails, or `watch` says stop. It is safe to run the import again.
pub async fn import(
    bucket: &Bucket,
    surveyed: &Surveyed,
    source: &dyn Source,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Imported, ImportError> {
    let car = &surveyed.car;
    let target = Target { store: &*bucket.carpark, place: CARPARK, key: layout::car(car) };
    let len = surveyed.payload.end - surveyed.payload.start;
    let was_there = target.has(len).await?;
    if was_there {
        watch.done(len);
    } else {
        let upload = Upload { target, options, watch };
        upload.run(source, surveyed.payload.clone(), Some(car)).await?;
    }
    let mut imported = describe(bucket, surveyed, options, watch).await?;
    if !was_there {
        imported.wrote(len);
    }
    Ok(imported)
}

/// Writes what is found of a CAR that lies in the bucket: its index, and its entries. What is there already is left alone.
///
/// # Errors
///
/// The store fails, or `watch` says stop. It is safe to do it again.
pub(crate) async fn describe(
    bucket: &Bucket,
    surveyed: &Surveyed,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Imported, ImportError> {
    let car = &surveyed.car;
    let mut imported = Imported { objects: 0, bytes: 0 };
    let target = Target { store: &*bucket.satnav, place: SATNAV, key: layout::index(car) };
    let len = surveyed.index.len() as u64;
    if !target.has(len).await? {
        let upload = Upload { target, options, watch: &Unmeasured(watch) };
        upload.run(&surveyed.index, 0..len, None).await?;
        imported.wrote(len);
    }

    let mut entries = stream::iter(surveyed.roots.iter().copied())
        .map(|root| enter(&*bucket.dudewhere, root, car, watch))
        .buffer_unordered(options.concurrency.max(1));
    while let Some(written) = entries.try_next().await? {
        if written {
            imported.wrote(0);
        }
    }
    drop(entries);
    Ok(imported)
}

/// Makes an entry for a root; says whether there was none.
async fn enter(store: &dyn ObjectStore, root: Cid, car: &CarCid, watch: &dyn Watch) -> Result<bool, ImportError> {
    let target = Target { store, place: DUDEWHERE, key: layout::entry(&root, car) };
    if target.has(0).await? {
        return Ok(false);
    }
    if watch.stopped() {
        return Err(ImportError::Stopped);
    }
    let put = store.put(&target.key, PutPayload::default()).await;
    put.map(|_| true).map_err(|source| target.failed(source))
}

/// An object that is to be there.
struct Target<'a> {
    store: &'a dyn ObjectStore,
    place: &'static str,
    key: Path,
}

impl Target<'_> {
    /// Whether it is there and has this length. Keys are made from the content, so one of another length is broken.
    async fn has(&self, len: u64) -> Result<bool, ImportError> {
        match self.store.head(&self.key).await {
            Ok(meta) => Ok(meta.size == len),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: object_store::Error) -> ImportError {
        ImportError::store(self.place, &self.key, source)
    }
}

/// Passes on the question whether to stop, and not the bytes, which are no bytes of the CAR.
struct Unmeasured<'a>(&'a dyn Watch);

impl Watch for Unmeasured<'_> {
    fn done(&self, _: u64) {}

    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}
