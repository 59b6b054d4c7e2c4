//! Indexes that other programs made: used at once, believed only as far as they were compared with the CAR.

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use common::{Block, Served, age, assert_served, car_of, cid, have, read, settle};
use hoverboard::catalog::Found;
use hoverboard_car::SectionOffset;
use hoverboard_car::index::{Codec, IndexBuilder};

fn index_of(blocks: &[common::Block]) -> Vec<u8> {
    index_with(Codec::MultihashIndexSorted, blocks)
}

fn index_with(codec: Codec, blocks: &[common::Block]) -> Vec<u8> {
    let mut builder = IndexBuilder::new(codec);
    blocks.iter().for_each(|block| builder.push(block.cid.hash(), block.offset));
    builder.finish()
}

#[test]
fn a_carv2_is_served_through_its_own_index() {
    let served = Served::new();
    let plain = tempfile::NamedTempFile::new().expect("a file");
    let blocks = car_of(plain.path(), 1, 200, 700);
    let index = index_of(&blocks);
    let sink = std::fs::File::create(served.path("a.car")).expect("created");
    let len = std::fs::metadata(plain.path()).expect("there").len();
    hoverboard_car::wrap(plain.as_file(), len, Some(&index), sink).expect("written");
    let catalog = served.open();
    assert_served(&catalog, &blocks);
    assert_eq!((served.metrics.catalog.indexes_built.get(), served.metrics.catalog.indexes_loaded.get()), (0, 1));
}

#[test]
fn an_index_beside_the_car_is_used() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 200, 700);
    std::fs::write(served.path("a.car.idx"), index_of(&blocks)).expect("written");
    assert_served(&served.open(), &blocks);
    assert_eq!((served.metrics.catalog.indexes_built.get(), served.metrics.catalog.indexes_loaded.get()), (0, 1));
}

#[test]
fn an_index_that_does_not_keep_hash_codes_serves_the_right_block_of_two_with_one_digest() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 100, 700);
    std::fs::write(served.path("a.car.idx"), index_with(Codec::IndexSorted, &blocks)).expect("written");
    let catalog = served.open();
    assert_eq!(served.metrics.catalog.indexes_built.get(), 0);
    assert_served(&catalog, &blocks);
    // The same digest under another hash function: not this block, and no error.
    let other = multihash::Multihash::<64>::wrap(0x1012, blocks[0].cid.hash().digest()).expect("it fits");
    let other = cid::Cid::new_v1(0x55, other);
    assert_eq!(read(&catalog, &other), Found::Unknown);
    assert_eq!(served.metrics.catalog.wrong_entries.get(), 0);
    age(&served.path("a.car"));
    catalog.refresh();
    assert_served(&catalog, &blocks);
    assert_eq!(read(&catalog, &other), Found::Missing);
}

/// A `.car.idx` in which two blocks have changed places.
fn lying_index(blocks: &[Block], liars: [usize; 2]) -> Vec<u8> {
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    for (n, block) in blocks.iter().enumerate() {
        let place = if n == liars[0] {
            liars[1]
        } else if n == liars[1] {
            liars[0]
        } else {
            n
        };
        builder.push(block.cid.hash(), blocks[place].offset);
    }
    builder.finish()
}

#[test]
fn an_index_that_lies_is_caught_and_the_car_scanned() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 5_000, 200);
    // Two of five thousand, away from the places that are sampled.
    std::fs::write(served.path("a.car.idx"), lying_index(&blocks, [101, 203])).expect("written");
    let catalog = served.open();
    assert_eq!(served.metrics.catalog.indexes_built.get(), 0, "the sample did not show it");
    assert_eq!(read(&catalog, &blocks[101].cid), Found::Unknown);
    assert_eq!(catalog.read(&[have(&blocks[203].cid, 0)]), [Found::Unknown]);
    assert_eq!(served.metrics.catalog.wrong_entries.get(), 2);
    catalog.refresh();
    assert_served(&catalog, &blocks);
    assert_eq!(served.metrics.catalog.indexes_built.get(), 1);
}

#[test]
fn an_index_that_is_unsorted_broken_or_leaves_sections_out_is_not_used() {
    for fault in ["unsorted", "broken", "partial", "outside"] {
        let served = Served::new();
        let blocks = car_of(&served.path("a.car"), 1, 300, 200);
        let mut index = lying_index(&blocks, [0, 0]);
        match fault {
            // The first byte of the last digest.
            "unsorted" => index.iter_mut().rev().nth(39).into_iter().for_each(|byte| *byte = 0),
            "broken" => index.truncate(1000),
            "partial" => index = lying_index(&blocks[..299], [0, 0]),
            _ => {
                let away = |block: &Block| Block { offset: SectionOffset(block.offset.0 + (1 << 40)), ..block.clone() };
                index = lying_index(&blocks.iter().map(away).collect::<Vec<_>>(), [0, 0]);
            }
        }
        std::fs::write(served.path("a.car.idx"), index).expect("written");
        let catalog = served.open();
        assert_eq!(served.metrics.catalog.indexes_built.get(), 1, "{fault}");
        assert_served(&catalog, &blocks);
    }
}

#[test]
fn an_index_without_hash_codes_proves_nothing_once_its_car_was_replaced() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 20, 700);
    let mut builder = IndexBuilder::new(Codec::IndexSorted);
    blocks.iter().for_each(|block| builder.push(block.cid.hash(), block.offset));
    std::fs::write(served.path("a.car.idx"), builder.finish()).expect("written");
    let catalog = served.open();
    // The same blocks, each where another was.
    common::write_car(&path, blocks.iter().rev().map(|block| block.data.clone()));
    for block in &blocks {
        assert_ne!(read(&catalog, &block.cid), Found::Missing);
    }
}

#[test]
fn an_index_beside_a_car_that_claims_terabytes_is_not_read() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 20, 700);
    File::create(served.path("a.car.idx")).and_then(|file| file.set_len(1 << 42)).expect("made");
    assert_served(&served.open(), &blocks);
}

/// An index that leaves out one of many, away from the places that are sampled.
fn index_without(blocks: &[Block], left_out: usize) -> Vec<u8> {
    index_of(&[&blocks[..left_out], &blocks[left_out + 1..]].concat())
}

#[test]
fn a_block_that_an_index_leaves_out_is_not_denied_and_then_found() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 5_000, 200);
    std::fs::write(served.path("a.car.idx"), index_without(&blocks, 101)).expect("written");
    age(&path);
    let catalog = served.open();
    assert_eq!(served.metrics.catalog.indexes_built.get(), 0, "it is used, and the start is fast");
    assert_eq!(read(&catalog, &blocks[101].cid), Found::Unknown);
    assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Unknown);
    assert_served(&catalog, &blocks[..101]);

    catalog.refresh();
    assert_served(&catalog, &blocks);
    assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Missing);
    assert_eq!(catalog.size(), (1, 5_000));

    let next = served.open();
    assert_eq!(served.metrics.catalog.indexes_built.get(), 1, "it was kept");
    assert_served(&next, &blocks);
    assert_eq!(read(&next, &cid(b"nowhere")), Found::Missing);
}

#[test]
fn an_index_that_is_right_is_confirmed_once_and_for_all() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 500, 200);
    std::fs::write(served.path("a.car.idx"), index_of(&blocks)).expect("written");
    age(&path);
    let catalog = served.open();
    assert_served(&catalog, &blocks);
    let hashed = served.metrics.catalog.hashed_bytes.get();
    catalog.refresh();
    assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Missing);
    assert_served(&catalog, &blocks);
    assert_eq!(served.metrics.catalog.hashed_bytes.get(), hashed, "what was checked stays checked");
    catalog.refresh();
    let next = served.open();
    assert_eq!(read(&next, &cid(b"nowhere")), Found::Missing);
    next.refresh();
    assert_eq!(served.metrics.catalog.indexes_built.get(), 1, "the CAR was read through once");
}

#[test]
fn an_index_is_not_compared_with_a_car_that_may_still_change_unseen() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 500, 200);
    std::fs::write(served.path("a.car.idx"), index_of(&blocks)).expect("written");
    let catalog = served.open();
    catalog.refresh();
    assert_eq!(served.metrics.catalog.indexes_built.get(), 0);
    assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Unknown);
    age(&served.path("a.car"));
    catalog.refresh();
    assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Missing);
    settle(&catalog);
    assert_eq!(served.metrics.catalog.indexes_built.get(), 1);
}

#[test]
fn an_index_that_points_into_the_middle_of_blocks_is_caught() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 5_000, 200);
    let mut lie = blocks.clone();
    // Neither is sampled; what lies there is no section.
    lie[101].offset = SectionOffset(blocks[101].offset.0 + 50);
    lie[102].offset = SectionOffset(blocks[102].offset.0 + 50);
    std::fs::write(served.path("a.car.idx"), index_of(&lie)).expect("written");
    let catalog = served.open();
    assert_eq!(served.metrics.catalog.indexes_built.get(), 0, "the sample did not show it");
    assert_eq!(read(&catalog, &blocks[101].cid), Found::Unknown);
    assert_eq!(served.metrics.catalog.wrong_entries.get(), 1);
    catalog.refresh();
    assert_served(&catalog, &blocks);
}

#[test]
fn behind_a_fault_what_another_program_indexed_is_still_served() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 5_000, 200);
    // No varint, away from the places that are sampled.
    let file = OpenOptions::new().write(true).open(&path).expect("opened");
    file.write_all_at(&[0xff; 10], blocks[101].offset.0).expect("written");
    std::fs::write(served.path("a.car.idx"), index_of(&blocks)).expect("written");
    age(&path);
    let catalog = served.open();
    for _ in 0..3 {
        catalog.refresh();
        assert_served(&catalog, &blocks[..101]);
        assert_served(&catalog, &blocks[102..]);
        assert_eq!(read(&catalog, &blocks[101].cid), Found::Unknown);
        assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Unknown);
    }
    assert_eq!(served.metrics.catalog.damaged_cars.get(), 1);
    assert_eq!(served.metrics.catalog.indexes_built.get(), 1, "it is not read through again and again");
}
