//! `hoverboard verify` and `hoverboard ls` over CARs with indexes that lie and sections that cannot be read.

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use assert_cmd::Command;
use common::{Block, car_of, data, write_car};
use hoverboard_car::SectionOffset;
use hoverboard_car::index::{Codec, IndexBuilder};
use predicates::prelude::*;
use predicates::str::contains;

fn hoverboard(command: &str, path: &Path) -> assert_cmd::assert::Assert {
    let mut hoverboard = Command::cargo_bin("hoverboard").expect("built");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOVERBOARD_")) {
        hoverboard.env_remove(name);
    }
    hoverboard.arg(command).arg(path).assert()
}

fn index_of<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Vec<u8> {
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    blocks.into_iter().for_each(|block| builder.push(block.cid.hash(), block.offset));
    builder.finish()
}

#[test]
fn verify_holds_the_index_beside_a_car_against_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, beside) = (folder.path().join("a.car"), folder.path().join("a.car.idx"));
    let blocks = car_of(&path, 1, 5, 300);
    std::fs::write(&beside, index_of(&blocks)).expect("written");
    hoverboard("verify", &path).success().stdout(contains("all good"));

    std::fs::write(&beside, index_of(&blocks[1..])).expect("written");
    let left_out = contains(format!("a.car.idx does not have the block {}", blocks[0].cid));
    hoverboard("verify", &path).code(1).stdout(left_out.and(contains("5 blocks")));

    let stray = Block { offset: SectionOffset(blocks[1].offset.0 + 9), ..blocks[1].clone() };
    std::fs::write(&beside, index_of(blocks.iter().chain([&stray]))).expect("written");
    hoverboard("verify", &path).code(1).stdout(contains("a.car.idx has 1 entry for what is not there"));

    std::fs::write(&beside, b"no index").expect("written");
    hoverboard("verify", &path).code(1).stdout(contains("a.car.idx: index codec"));
}

#[test]
fn verify_holds_the_index_inside_a_carv2_against_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plain, path) = (folder.path().join("plain"), folder.path().join("a.car"));
    let blocks = car_of(&plain, 1, 5, 300);
    let plain = std::fs::read(&plain).expect("there");
    for (index, verdict) in [(index_of(&blocks), "all good"), (index_of(&blocks[..4]), "its index does not have")] {
        let out = std::fs::File::create(&path).expect("created");
        hoverboard_car::wrap(plain.as_slice(), plain.len() as u64, Some(&index), out).expect("written");
        hoverboard("verify", &path).stdout(contains(verdict));
    }
}

#[test]
fn verify_names_a_hundred_faults_and_counts_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.car");
    let blocks = car_of(&path, 1, 150, 30);
    std::fs::write(folder.path().join("a.car.idx"), index_of(&blocks[..1])).expect("written");
    hoverboard("verify", &path).code(1).stdout(contains("does not have").count(100).and(contains("and 49 more")));
}

#[test]
fn both_go_on_behind_sections_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.car");
    let blocks = write_car(&path, [data(1, 300), data(2, (4 << 20) + 100), data(3, 300), data(4, 300)]);
    let file = OpenOptions::new().write(true).open(&path).expect("opened");
    // Version 9.
    file.write_all_at(&[9], blocks[2].offset.0 + 2).expect("written");
    let places = || contains(format!("byte {}", blocks[1].offset)).and(contains(format!("byte {}", blocks[2].offset)));
    hoverboard("verify", &path).code(1).stdout(places().and(contains("1 file, 2 blocks, 600 bytes: 1 file damaged")));
    let last = contains(blocks[3].cid.to_string());
    hoverboard("ls", &path).code(1).stdout(last.and(contains("2 blocks, 600 bytes"))).stderr(places());
}
