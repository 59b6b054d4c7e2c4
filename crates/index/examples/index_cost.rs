//! What building, merging and searching runs cost: `cargo run --release -p hoverboard-index --example index_cost [ENTRIES]`.

use std::time::Instant;

use bytes::Bytes;
use hoverboard_car::SectionOffset;
use hoverboard_index::merge::Merge;
use hoverboard_index::run::{Batch, Opened, Page, Run, Slice};
use hoverboard_index::{Extent, Key, Place, Struck};
use multihash::Multihash;

const KEY: Key = Key::new([7; 16]);
/// Blocks of a CAR.
const A_CAR: u64 = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(4_000_000), |count| count.parse())?;
    let from = Instant::now();
    let mut sum = 0;
    for number in 0..count {
        sum ^= KEY.fingerprint(&block(number)?).high();
    }
    report(&format!("fingerprints ({:x})", sum & 0xf), count, from);

    let (large, objects) = build(0, count)?;
    let bytes: usize = objects.iter().map(Bytes::len).sum();
    println!(
        "{} shards of {} pages, {:.2} bytes an entry",
        large.shards(),
        large.shape.pages(),
        bytes as f64 / count as f64
    );
    let (small, small_objects) = build(count, count / 16)?;
    let small = Run { first: large.ordinals().end, ..small };

    let from = Instant::now();
    let inputs = [(large, &objects), (small, &small_objects)];
    let merge = Merge::new(&[large, small], &Struck::default())?;
    let mut entries = 0;
    for shard in 0..merge.output().shards() {
        let mut slices = Vec::new();
        for (number, (run, objects)) in inputs.iter().enumerate() {
            let mut of_input = Vec::new();
            for piece in merge.pieces(number, shard) {
                let object = &objects[piece.shard as usize];
                let read = |range: std::ops::Range<u64>| object.slice(range.start as usize..range.end as usize);
                of_input.push(match Slice::open(run, &piece, read(piece.range()))? {
                    Opened::Whole(slice) => slice,
                    Opened::Overflowing(partial) => {
                        let range = partial.range();
                        partial.complete(read(range))?
                    }
                });
            }
            slices.push(of_input);
        }
        entries += merge.build(shard, &slices)?.entries;
    }
    report("merged", entries, from);

    let from = Instant::now();
    let lookups = 100_000;
    let mut reads = 0_u64;
    for number in 0..lookups {
        let fingerprint = KEY.fingerprint(&block(number * 2 * count / lookups)?);
        let mut next = Some(large.address(fingerprint));
        while let Some(address) = next {
            let range = address.range();
            let bytes = objects[address.shard as usize].slice(range.start as usize..range.end as usize);
            let lookup = Page::parse(&large, address, bytes)?.lookup(fingerprint);
            next = lookup.next.filter(|_| lookup.found.is_empty());
            reads += 1;
        }
    }
    report("looked up, half of them misses", lookups, from);
    println!("{:.4} reads a lookup", reads as f64 / lookups as f64);
    Ok(())
}

fn build(first: u64, count: u64) -> Result<(Run, Vec<Bytes>), Box<dyn std::error::Error>> {
    let from = Instant::now();
    let mut batch = Batch::new();
    for number in first..first + count {
        let extent = Extent::section(SectionOffset((number % A_CAR) << 18), Some(1 << 18));
        let car = ((number - first) / A_CAR) as u32;
        batch.push(KEY.fingerprint(&block(number)?), Place { car, extent })?;
    }
    report("fingerprints taken, collected", count, from);
    let sorted = batch.sort()?;
    report("and sorted, named", count, from);
    let mut entries = 0;
    let mut objects = Vec::new();
    for shard in sorted.shards() {
        let shard = shard?;
        entries += shard.entries;
        objects.push(shard.bytes.into());
    }
    report("and built", count, from);
    Ok((sorted.finish(entries).at(0), objects))
}

/// A block's multihash: as random as a digest is, and the same every time.
fn block(number: u64) -> Result<Multihash<64>, multihash::Error> {
    let mut digest = [0; 32];
    for (at, word) in digest.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&(number + at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    Multihash::wrap(0x12, &digest)
}

fn report(what: &str, count: u64, from: Instant) {
    let seconds = from.elapsed().as_secs_f64();
    println!("{count} {what}: {:.2} M/s, {:.0} ns each", count as f64 / seconds / 1e6, seconds * 1e9 / count as f64);
}
