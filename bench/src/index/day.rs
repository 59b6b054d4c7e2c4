//! A day on which the bucket grows by a tenth: CARs come one by one, each is a commit of its own, runs are merged by
//! tiers after each, and readers look up blocks in between. 10^8 entries so get the 1,000 CARs of a day.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use cid::Cid;
use hoverboard_car::Writer;
use hoverboard_dag::multihash;
use hoverboard_index::tiers;
use hoverboard_store::import::{Survey, Surveyed};
use hoverboard_store::index::{Importing, Index, Options};
use hoverboard_store::{Bucket, layout};
use multihash::Multihash;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt as _, PutPayload};

use super::base::{Base, remove_unnamed};
use super::counting::{Counting, Requests, Tally};
use super::host::{Faults, host, peak};
use super::lookups::{Lookups, Reader};
use super::synthetic::{BLOCKS, block, mixed};

/// How often in the day blocks are looked up.
const MOMENTS: u64 = 20;
/// Hits, and misses, each time.
const LOOKUPS: u64 = 250;

/// What was seen on that day.
#[derive(Default)]
pub(crate) struct Day {
    pub(crate) cars: u64,
    pub(crate) hits: Lookups,
    pub(crate) misses: Lookups,
    /// The longest read of a lookup, in bytes.
    pub(crate) longest: u64,
    /// Runs that are read by pages, at most.
    pub(crate) paged: usize,
    /// Requests for the index of all who wrote.
    pub(crate) written: Requests,
    /// Bytes allocated at the height of a lookup, what is kept in memory included.
    pub(crate) lookup_peak: u64,
    /// Bytes kept in memory by a reader, at most.
    pub(crate) cached: u64,
    /// The first lookup of a reader that has nothing in memory, at the day's end.
    pub(crate) first: Requests,
}

/// Lets the day pass over a copy of the base.
pub(crate) async fn pass(base: &Base, folder: &Path) -> Result<Day> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    link(&base.folder, folder)?;
    let tally = Arc::<Tally>::default();
    let uncounted = || -> Arc<InMemory> { Arc::default() };
    let bucket = Bucket {
        carpark: uncounted(),
        dudewhere: uncounted(),
        satnav: uncounted(),
        index: Counting::over(LocalFileSystem::new_with_prefix(folder)?, &tally),
    };
    let index = Index::new(bucket.clone(), host());
    let importing = Importing::begin(index.clone(), Options::default().run_entries).await?;
    let mut importing = importing.context("the bucket has no index")?;
    let faults = Faults::default();
    let mut day = Day { cars: (base.cars / 10).max(1), ..Day::default() };
    let before = tally.requests();
    let mut reader = None;
    for number in 0..day.cars {
        let (surveyed, bytes) = car(number)?;
        let key = layout::car(&surveyed.car);
        bucket.carpark.put(&key, PutPayload::from_bytes(bytes)).await?;
        importing.add(&[surveyed]).await?;
        bucket.carpark.delete(&key).await?;
        index.compact(false, &faults).await?;
        let manifest = index.newest().await?.context("there is no manifest")?;
        day.paged = day.paged.max(tiers::resident(&manifest.entries()).start);
        if (number + 1) * MOMENTS / day.cars != number * MOMENTS / day.cars {
            remove_unnamed(folder, &manifest)?;
            let work = look(&mut day, &mut reader, base, folder, number);
            let (looked, height) = peak(work).await;
            looked?;
            day.lookup_peak = day.lookup_peak.max(height);
        }
    }
    // A request or two of each round are this loop's own.
    day.written = tally.requests() - before;
    ensure!(faults.count() == 0, "something is wrong with the index");
    day.first = Reader::new(folder)?.refresh().await?;
    fs::remove_dir_all(folder)?;
    Ok(day)
}

/// Lookups at one moment, when CARs up to `newest` have come: of blocks of all CARs alike, and of none.
async fn look(day: &mut Day, reader: &mut Option<Reader>, base: &Base, folder: &Path, newest: u64) -> Result<()> {
    let mut opened = match reader.take() {
        Some(reader) => reader,
        None => Reader::new(folder)?,
    };
    opened.refresh().await?;
    opened.take_longest();
    let (old, new) = (base.blocks(), (newest + 1) * BLOCKS);
    let blocks = (0..LOOKUPS).map(|number| match mixed(newest << 32 | number) % (old + new) {
        number if number < old => block(number),
        number => data(number - old).1,
    });
    day.hits.add(&opened.hits(blocks).await?);
    day.misses.add(&opened.misses(LOOKUPS).await?);
    day.longest = day.longest.max(opened.take_longest());
    day.cached = day.cached.max(opened.cached_bytes());
    *reader = Some(opened);
    Ok(())
}

/// A CAR of small blocks as an import has surveyed it.
pub(crate) fn car(number: u64) -> Result<(Surveyed, Bytes)> {
    let blocks = (number * BLOCKS..(number + 1) * BLOCKS).map(data);
    let blocks: Vec<([u8; 8], Cid)> = blocks.map(|(data, hash)| (data, Cid::new_v1(0x55, hash))).collect();
    let (_, root) = blocks.first().context("a CAR has blocks")?;
    let mut writer = Writer::new(Vec::new(), &[*root])?;
    for (data, cid) in &blocks {
        writer.write(cid, data)?;
    }
    let bytes = Bytes::from(writer.finish()?);
    Ok((Survey::new(&[]).push(&bytes)?.finish()?, bytes))
}

/// A block that came on that day.
fn data(number: u64) -> ([u8; 8], Multihash<64>) {
    let data = number.to_be_bytes();
    // sha2-256 is always there.
    let hash = multihash(0x12, 32, &data).unwrap_or_default();
    (data, hash)
}

/// A copy of a folder whose files are never changed: the same files under other names.
fn link(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => link(&entry.path(), &to)?,
            false => fs::hard_link(entry.path(), to)?,
        }
    }
    Ok(())
}
