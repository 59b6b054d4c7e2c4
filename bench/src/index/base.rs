//! The bucket that is measured: so many CARs, indexed from SATNAV by the indexer and compacted. It is built once and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use hoverboard_index::manifest::Manifest;
use hoverboard_store::Bucket;
use hoverboard_store::index::{Index, Options};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::counting::{Counting, Requests, Tally};
use super::host::{Faults, host, peak};
use super::synthetic::{BLOCKS, Carpark, Satnav, Synthetic};

/// A bucket's index in a folder, and what it took to make it.
pub(crate) struct Base {
    /// The folder of the index's place.
    pub(crate) folder: PathBuf,
    pub(crate) cars: u64,
    pub(crate) cost: Cost,
}

/// What building took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Requests for CARPARK and SATNAV.
    pub(crate) sources: Requests,
    /// Requests for the index, merges included.
    pub(crate) index: Requests,
    /// Bytes allocated at the height of the last merge.
    pub(crate) merge_peak: u64,
    /// Milliseconds, making the synthetic indexes included.
    pub(crate) millis: u64,
}

/// The name of the file that says that a base is whole, and what it took.
const BUILT: &str = "built";

impl Base {
    /// The base of so many CARs, built if it is not there.
    pub(crate) async fn open(folder: &Path, cars: u64) -> Result<Self> {
        let folder = folder.join(cars.to_string());
        let built = folder.join(BUILT);
        if let Some(cost) = fs::read_to_string(&built).ok().and_then(|text| Cost::parse(&text)) {
            eprintln!("using {}", folder.display());
            return Ok(Self { folder: folder.join("index"), cars, cost });
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let place = folder.join("index");
        fs::create_dir_all(&place)?;
        eprintln!("building {} entries in {}", cars * (BLOCKS + 1), folder.display());
        let cost = build(&place, cars).await?;
        fs::write(built, cost.to_text())?;
        Ok(Self { folder: place, cars, cost })
    }

    /// How many blocks it has.
    pub(crate) fn blocks(&self) -> u64 {
        self.cars * BLOCKS
    }
}

/// Indexes so many CARs as `hoverboard index` does: update, then merge by tiers. What is left beside one run is merged too,
/// and not counted.
async fn build(folder: &Path, cars: u64) -> Result<Cost> {
    let (sources, tally) = (Arc::<Tally>::default(), Arc::<Tally>::default());
    let faults = Faults::default();
    let index = Index::new(synthetic(Satnav::new(0..cars), cars, folder, &sources, &tally)?, host());
    let begun = Instant::now();
    let updated = index.update(&Options::default(), &faults).await?;
    let (compacted, merge_peak) = peak(index.compact(false, &faults)).await;
    compacted?;
    ensure!(faults.count() == 0 && updated.blocks == cars * BLOCKS, "not every block was indexed: {updated:?}");
    let millis = begun.elapsed().as_millis() as u64;
    let cost = Cost { sources: sources.requests(), index: tally.requests(), merge_peak, millis };
    index.compact(true, &faults).await?;
    let manifest = index.newest().await?.context("there is no manifest")?;
    ensure!(manifest.runs().len() == 1 && manifest.complete(), "it is not compacted");
    remove_unnamed(folder, &manifest)?;
    Ok(cost)
}

/// A bucket of CARs that are not there, with its index in a folder.
pub(crate) fn synthetic(
    satnav: Satnav,
    cars: u64,
    folder: &Path,
    sources: &Arc<Tally>,
    index: &Arc<Tally>,
) -> Result<Bucket> {
    Ok(Bucket {
        carpark: Counting::over(Synthetic(Carpark(0..cars)), sources),
        satnav: Counting::over(Synthetic(satnav), sources),
        dudewhere: Counting::over(InMemory::new(), sources),
        index: Counting::over(LocalFileSystem::new_with_prefix(folder)?, index),
    })
}

/// Removes the runs that a manifest does not name. In a bucket they stay for a day; here they would need three times the disk.
pub(crate) fn remove_unnamed(folder: &Path, manifest: &Manifest) -> Result<()> {
    let named: Vec<String> = manifest.runs().iter().map(|run| run.id.to_string()).collect();
    for run in fs::read_dir(folder.join("runs"))? {
        let run = run?;
        if !run.file_name().to_str().is_some_and(|name| named.iter().any(|named| named == name)) {
            fs::remove_dir_all(run.path())?;
        }
    }
    Ok(())
}

/// Bytes of all files in a folder and below it.
pub(crate) fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_in(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

impl Cost {
    fn to_text(self) -> String {
        let Self { sources, index, merge_peak, millis } = self;
        let requests = |Requests { writes, reads, bytes }| format!("{writes} {reads} {bytes}");
        format!("{} {} {merge_peak} {millis}\n", requests(sources), requests(index))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let sources = Requests { writes: next()?, reads: next()?, bytes: next()? };
        let index = Requests { writes: next()?, reads: next()?, bytes: next()? };
        Some(Self { sources, index, merge_peak: next()?, millis: next()? })
    }
}
