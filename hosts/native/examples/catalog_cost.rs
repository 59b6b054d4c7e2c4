//! What the catalog costs, in numbers: first and next start over CARs of large and of small blocks, beside reading
//! the files through, and the CPU of a block read for the first time and again. It asserts nothing.
//!
//! `cargo run --release -p hoverboard --example catalog_cost [FOLDER]`; 2.2 GiB are written to the folder, once.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cid::Cid;
use hoverboard::catalog::{Catalog, CatalogOptions, Found, Query, Want};
use hoverboard::metrics::Metrics;
use hoverboard_car::{Reader, Writer};
use indicatif::ProgressBar;

/// Blocks asked for at a time.
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let folder =
        std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("hoverboard-catalog"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for (name, count, len) in [("large.car", 4096, 256 << 10), ("small.car", 1 << 20, 1 << 10)] {
        let path = folder.join(name);
        if !path.exists() {
            generate(&path, count, len)?;
            // An index of a file that has just been written is not kept.
            std::thread::sleep(Duration::from_millis(2_100));
        }
        measure(&path, count, len)?;
    }
    Ok(())
}

fn generate(path: &Path, count: u64, len: usize) -> Result<(), Box<dyn Error>> {
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, File::create(path)?), &[])?;
    let mut block = vec![0x5a; len];
    for number in 0..count {
        block[..8].copy_from_slice(&number.to_le_bytes());
        writer.write(&Cid::new_v1(0x55, hoverboard_dag::multihash(0x12, 32, &block)?), &block)?;
    }
    writer.finish()?;
    Ok(())
}

fn measure(path: &Path, count: u64, len: usize) -> Result<(), Box<dyn Error>> {
    println!("{count} blocks of {len} bytes");
    cat(path)?;
    let cat = cat(path)?;
    println!("  cat          {:8.1} ms", millis(cat));

    let state = tempfile::tempdir()?;
    let (first, catalog) = open(path, state.path())?;
    println!("  first start  {:8.1} ms, {:.2} of cat", millis(first), first.as_secs_f64() / cat.as_secs_f64());
    drop(catalog);
    let (next, catalog) = open(path, state.path())?;
    println!("  next start   {:8.1} ms", millis(next));

    let in_order = queries(path)?;
    let mut shuffled = in_order.clone();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for n in (1..shuffled.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        shuffled.swap(n, (random >> 33) as usize % (n + 1));
    }
    for (what, queries) in [("first", &in_order), ("again", &in_order), ("random", &shuffled)] {
        let took = read(&catalog, queries);
        let (block, mib) =
            (took / u32::try_from(queries.len())?, took.as_secs_f64() * 1e3 * 1048576.0 / (count as f64 * len as f64));
        println!("  read {what:7} {:8.2} µs a block, {mib:.3} ms a MiB", block.as_secs_f64() * 1e6);
    }
    let missing: Vec<Query> = in_order.iter().map(|query| Query { multihash: miss(query), ..*query }).collect();
    let start = Instant::now();
    for batch in missing.chunks(BATCH) {
        assert!(catalog.read(batch).iter().all(|found| *found == Found::Missing), "a miss");
    }
    println!("  miss         {:8.2} µs", start.elapsed().as_secs_f64() * 1e6 / missing.len() as f64);
    Ok(())
}

fn open(path: &Path, state: &Path) -> Result<(Duration, Catalog), Box<dyn Error>> {
    let options = CatalogOptions {
        paths: vec![path.to_path_buf()],
        state: Some(state.to_path_buf()),
        ..CatalogOptions::default()
    };
    let start = Instant::now();
    let catalog = Catalog::open(options, Arc::new(Metrics::new()), &ProgressBar::hidden())?;
    Ok((start.elapsed(), catalog))
}

/// Reads a file as `cat` does.
fn cat(path: &Path) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 << 10];
    while file.read(&mut buffer)? > 0 {}
    Ok(start.elapsed())
}

fn queries(path: &Path) -> Result<Vec<Query>, Box<dyn Error>> {
    Reader::new(File::open(path)?, hoverboard_car::Options::default())?
        .map(|section| Ok(Query { multihash: *section?.cid().hash(), want: Want::Block }))
        .collect()
}

fn read(catalog: &Catalog, queries: &[Query]) -> Duration {
    let start = Instant::now();
    for batch in queries.chunks(BATCH) {
        assert!(catalog.read(batch).iter().all(|found| matches!(found, Found::Block(_))), "served");
    }
    start.elapsed()
}

/// A multihash like this one that is not there.
fn miss(query: &Query) -> multihash::Multihash<64> {
    let mut digest = [0; 32];
    digest.copy_from_slice(query.multihash.digest());
    digest[31] ^= 1;
    multihash::Multihash::wrap(0x12, &digest).expect("it fits")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
