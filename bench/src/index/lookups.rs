//! Lookups one after the other, each of a block that was not asked for before, through the locator that serves peers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use hoverboard_dag::Software;
use hoverboard_store::Bucket;
use hoverboard_store::index::lookup::{Runs, Settings};
use hoverboard_store::ledger::{Account, Budget, Ledger};
use hoverboard_store::library::{Config, Located, Locator};
use multihash::Multihash;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::counting::{Counting, Requests, Tally};
use super::host::{Faults, host};
use super::synthetic::block;

/// Longer than the knowledge lasts which manifest is the newest.
const LATER: Duration = Duration::from_secs(11);
/// Blocks from this number on are in no CAR.
const NOWHERE: u64 = 1 << 60;

/// A reader of an index in a folder, whose requests are counted.
pub(crate) struct Reader {
    runs: Runs,
    account: Account,
    tally: Arc<Tally>,
    faults: Arc<Faults>,
    now: Duration,
    /// Misses so far: each is of another block.
    misses: u64,
}

/// What some lookups took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) count: u64,
    pub(crate) requests: Requests,
    /// Reads of the one that took the most.
    pub(crate) most: u64,
    pub(crate) seconds: f64,
}

impl Lookups {
    pub(crate) fn reads(&self) -> f64 {
        self.requests.reads as f64 / self.count as f64
    }

    pub(crate) fn bytes(&self) -> f64 {
        self.requests.bytes as f64 / self.count as f64
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.requests = self.requests + other.requests;
        self.most = self.most.max(other.most);
        self.seconds += other.seconds;
    }
}

impl Reader {
    /// A reader with nothing in memory.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let (tally, faults) = (Arc::<Tally>::default(), Arc::<Faults>::default());
        let index = Counting::over(LocalFileSystem::new_with_prefix(folder)?, &tally);
        let nothing = || Counting::over(InMemory::new(), &tally);
        let bucket = Bucket { carpark: nothing(), satnav: nothing(), dudewhere: nothing(), index };
        let config = Config::new(Arc::new(Software), host(), faults.clone());
        let runs = Runs::new(bucket, Settings::of(&config));
        let account = Ledger::new(Budget::UNLIMITED).account();
        Ok(Self { runs, account, tally, faults, now: Duration::ZERO, misses: 0 })
    }

    /// Looks for a block that is not there, when the newest manifest has to be asked for. What it takes.
    pub(crate) async fn refresh(&mut self) -> Result<Requests> {
        self.now += LATER;
        self.runs.set_now(self.now);
        let before = self.tally.requests();
        self.miss().await?;
        Ok(self.tally.requests() - before)
    }

    /// Blocks that are in the bucket, each looked up once.
    pub(crate) async fn hits(&mut self, blocks: impl Iterator<Item = Multihash<64>>) -> Result<Lookups> {
        let mut all = Lookups::default();
        for block in blocks {
            let (before, begun) = (self.tally.requests(), Instant::now());
            let located = self.locate(block).await?;
            all.add(&self.one(before, begun));
            ensure!(matches!(located, Located::At { .. }), "a block that is there is not found: {located:?}");
        }
        Ok(all)
    }

    /// Blocks that are not in the bucket.
    pub(crate) async fn misses(&mut self, count: u64) -> Result<Lookups> {
        let mut all = Lookups::default();
        for _ in 0..count {
            let (before, begun) = (self.tally.requests(), Instant::now());
            self.miss().await?;
            all.add(&self.one(before, begun));
        }
        Ok(all)
    }

    /// Bytes of runs and of the CAR table in memory.
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.runs.cached_bytes() as u64
    }

    /// The longest answer of the store so far, in bytes.
    pub(crate) fn take_longest(&self) -> u64 {
        self.tally.take_longest()
    }

    fn one(&self, before: Requests, begun: Instant) -> Lookups {
        let requests = self.tally.requests() - before;
        Lookups { count: 1, requests, most: requests.reads, seconds: begun.elapsed().as_secs_f64() }
    }

    async fn miss(&mut self) -> Result<()> {
        self.misses += 1;
        let located = self.locate(block(NOWHERE + self.misses)).await?;
        ensure!(matches!(located, Located::Missing), "a block that is not there: {located:?}");
        Ok(())
    }

    async fn locate(&self, block: Multihash<64>) -> Result<Located> {
        let mut located = self.runs.locate(vec![block], self.account.clone()).await?;
        ensure!(self.faults.count() == 0, "the index is damaged");
        match located.pop() {
            Some(located) => Ok(located),
            None => bail!("no answer"),
        }
    }
}
