//! The worked bytes of `docs/block-runs.md` are those that the code writes, and the bounds in it those that it holds to.

use hoverboard_car::{BlockOffset, SectionOffset};
use hoverboard_index::cars::{self, Record};
use hoverboard_index::manifest::{self, Addition, Manifest};
use hoverboard_index::run::{self, Batch, Slice};
use hoverboard_index::{Extent, MAX_PLACES, PAGE_LEN, Place, tiers};
use multihash::Multihash;

use crate::support::KEY;

const DOCUMENT: &str = include_str!("../../../../docs/block-runs.md");

/// The sha2-256 of the CAR that the document works with: 101 bytes with one raw block.
const CAR: &str = "2b97ed5ed1d230cafb4185312ef5136208c82b8ebd1f067b8ca0b9db51193eeb";
/// The sha2-256 of the block, which is `1234` and a line feed.
const BLOCK: &str = "a883dafc480d466ee04e0d6da986bd78eb1fdd2178d04693723da3a8f95d42f4";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn digest(hex: &str) -> [u8; 32] {
    bytes(hex).try_into().unwrap()
}

/// Holds the document's block of bytes with this name against what the code makes.
fn worked(name: &str, made: &[u8]) {
    let opening = format!("```hex {name}\n");
    let (_, rest) = DOCUMENT.split_once(&opening).unwrap_or_else(|| panic!("no worked {name}"));
    let (block, _) = rest.split_once("```").unwrap();
    let made: String = made.iter().map(|byte| format!("{byte:02x}")).collect();
    let said: String = block.split_whitespace().collect();
    assert_eq!(said, made, "{name}");
}

fn says(words: &str) {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(DOCUMENT).contains(&flat(words)), "the document does not say {words:?}");
}

#[test]
fn the_worked_bytes_are_what_is_written() {
    let block = KEY.fingerprint(&Multihash::<64>::wrap(0x12, &digest(BLOCK)).unwrap());
    let car = KEY.car_fingerprint(&digest(CAR));
    worked("block-fingerprint", &block.to_bytes());
    worked("car-fingerprint", &car.to_bytes());
    worked("etag-hash", &KEY.etag_hash("5d41402abc4b2a76b9719d911017c592").to_le_bytes());

    let mut batch = Batch::new();
    let at = |extent| Place { car: 0, extent };
    batch.push(block, at(Extent::exact(SectionOffset(59), 42, 36))).unwrap();
    batch.push(car, at(Extent::section(SectionOffset(0), None))).unwrap();
    let sorted = batch.sort().unwrap();
    let shard = sorted.shard(0).unwrap();
    worked("run-id", &sorted.run().id.to_bytes());
    worked("page-head", &shard.bytes[..8]);
    worked("entries", &shard.bytes[8..68]);
    assert!(shard.bytes[68..PAGE_LEN - 8].iter().all(|byte| *byte == 0));
    worked("page-checksum", &shard.bytes[PAGE_LEN - 8..]);
    let run = sorted.finish(shard.entries);
    let slice = Slice::whole(&run.at(0), 0, shard.bytes.into()).unwrap();
    let found = slice.lookup(block).places[0].extent;
    assert_eq!(found.block(), Some((BlockOffset(96), 5)));

    let etag_hash = KEY.etag_hash("5d41402abc4b2a76b9719d911017c592");
    let table = cars::build(&[Record { digest: digest(CAR), size: 101, etag_hash, blob: false }]).unwrap();
    worked("table-id", &table.id.to_bytes());
    worked("record", &table.bytes[8..56]);
    worked("table-checksum", &table.bytes[PAGE_LEN - 8..]);

    let first = Manifest::first_of_empty(KEY, 1_700_000_000_000);
    let mut draft = first.draft(1_700_000_001_000);
    draft.append(Addition::new(&table, run).unwrap()).unwrap();
    let (second, second_bytes) = draft.finish().unwrap();
    worked("first-manifest", &first.encode());
    worked("second-manifest", &second_bytes);
    says(&format!("`{}`", second.object_key()));
    says(&format!("`{}`", second.runs()[0].shard_key(0)));
    says(&format!("`{}`", second.segments()[0].object_key()));
}

#[test]
fn the_bounds_are_those_of_the_code() {
    says(&format!("| bytes of a page | {} |", PAGE_LEN));
    says(&format!("| entries of a page | {} |", run::PAGE_ENTRIES));
    says(&format!("| entries a page is built for | {} |", run::PAGE_FILL));
    says(&format!("| main pages of a shard | {} |", run::MAX_PAGES));
    says(&format!("| bits of a shard's number | {} |", run::MAX_SHARD_BITS));
    says(&format!("| overflow pages of a shard | {} |", run::MAX_OVERFLOW_PAGES));
    says(&format!("| entries of a run | {} |", run::MAX_ENTRIES));
    says(&format!("| places of a block in a run | {MAX_PLACES} |"));
    says(&format!("| records of a page of the CAR table | {} |", cars::CARS_A_PAGE));
    says(&format!("| records of a segment | {} |", cars::MAX_SEGMENT_CARS));
    says(&format!("| bytes of a manifest | {} |", manifest::MAX_BYTES));
    says(&format!("| runs of a manifest | {} |", manifest::MAX_RUNS));
    says(&format!("| segments of a manifest | {} |", manifest::MAX_SEGMENTS));
    says(&format!("| struck CARs of a manifest | {} |", manifest::MAX_STRUCK));
    says(&format!("| a run to all younger ones together, in entries | {} |", tiers::RATIO));
    says(&format!("| entries in memory | {} |", tiers::RESIDENT_ENTRIES));
}
