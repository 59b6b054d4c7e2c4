//! An index too large for memory: its tables are known, and their pages are read as they are needed and shared.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt;
use multihash::Multihash;

use super::compact::{Builder, Compact};
use super::directory::{Directory, Table};
use super::hunt::{Hunt, Look};
use super::{Found, Read};
use crate::ledger::Account;
use crate::library::{Failure, Library, Opened, Room};
use crate::{CarCid, layout};

/// After so many blocks were looked up by pages, the index is read through once and boiled down.
const LOOKS: u32 = 32;

#[derive(Debug)]
pub(super) struct Paged {
    car: CarCid,
    size: u64,
    tables: Vec<Table>,
    /// What all pages must be of.
    e_tag: Option<String>,
    looks: AtomicU32,
    compact: OnceLock<(Arc<Compact>, Room)>,
}

/// Bytes of a large index, in memory.
#[derive(Debug)]
pub(crate) struct Page {
    bytes: Bytes,
    _room: Room,
}

impl Page {
    /// `room` is for as many bytes.
    pub(crate) fn new(bytes: Bytes, room: Room) -> Self {
        Self { bytes, _room: room }
    }
}

impl Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes of a large index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PageKey {
    car: CarCid,
    start: u64,
    end: u64,
}

impl Library {
    /// Reads a large index through with one request.
    async fn compact(
        self: &Arc<Self>,
        car: CarCid,
        tables: Vec<Table>,
        size: u64,
        e_tag: Option<String>,
        account: &Account,
    ) -> Result<Arc<Compact>, Failure> {
        let (library, account) = (Arc::clone(self), account.clone());
        let read = self.compacts.join(car, || {
            async move {
                let read = || library.read_compact(car, &tables, size, e_tag.clone(), &account);
                library.retrying(read).await.map(Arc::new)
            }
            .boxed()
        });
        read.await
    }

    async fn read_compact(
        &self,
        car: CarCid,
        tables: &[Table],
        size: u64,
        e_tag: Option<String>,
        account: &Account,
    ) -> Result<Compact, Failure> {
        let mut builder = Builder::new(tables);
        let mut opened = self.open(&self.bucket.satnav, &layout::index(&car), 0..size, e_tag, account).await?;
        while let Some(chunk) = poll_fn(|cx| opened.body.poll_chunk(cx)).await? {
            builder.push(&chunk).map_err(Failure::wrong)?;
        }
        builder.push(&[]).map_err(Failure::wrong)?;
        builder.finish().ok_or_else(|| Failure::failed("it is shorter than its tables"))
    }
}

impl PageKey {
    /// How many bytes they are.
    pub(crate) fn len(&self) -> usize {
        // It is at most a page, by what the tables say.
        usize::try_from(self.end - self.start).unwrap_or(usize::MAX)
    }

    /// The CAR whose index it is of.
    pub(crate) fn car(&self) -> CarCid {
        self.car
    }

    pub(crate) async fn load(
        &self,
        library: &Library,
        e_tag: Option<String>,
        account: &Account,
    ) -> Result<Bytes, Failure> {
        library.retrying(|| self.load_once(library, e_tag.clone(), account)).await
    }

    async fn load_once(&self, library: &Library, e_tag: Option<String>, account: &Account) -> Result<Bytes, Failure> {
        let key = layout::index(&self.car);
        let range = self.start..self.end;
        let mut opened = library.open(&library.bucket.satnav, &key, range.clone(), e_tag, account).await?;
        let len = usize::try_from(self.end - self.start).map_err(Failure::wrong)?;
        let mut bytes = Vec::with_capacity(len);
        opened.body.read(&mut bytes, len).await?;
        if opened.body.start() != self.start || bytes.len() != len {
            return Err(Failure::failed("the answer is another range than was asked for"));
        }
        Ok(bytes.into())
    }
}

impl Paged {
    /// Finds the tables, beginning with what is opened.
    pub(super) async fn load(
        library: &Arc<Library>,
        car: CarCid,
        mut opened: Opened,
        account: &Account,
    ) -> Result<Self, Failure> {
        let mut directory = Directory::new(opened.size);
        let mut front = Vec::new();
        while let Some((at, len)) = directory.needs() {
            let (start, end) = (at, at + len as u64);
            if end <= front.len() as u64 + 64 {
                opened.body.read(&mut front, end as usize).await?;
            }
            let there = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            match there.and_then(|(start, end)| front.get(start..end)) {
                Some(bytes) => directory.take(bytes),
                // Read each time: to be sure of the tables is to have read them twice.
                None => {
                    let head = PageKey { car, start, end };
                    directory.take(&head.load_once(library, opened.e_tag.clone(), account).await?)
                }
            }
            .map_err(Failure::wrong)?;
        }
        Ok(Self {
            car,
            size: opened.size,
            tables: directory.tables,
            e_tag: opened.e_tag,
            looks: AtomicU32::new(0),
            compact: OnceLock::new(),
        })
    }

    pub(super) fn mark(&self) -> Read {
        Read::Paged(self.tables.clone(), self.e_tag.clone())
    }

    pub(super) fn cost(&self) -> usize {
        size_of::<Self>() + size_of_val(&self.tables[..])
    }

    /// The index boiled down, once it is worth it and if there is memory for it.
    async fn compact(&self, library: &Arc<Library>, account: &Account) -> Result<Option<&Compact>, Failure> {
        if let Some((compact, _)) = self.compact.get() {
            return Ok(Some(compact));
        }
        if self.looks.fetch_add(1, Ordering::Relaxed) < LOOKS {
            return Ok(None);
        }
        let Some(cost) = Compact::cost(&self.tables).map(|cost| cost + self.cost()) else { return Ok(None) };
        // What is kept is counted by the cache, and what is used by its room: neither is to be too much.
        let mut room = library.room_for_index();
        if !library.reprice_index(&self.car, cost) || !library.resize_for_index(&mut room, cost) {
            library.reprice_index(&self.car, self.cost());
            self.looks.store(0, Ordering::Relaxed);
            return Ok(None);
        }
        let (tables, size, e_tag) = (self.tables.clone(), self.size, self.e_tag.clone());
        match library.compact(self.car, tables, size, e_tag, account).await {
            Ok(compact) => Ok(Some(&self.compact.get_or_init(|| (compact, room)).0)),
            Err(failure @ Failure::Spent(_)) => Err(failure),
            Err(_) => {
                self.looks.store(0, Ordering::Relaxed);
                Ok(None)
            }
        }
    }

    pub(super) async fn locate(
        &self,
        library: &Arc<Library>,
        multihash: &Multihash<64>,
        sure: bool,
        account: &Account,
    ) -> Result<Vec<Found>, Failure> {
        if !sure && let Some(compact) = self.compact(library, account).await? {
            let found = compact.locate(multihash);
            // Where several begin alike, the pages know which is which.
            if found.len() < 2 {
                return Ok(found.into_iter().map(|offset| Found { offset, next: None }).collect());
            }
        }
        let digest = multihash.digest();
        for table in self.tables.iter().filter(|table| table.may_have(multihash)) {
            let mut hunt = Hunt::new(*table, digest);
            while let Some(number) = hunt.page() {
                let range = table.page(number);
                let key = PageKey { car: self.car, start: range.start, end: range.end };
                let page = library.page(key, self.e_tag.clone(), sure, account).await?;
                match hunt.look(number, &page) {
                    Look::On => {}
                    Look::Absent => break,
                    Look::Found(offsets) => {
                        return Ok(offsets.into_iter().map(|offset| Found { offset, next: None }).collect());
                    }
                    Look::Unsorted => {
                        library.forget_pages(&self.car);
                        library.fault(&layout::index(&self.car), &"its records are not sorted");
                        return Err(Failure::wrong("the index is not sorted"));
                    }
                }
            }
        }
        Ok(Vec::new())
    }
}
