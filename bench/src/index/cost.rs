//! What R2 takes for indexing more than fits here: the requests of each commit and merge, summed up by the rules that the
//! indexer follows. Held against what was counted for as many CARs as were indexed here, so that it can be seen to be right.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use hoverboard_index::manifest::{MAX_RUNS, MAX_SEGMENTS};
use hoverboard_index::merge::Merge;
use hoverboard_index::run::{Fresh, Run, Shape};
use hoverboard_index::{ObjectId, Struck, tiers};
use hoverboard_store::index::{Index, MANY_RUNS, Options};
use hoverboard_store::{Bucket, layout};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt as _, PutPayload};

use super::counting::{Counting, Requests, Tally};
use super::day;
use super::host::{Faults, host};
use super::synthetic::BLOCKS;

/// Entries of a CAR: its blocks, and itself.
const ENTRIES: u64 = BLOCKS + 1;
/// What a listing gives at a time.
const LISTED_AT_ONCE: u64 = 1000;

/// An index of which only the sizes are there.
#[derive(Default)]
struct Sizes {
    runs: Vec<Run>,
    segments: Vec<u32>,
    next: u32,
    manifests: u64,
    requests: Requests,
}

/// The requests of `hoverboard index` over a bucket of so many CARs with SATNAV, those for CARPARK and SATNAV first; and
/// the runs that are read by pages afterwards.
pub(crate) fn of_satnav(cars: u64) -> Result<(Requests, Requests, usize)> {
    // Two listings: whether there is anything, and all of it. Each index is read once.
    let sources = Requests { writes: 1 + cars.div_ceil(LISTED_AT_ONCE), reads: cars, bytes: 0 };
    let mut sizes = Sizes::default();
    // Whether there is a manifest is looked at twice before the first is made.
    sizes.requests.writes += 2;
    sizes.put_manifest();
    let of_commit = (Options::default().run_entries as u64).div_ceil(ENTRIES);
    let mut left = cars;
    while left > 0 {
        let cars = left.min(of_commit);
        left -= cars;
        sizes.commit(cars)?;
    }
    // That it is complete.
    sizes.newest();
    sizes.put_manifest();
    sizes.compact()?;
    let entries: Vec<u64> = sizes.runs.iter().map(|run| run.entries).collect();
    Ok((sources, sizes.requests, tiers::resident(&entries).start))
}

impl Sizes {
    /// The newest manifest is listed, read, and seen to have no next.
    fn newest(&mut self) {
        self.requests.writes += self.manifests.div_ceil(LISTED_AT_ONCE).max(1);
        self.requests.reads += 2;
    }

    fn put_manifest(&mut self) {
        self.requests.writes += 1;
        self.manifests += 1;
    }

    fn commit(&mut self, cars: u64) -> Result<()> {
        let shape = Shape::for_entries(cars * ENTRIES)?;
        let cars = u32::try_from(cars)?;
        self.requests.writes += u64::from(shape.shards()) + 1;
        self.newest();
        if self.runs.len() == MAX_RUNS || self.segments.len() == MAX_SEGMENTS {
            self.compact()?;
            self.newest();
        }
        let fresh = Fresh { id: ObjectId::from_bytes([0; 16]), cars, entries: u64::from(cars) * ENTRIES, shape };
        self.runs.push(fresh.at(self.next));
        self.segments.push(cars);
        self.next += cars;
        self.put_manifest();
        // The indexer reads what it and others added.
        self.requests.reads += 1;
        if self.runs.len() >= MANY_RUNS {
            self.compact()?
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<()> {
        loop {
            self.newest();
            if let Some(pieces) = tiers::plan_segments(&self.segments) {
                self.requests.reads += pieces.len() as u64;
                self.requests.writes += 1;
                let joined = self.segments[pieces.clone()].iter().sum();
                self.segments.splice(pieces, [joined]);
                self.newest();
                self.put_manifest();
            }
            let entries: Vec<u64> = self.runs.iter().map(|run| run.entries).collect();
            let Some(inputs) = tiers::plan(&entries).filter(|inputs| inputs.len() > 1) else { return Ok(()) };
            self.merge(inputs)?;
            self.newest();
            self.put_manifest();
        }
    }

    fn merge(&mut self, inputs: Range<usize>) -> Result<()> {
        let merge = Merge::new(&self.runs[inputs.clone()], &Struck::default())?;
        let shards = merge.output().shards();
        for shard in 0..shards {
            self.requests.reads +=
                (0..inputs.len()).map(|input| merge.pieces(input, shard).count() as u64).sum::<u64>();
        }
        self.requests.writes += u64::from(shards);
        let entries = merge.inputs().iter().map(|run| run.entries).sum();
        self.runs.splice(inputs, [merge.finish(entries)]);
        Ok(())
    }
}

/// The requests for a CAR that has no SATNAV index, beside those for the bucket's index: counted over some CARs that are there.
pub(crate) async fn of_bodies(cars: u64) -> Result<Requests> {
    let tally = Arc::<Tally>::default();
    let carpark = Arc::new(InMemory::new());
    for number in 0..cars {
        let (surveyed, bytes) = day::car(number)?;
        carpark.put(&layout::car(&surveyed.car), PutPayload::from_bytes(bytes)).await?;
    }
    let uncounted = Arc::new(InMemory::new());
    let counted = || Counting::over(InMemory::new(), &tally);
    let bucket =
        Bucket { carpark: Counting::over(carpark, &tally), dudewhere: counted(), satnav: counted(), index: uncounted };
    let faults = Faults::default();
    let updated = Index::new(bucket, host()).update(&Options::default(), &faults).await?;
    ensure!(faults.count() == 0 && updated.cars == cars, "not every CAR was indexed");
    let all = tally.requests();
    // Two listings are not a CAR's.
    let listings = 1 + cars.div_ceil(LISTED_AT_ONCE);
    let writes = all.writes.checked_sub(listings).context("fewer requests than listings")?;
    ensure!(writes % cars == 0 && all.reads % cars == 0, "CARs took different numbers of requests");
    Ok(Requests { writes: writes / cars, reads: all.reads / cars, bytes: 0 })
}
