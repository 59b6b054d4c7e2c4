//! What the block index costs: reads and bytes of a lookup, bytes of a block, time and memory of indexing and merging,
//! and R2's bill. Prints a Markdown table; `cargo xtask bench index` puts it into `bench/README.md`.
//!
//! CARs and their SATNAV indexes are synthetic; all else is what serves peers and indexes buckets, over a folder whose
//! requests are counted. It is no test of what is right, but every lookup's answer is looked at.

mod base;
mod cost;
mod counting;
mod day;
mod host;
mod lookups;
mod synthetic;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use clap::Parser;
use hoverboard_store::index::{Index, Options};
use peak_alloc::PeakAlloc;

use self::base::Base;
use self::counting::{Requests, Tally};
use self::day::Day;
use self::host::{Faults, cpu_seconds, host, peak};
use self::lookups::{Lookups, Reader};
use self::synthetic::{BLOCKS, CAR_LEN, Satnav, block, mixed};
use self::table::Table;

/// Counts what is allocated.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Lookups of each kind in the compacted index.
const LOOKUPS: u64 = 5_000;
/// CARs whose indexes are held in memory while indexing is timed, at 400 KB each.
const TIMED: u64 = 210;
/// Entries of a run where memory is short.
const SMALL_RUN: usize = 1 << 18;
/// CARs that are read to count requests.
const READ: u64 = 20;
/// Bytes that an event in a Worker may read of a CAR by one request: the native indexer reads all by one.
const RANGE: u64 = 32 << 20;
/// The CARs of 10^9 blocks.
const BILLION: u64 = 100_000;
const MIB: f64 = 1024.0 * 1024.0;

#[derive(Parser)]
#[command(name = "hoverboard-bench-index", about = "What the block index costs")]
struct Cli {
    /// Blocks to index, 10,000 a CAR: 34.6 bytes of disk each are kept, and three times as much is needed while they are
    /// merged.
    #[arg(long, default_value_t = 10_000_000)]
    entries: u64,
    /// Where indexes are built and kept.
    #[arg(long)]
    folder: PathBuf,
    /// Fail if reads, bytes, memory or the bill are not as asked.
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (table, unmet) = runtime.block_on(measure(&cli))?;
    print!("{table}");
    ensure!(!cli.check || unmet.is_empty(), "not as asked:\n{}", unmet.join("\n"));
    Ok(())
}

async fn measure(cli: &Cli) -> Result<(String, Vec<String>)> {
    fs::create_dir_all(&cli.folder)?;
    let folder = cli.folder.canonicalize()?;
    let mut table = Table::default();
    let base = Base::open(&folder, (cli.entries / BLOCKS).max(1)).await?;
    eprintln!("looking up");
    let compacted = compacted(&base).await?;
    eprintln!("a day passes");
    let day = day::pass(&base, &folder.join("day")).await?;
    lookup_rows(&mut table, &base, &compacted, &day);
    eprintln!("indexing");
    indexing_rows(&mut table, &base, &folder.join("timed")).await?;
    bill_rows(&mut table, &base, &day).await?;
    Ok(table.finish())
}

/// Lookups in the compacted index.
struct Compacted {
    hits: Lookups,
    again: Lookups,
    misses: Lookups,
    longest: u64,
}

async fn compacted(base: &Base) -> Result<Compacted> {
    let mut reader = Reader::new(&base.folder)?;
    reader.refresh().await?;
    reader.take_longest();
    let blocks = |number: u64| block(mixed(number) % base.blocks());
    let hits = reader.hits((0..LOOKUPS).map(blocks)).await?;
    let misses = reader.misses(LOOKUPS).await?;
    let longest = reader.take_longest();
    let mut again = Lookups::default();
    for number in LOOKUPS..LOOKUPS + LOOKUPS / 10 {
        reader.hits([blocks(number)].into_iter()).await?;
        again.add(&reader.hits([blocks(number)].into_iter()).await?);
    }
    Ok(Compacted { hits, again, misses, longest })
}

fn lookup_rows(table: &mut Table, base: &Base, compacted: &Compacted, day: &Day) {
    let reads = |lookups: &Lookups| format!("{:.2}, at most {}", lookups.reads(), lookups.most);
    let Compacted { hits, again, misses, longest } = compacted;
    let how = format!("counted, {} blocks at random, one after the other, in a folder", hits.count);
    table.figure(
        &format!(
            "reads to find a block nobody asked for yet, {} blocks of {} CARs, compacted",
            power(base.blocks()),
            base.cars
        ),
        ["≤ 3", "2"],
        &reads(hits),
        hits.most <= 3,
        &how,
    );
    let how = format!(
        "counted, {} at {} CARs, each a commit of its own and merged by tiers at once; at most {} runs are read by pages",
        day.hits.count, day.cars, day.paged
    );
    let what = format!("the same while {} more CARs come", day.cars);
    table.figure(&what, ["≤ 5", "3"], &reads(&day.hits), day.hits.most <= 5, &how);
    let misses_here = format!("{} / {}", reads(misses), reads(&day.misses));
    table.note("reads to prove a miss, compacted / while CARs come", &misses_here, "counted");
    let longest = *longest.max(&day.longest);
    let longest_here = format!("{} KiB", longest >> 10);
    table.figure("the longest of these reads", ["≤ 64 KiB", ""], &longest_here, longest <= 64 << 10, "counted");
    let bytes = format!("{:.1} / {:.1} KiB", hits.bytes() / 1024.0, day.hits.bytes() / 1024.0);
    table.note("bytes read to find a block, compacted / while CARs come", &bytes, "counted");
    table.note("reads to find it again", &format!("{:.2}", again.reads()), "counted, asked for twice in a row");
    let Requests { writes, reads, bytes } = day.first;
    let first = format!("{} requests, {:.1} MiB", writes + reads, bytes as f64 / MIB);
    table.note(
        "the first lookup with nothing in memory, while CARs come",
        &first,
        "counted: listing and reading the manifest, small runs whole",
    );
    let micros = |lookups: &Lookups| lookups.seconds * 1e6 / lookups.count as f64;
    let time = format!("{:.0} µs / {:.0} µs / {:.0} µs", micros(hits), micros(misses), micros(again));
    table.note("time of a hit, a miss, a hit again", &time, "clock, files in the page cache where they fit");
    let memory = day.lookup_peak.max(day.cached);
    table.figure(
        "memory of lookups",
        ["≤ 8 MiB", ""],
        &format!("{:.1} MiB, {:.1} of it kept", memory as f64 / MIB, day.cached as f64 / MIB),
        memory <= 8 << 20,
        "bytes allocated, the height of it while CARs come",
    );
}

async fn indexing_rows(table: &mut Table, base: &Base, folder: &Path) -> Result<()> {
    let bytes = base::bytes_in(&base.folder.join("runs"))? as f64 / (base.blocks() as f64);
    let here = format!("{bytes:.1}");
    table.figure(
        "bytes a block in the runs",
        ["≤ 44", "36"],
        &here,
        bytes <= 44.0,
        "the files' lengths, all overflow included",
    );

    let native = Options::default();
    let (cpu, native_peak) = timed(base, folder, &native).await?;
    table.figure(
        "native indexing from SATNAV, blocks a second of a core",
        ["≥ 1 M", "4 M"],
        &format!("{:.2} M", (TIMED.min(base.cars) * BLOCKS) as f64 / cpu / 1e6),
        // How fast a machine is does not make it right or wrong.
        true,
        "CPU time of the process: index read from memory, its MD5 and order checked, entries sorted, hashed and written as \
         runs to a folder",
    );
    let small = Options { run_entries: SMALL_RUN, concurrency: 1, ..native };
    let (_, small_peak) = timed(base, folder, &small).await?;
    let merge_peak = base.cost.merge_peak;
    table.figure(
        "memory of a merge step / of indexing in small steps",
        ["≤ 64 MiB", ""],
        &format!("{:.0} / {:.0} MiB", merge_peak as f64 / MIB, small_peak as f64 / MIB),
        merge_peak.max(small_peak) <= 64 << 20,
        "bytes allocated, the height of it: a shard of 16 MiB out of all its inputs; 2^18 entries gathered, one index at a time",
    );
    let native_peak = format!("{:.0} MiB", native_peak as f64 / MIB);
    table.note("memory of native indexing", &native_peak, "the same with 1,000,000 entries, 8 indexes at a time");
    Ok(())
}

/// Indexes some CARs, whose SATNAV indexes are in memory, into a folder: seconds of CPU, and the height of what was allocated.
async fn timed(base: &Base, folder: &Path, options: &Options) -> Result<(f64, u64)> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let (sources, tally) = (Arc::<Tally>::default(), Arc::<Tally>::default());
    let cars = TIMED.min(base.cars);
    let bucket = base::synthetic(Satnav::held(0..cars), cars, folder, &sources, &tally)?;
    let index = Index::new(bucket, host());
    let faults = Faults::default();
    let before = cpu_seconds()?;
    let (updated, height) = peak(index.update(options, &faults)).await;
    let cpu = cpu_seconds()? - before;
    ensure!(updated?.blocks == cars * BLOCKS && faults.count() == 0, "not every block was indexed");
    fs::remove_dir_all(folder)?;
    Ok((cpu, height))
}

async fn bill_rows(table: &mut Table, base: &Base, day: &Day) -> Result<()> {
    let (_, here, _) = cost::of_satnav(base.cars)?;
    let counted = base.cost.index;
    let (sources, index, paged) = cost::of_satnav(BILLION)?;
    let satnav = sources.dollars() + index.dollars();
    table.figure(
        "R2 requests to index 10^9 blocks in 10^5 CARs from SATNAV",
        ["< $1", "< $0.50"],
        &format!("${satnav:.2}: {} writes, {} reads", sources.writes + index.writes, sources.reads + index.reads),
        satnav < 1.0 && near(here.writes, counted.writes) && near(here.reads, counted.reads),
        &format!(
            "the indexer's requests, summed up commit by commit and merge by merge. The same sums for the {} CARs that were \
             indexed here give {} writes and {} reads; counted were {} and {} (overflow pages are the difference), of CARPARK \
             and SATNAV {} and {}. Runs that are read by pages afterwards: {paged}",
            base.cars, here.writes, here.reads, counted.writes, counted.reads, base.cost.sources.writes, base.cost.sources.reads
        ),
    );
    eprintln!("reading CARs");
    let body = cost::of_bodies(READ).await?;
    let ranges = CAR_LEN.div_ceil(RANGE);
    // One of the reads that were counted is the CAR's, as a whole.
    let by_range = Requests { reads: body.reads - 1 + ranges, ..body };
    let whole = index.dollars() + body.dollars() * BILLION as f64;
    let in_ranges = index.dollars() + by_range.dollars() * BILLION as f64;
    table.figure(
        "the same from CAR bodies, SATNAV and DUDEWHERE written",
        ["< $10", "< $7"],
        &format!("${whole:.2}; ${in_ranges:.2} by ranges of 32 MiB"),
        in_ranges < 10.0,
        &format!(
            "counted over {READ} CARs of {BLOCKS} small blocks with one root: {} writes and {} reads a CAR, one of these the CAR's, \
             which of 256 KiB blocks is {ranges} ranges; and the index as above",
            body.writes, body.reads
        ),
    );
    table.note(
        &format!("R2 requests for the index on the day that {} CARs come, one by one", day.cars),
        &format!("${:.2}: {} writes, {} reads", day.written.dollars(), day.written.writes, day.written.reads),
        "counted, all merges included, and the look at the newest manifest after each",
    );
    let seconds = base.cost.millis as f64 / 1e3;
    table.note(
        &format!("time to index {} blocks and compact them, two cores", power(base.blocks())),
        &format!("{seconds:.0} s"),
        "clock, making the synthetic indexes included",
    );
    Ok(())
}

/// Whether sums are near what was counted: overflow pages are a few reads in a hundred.
fn near(summed: u64, counted: u64) -> bool {
    summed.abs_diff(counted) * 20 <= counted
}

/// A number as a power of ten, if it is one.
fn power(number: u64) -> String {
    match number.checked_ilog10() {
        Some(exponent) if 10_u64.pow(exponent) == number => format!("10^{exponent}"),
        _ => number.to_string(),
    }
}
