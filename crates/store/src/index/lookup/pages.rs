//! Pages and small runs: from memory, from a read that is under way, or from a new one. Their objects never change, so
//! what is in memory is never stale.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{FutureExt, StreamExt};
use hoverboard_index::cars::{self, Segment};
use hoverboard_index::run::{Page, PageAddress, Run, Slice};
use hoverboard_index::{ObjectId, PAGE_LEN};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};

use super::Inner;
use crate::ledger::{Account, Kind, Work};
use crate::library::{Cache, Failure, Flights};

/// A run that starts at this ordinal: the same bytes may count from another one.
pub(super) type RunKey = (ObjectId, u32);
/// A page of a run.
pub(super) type PageKey = (RunKey, PageAddress);
/// A page of a segment that starts at this ordinal.
pub(super) type CarPageKey = (RunKey, u32);

pub(super) type Pages = Flights<PageKey, Arc<Page>>;
pub(super) type Residents = Flights<RunKey, Option<Arc<Slice>>>;
pub(super) type CarPages = Flights<CarPageKey, Arc<cars::Page>>;

/// The longest run that is held whole, in bytes, of one shard: with what the runs beside it take this bounds them all.
const MAX_RESIDENT: u64 = 6 << 20;

/// What is in memory.
pub(super) struct Shelf {
    pages: Cache<PageKey, Arc<Page>>,
    cars: Cache<CarPageKey, Arc<cars::Page>>,
    /// `None`: it turned out to be too long.
    residents: HashMap<RunKey, Option<Arc<Slice>>>,
    held: usize,
}

impl Shelf {
    pub(super) fn new(page_bytes: usize) -> Self {
        Self { pages: Cache::new(page_bytes), cars: Cache::new(page_bytes / 4), residents: HashMap::new(), held: 0 }
    }

    /// Forgets the small runs that are not among these.
    pub(super) fn keep_residents(&mut self, keep: &[Run]) {
        self.residents.retain(|key, _| keep.iter().any(|run| run_key(run) == *key));
        self.held = self.residents.values().flatten().map(|slice| slice.held_bytes()).sum();
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        self.held + self.pages.cost() + self.cars.cost()
    }
}

pub(super) fn run_key(run: &Run) -> RunKey {
    (run.id, run.first)
}

impl Inner {
    /// A small run, whole. `None`: it is too long for that, and is read by pages.
    pub(super) async fn resident(self: &Arc<Self>, run: Run, account: &Account) -> Result<Option<Arc<Slice>>, Failure> {
        let key = run_key(&run);
        if let Some(slice) = self.shelves.lock().pages.residents.get(&key) {
            return Ok(slice.clone());
        }
        let (inner, account) = (Arc::clone(self), account.clone());
        let load = self.residents.join(key, || {
            async move {
                let shard = Path::from(run.shard_key(0));
                let read = || async {
                    let (bytes, size) = inner.read(&shard, 0..MAX_RESIDENT, &account).await?;
                    if size > MAX_RESIDENT || run.shards() > 1 {
                        return Ok(None);
                    }
                    Slice::whole(&run, 0, bytes).map(Arc::new).map(Some).map_err(Failure::wrong)
                };
                let slice = inner.retrying(&shard, read).await?;
                let mut shelves = inner.shelves.lock();
                let bytes = slice.as_ref().map_or(0, |slice| slice.held_bytes());
                // Several that are long for their entries are read by pages, too.
                let slice = slice.filter(|_| shelves.pages.held + bytes <= MAX_RESIDENT as usize);
                shelves.pages.held += slice.as_ref().map_or(0, |slice| slice.held_bytes());
                shelves.pages.residents.insert(key, slice.clone());
                Ok(slice)
            }
            .boxed()
        });
        load.await
    }

    /// A page of a run.
    pub(super) async fn page(
        self: &Arc<Self>,
        run: Run,
        address: PageAddress,
        account: &Account,
    ) -> Result<Arc<Page>, Failure> {
        let key = (run_key(&run), address);
        if let Some(page) = self.shelves.lock().pages.pages.find(&key) {
            return Ok(Arc::clone(page));
        }
        let (inner, account) = (Arc::clone(self), account.clone());
        let load = self.pages.join(key, || {
            async move {
                let shard = Path::from(run.shard_key(address.shard));
                let read = || async {
                    let (bytes, _) = inner.read(&shard, address.range(), &account).await?;
                    Page::parse(&run, address, bytes).map(Arc::new).map_err(Failure::wrong)
                };
                let page = inner.retrying(&shard, read).await?;
                inner.shelves.lock().pages.pages.insert(key, Arc::clone(&page), page.held_bytes());
                Ok(page)
            }
            .boxed()
        });
        load.await
    }

    /// A page of the CAR table.
    pub(super) async fn car_page(
        self: &Arc<Self>,
        segment: Segment,
        number: u32,
        account: &Account,
    ) -> Result<Arc<cars::Page>, Failure> {
        let key = ((segment.id, segment.first), number);
        if let Some(page) = self.shelves.lock().pages.cars.find(&key) {
            return Ok(Arc::clone(page));
        }
        let (inner, account) = (Arc::clone(self), account.clone());
        let load = self.cars.join(key, || {
            async move {
                let object = Path::from(segment.object_key());
                let read = || async {
                    let (bytes, _) = inner.read(&object, cars::page_range(number), &account).await?;
                    cars::Page::parse(&segment, number, bytes).map(Arc::new).map_err(Failure::wrong)
                };
                let page = inner.retrying(&object, read).await?;
                inner.shelves.lock().pages.cars.insert(key, Arc::clone(&page), PAGE_LEN);
                Ok(page)
            }
            .boxed()
        });
        load.await
    }

    /// Reads until it works, as often as the settings say. What is damaged is told, and what is gone is not: the manifest
    /// may be old.
    pub(super) async fn retrying<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        key: &Path,
        read: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let may_pass = |failure: &Failure| matches!(failure, Failure::Failed(_) | Failure::Wrong(_));
        let read = self.settings.retry.run(&*self.settings.timer, may_pass, read).await;
        if let Err(Failure::Wrong(what)) = &read {
            self.settings.observer.fault(&format!("{}/{key}", crate::layout::INDEX), what);
        }
        read
    }

    /// Reads a range of an object of the index, which may end beyond its end; and says how long the object is.
    pub(super) async fn read(&self, key: &Path, range: Range<u64>, account: &Account) -> Result<(Bytes, u64), Failure> {
        let asked = range.end - range.start;
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let result = match self.ask(key, options, account).await {
            // What a store says of a range that begins beyond the end is each store's own.
            Err(failure @ Failure::Failed(_)) => {
                let head = GetOptions { head: true, ..GetOptions::default() };
                let size = self.ask(key, head, account).await.map_or(u64::MAX, |result| result.meta.size);
                let short = size <= range.start;
                return Err(if short { Failure::wrong(format_args!("it ends at byte {size}")) } else { failure });
            }
            result => result?,
        };
        let size = result.meta.size;
        let mut body = result.into_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = self.in_time(body.next()).await? {
            let chunk = chunk.map_err(|error| Failure::of(&error, account))?;
            account.charge(&Work { read: chunk.len() as u64, ..Work::default() });
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > asked {
                return Err(Failure::failed("the answer is longer than was asked for"));
            }
        }
        Ok((bytes.into(), size))
    }

    async fn ask(&self, key: &Path, options: GetOptions, account: &Account) -> Result<GetResult, Failure> {
        let permit = account.request(Kind::Read).await?;
        let result = self.in_time(self.bucket.index.get_opts(key, options)).await?;
        drop(permit);
        result.map_err(|error| Failure::of(&error, account))
    }

    /// A future of the store's, which is not waited for without end.
    pub(super) async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        let stalled = self.settings.retry.stalled;
        let future = std::pin::pin!(future);
        match select(future, self.settings.timer.sleep(stalled)).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right(_) => Err(Failure::failed(format_args!("no answer within {stalled:?}"))),
        }
    }
}
