//! A store in memory that counts what it is asked, holds CARs that are made as they are read, and fails on demand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::Car;
use super::cars::digest_of;

/// Bytes of the chunks in which it answers.
const CHUNK: u64 = 64 << 10;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    None,
    /// One request of ten: an error, no answer, a stalled, cut or damaged body.
    Some {
        seed: u64,
    },
    /// Every request fails.
    All,
    /// The platform allows no more requests.
    TooMany,
}

#[derive(Debug)]
pub(crate) struct Watched {
    memory: InMemory,
    cars: Mutex<BTreeMap<Path, (Arc<Car>, u64)>>,
    asked: AtomicUsize,
    faults: Mutex<Faults>,
    dice: AtomicU64,
    /// Every piece of an answer takes its time.
    pub(crate) slow: AtomicBool,
    /// Bodies that were opened and not dropped yet.
    pub(crate) open: Arc<AtomicUsize>,
    /// Bytes of CARs that were read.
    pub(crate) read: Arc<AtomicU64>,
}

/// What goes wrong with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Error,
    NoAnswer,
    Stalled,
    Cut,
    /// In one byte, each time another one.
    Damaged(u64),
}

impl Watched {
    pub(crate) fn new(memory: InMemory) -> Self {
        Self {
            memory,
            cars: Mutex::default(),
            asked: AtomicUsize::new(0),
            faults: Mutex::new(Faults::None),
            dice: AtomicU64::new(0),
            slow: AtomicBool::new(false),
            open: Arc::default(),
            read: Arc::default(),
        }
    }

    pub(crate) fn add(&self, key: Path, car: Arc<Car>) {
        let mut cars = self.cars.lock().unwrap();
        let version = cars.get(&key).map_or(0, |(_, version)| version + 1);
        cars.insert(key, (car, version));
    }

    pub(crate) fn remove(&self, key: &Path) {
        self.cars.lock().unwrap().remove(key);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn fail(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    /// Counts a request, and says what goes wrong with it.
    fn ask(&self) -> Result<Option<Fault>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let error = |source| object_store::Error::Generic { store: "test", source };
        match *self.faults.lock().unwrap() {
            Faults::None => Ok(None),
            Faults::All => Err(error("internal error".into())),
            Faults::TooMany => Err(error(hoverboard_store::ledger::TooManySubrequests.into())),
            Faults::Some { seed } => {
                let throw = digest_of(seed ^ self.dice.fetch_add(1, Ordering::Relaxed));
                let fault = match throw[0] {
                    0..5 => Fault::Error,
                    5..10 => Fault::NoAnswer,
                    10..15 => Fault::Stalled,
                    15..20 => Fault::Cut,
                    20..26 => Fault::Damaged(u64::from_be_bytes(throw[8..16].try_into().unwrap())),
                    _ => return Ok(None),
                };
                if fault == Fault::Error { Err(error("internal error".into())) } else { Ok(Some(fault)) }
            }
        }
    }

    async fn answer(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let car = self.cars.lock().unwrap().get(location).cloned();
        let Some((car, version)) = car else { return self.memory.get_opts(location, options).await };
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: Default::default(),
            size: car.size(),
            e_tag: Some(format!("\"{version}\"")),
            version: None,
        };
        options.check_preconditions(&meta)?;
        let range = match options.range {
            Some(range) => range
                .as_range(car.size())
                .map_err(|error| object_store::Error::Generic { store: "test", source: Box::new(error) })?,
            None => 0..car.size(),
        };
        let read = self.read.clone();
        let chunks = (range.start..range.end).step_by(CHUNK as usize);
        let upto = range.end;
        let body = stream::iter(chunks).map(move |start| {
            let bytes = car.bytes(start..(start + CHUNK).min(upto));
            read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(Bytes::from(bytes))
        });
        let body = match self.slow.load(Ordering::Relaxed) {
            true => body.then(|chunk| tokio::task::yield_now().map(|()| chunk)).boxed(),
            false => body.boxed(),
        };
        let payload = GetResultPayload::Stream(body);
        Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
    }
}

/// Counts as long as it is there.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spoil(fault: Option<Fault>, result: GetResult, open: Open) -> GetResult {
    let (meta, range) = (result.meta.clone(), result.range.clone());
    let cut = range.end.saturating_sub(range.start) / 2;
    let mut left = match fault {
        Some(Fault::Damaged(random)) => random % (range.end - range.start).max(1),
        _ => cut,
    };
    let body = result.into_stream();
    let body = match fault {
        Some(Fault::Damaged(random)) => body
            .map(move |chunk| {
                let mut chunk = chunk?.to_vec();
                if left < chunk.len() as u64 {
                    chunk[left as usize] ^= 1 << (random >> 61);
                    left = u64::MAX;
                } else {
                    left = left.saturating_sub(chunk.len() as u64);
                }
                Ok(Bytes::from(chunk))
            })
            .boxed(),
        Some(fault @ (Fault::Cut | Fault::Stalled)) => {
            let body = body.map(move |chunk| {
                let mut chunk = chunk?;
                chunk.truncate(left.min(chunk.len() as u64) as usize);
                left -= chunk.len() as u64;
                Ok(chunk)
            });
            let half = body.take_while(move |chunk| {
                std::future::ready(chunk.as_ref().is_ok_and(|chunk: &Bytes| !chunk.is_empty()))
            });
            match fault {
                Fault::Stalled => half.chain(stream::pending()).boxed(),
                _ => half.boxed(),
            }
        }
        _ => body,
    };
    let body = body.map(move |chunk| {
        let _open = &open;
        chunk
    });
    GetResult {
        payload: GetResultPayload::Stream(body.boxed()),
        meta,
        range,
        attributes: Default::default(),
        extensions: Default::default(),
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("test")
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        // One turn of the loop, as any store takes at least.
        tokio::task::yield_now().await;
        let fault = self.ask()?;
        if fault == Some(Fault::NoAnswer) {
            return std::future::pending().await;
        }
        let result = self.answer(location, options).await?;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(spoil(fault, result, Open(self.open.clone())))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.ask() {
            Ok(None) => self.memory.list(prefix),
            Ok(Some(Fault::NoAnswer | Fault::Stalled)) => stream::pending().boxed(),
            Ok(Some(_)) => {
                let error = object_store::Error::Generic { store: "test", source: "cut short".into() };
                self.memory.list(prefix).chain(stream::iter([Err(error)])).boxed()
            }
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.memory.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.memory.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.memory.delete_stream(locations)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}
