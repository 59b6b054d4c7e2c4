//! CARs that are damaged, lied about, or changed under a running server: nothing false is sent, and nothing false is
//! said.

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Served, age, assert_served, car_of, cid, data, read, settle, want, write_car};
use hoverboard::catalog::{CatalogError, Found};

fn writable(path: &std::path::Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("opened")
}

/// Bytes of varint and CID before the data of blocks of 127 to 16,000 bytes.
const HEAD: u64 = 2 + 36;

#[test]
fn a_block_overwritten_in_place_with_size_and_mtime_put_back_is_never_sent() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 20, 2_000);
    age(&path);
    let catalog = served.open();
    assert_served(&catalog, &blocks);
    assert_served(&catalog, &blocks);
    let hashed = served.metrics.catalog.hashed_bytes.get();

    let modified = std::fs::metadata(&path).expect("there").modified().expect("a time");
    let file = writable(&path);
    file.write_all_at(b"!", blocks[7].offset.0 + HEAD + 1_000).expect("written");
    file.set_modified(modified).expect("put back");

    assert_eq!(read(&catalog, &blocks[7].cid), Found::Unknown);
    assert_eq!(served.metrics.catalog.corrupt.get(), 1);
    assert_served(&catalog, &blocks[..7]);
    assert_served(&catalog, &blocks[8..]);
    assert_eq!(
        served.metrics.catalog.hashed_bytes.get(),
        hashed + 40_000,
        "all are hashed again, what is sent included"
    );
    settle(&catalog);
    assert_eq!(read(&catalog, &blocks[7].cid), Found::Unknown, "it is in the index: no miss");
}

#[test]
fn readers_under_a_writer_get_the_block_or_nothing() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 64, 8_000);
    let catalog = served.open();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = writable(&path);
            for round in 0..200u64 {
                let block = &blocks[(round % 64) as usize];
                let at = block.offset.0 + HEAD;
                file.write_all_at(&[round as u8; 4_000], at + 1_000).expect("written");
                // Long enough for readers to see it.
                std::thread::sleep(std::time::Duration::from_micros(200));
                file.write_all_at(&block.data, at).expect("put back");
            }
            done.store(true, Ordering::Release);
        });
        let queries: Vec<_> = blocks.iter().map(|block| want(&block.cid)).collect();
        while !done.load(Ordering::Acquire) {
            for (block, found) in blocks.iter().zip(catalog.read(&queries)) {
                match found {
                    Found::Block(bytes) => assert!(bytes == block.data, "a wrong byte"),
                    Found::Unknown => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    });
    settle(&catalog);
    assert_served(&catalog, &blocks);
}

#[test]
fn truncation_under_readers_loses_the_blocks_behind_it_and_no_others() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 100, 3_000);
    let catalog = served.open();
    writable(&path).set_len(blocks[60].offset.0 + 10).expect("truncated");
    let answers = |found: &Found| matches!(found, Found::Unknown | Found::Block(_));
    assert!(
        blocks.iter().all(|block| answers(&read(&catalog, &block.cid))),
        "until it is indexed again nothing is missing"
    );
    assert_served(&catalog, &blocks[..60]);
    settle(&catalog);
    assert_served(&catalog, &blocks[..60]);
    assert!(blocks[60..].iter().all(|block| read(&catalog, &block.cid) == Found::Missing));
    assert_eq!(served.metrics.catalog.damaged_cars.get(), 1);
}

#[test]
fn a_car_replaced_by_another_serves_the_other() {
    let served = Served::new();
    let path = served.path("a.car");
    let old = car_of(&path, 1, 30, 500);
    let catalog = served.open();
    assert_served(&catalog, &old);
    let new = car_of(&served.path("new"), 2, 40, 600);
    std::fs::rename(served.path("new"), &path).expect("renamed");
    assert_served(&catalog, &old);
    settle(&catalog);
    assert_served(&catalog, &new);
    assert!(old.iter().all(|block| read(&catalog, &block.cid) == Found::Missing));
}

#[test]
fn cars_and_folders_come_and_go() {
    let served = Served::new();
    let catalog = served.open();
    assert_eq!(catalog.size(), (0, 0));
    std::fs::create_dir(served.path("sub")).expect("made");
    let one = car_of(&served.path("one.car"), 1, 10, 100);
    let two = car_of(&served.path("sub/two.car"), 2, 10, 100);
    catalog.refresh();
    assert_eq!(catalog.size(), (0, 0), "a file just seen may still be growing");
    catalog.refresh();
    assert_served(&catalog, &one);
    assert_served(&catalog, &two);
    std::fs::remove_dir_all(served.path("sub")).expect("removed");
    catalog.refresh();
    assert!(two.iter().all(|block| read(&catalog, &block.cid) == Found::Missing));
    assert_served(&catalog, &one);
    assert_eq!(served.metrics.catalog.cars.get(), 1);
    assert_eq!(served.metrics.catalog.records.get(), 10);
}

#[test]
fn a_block_in_two_cars_is_served_by_the_second_when_the_first_fails() {
    for damaged in ["a.car", "b.car"] {
        let served = Served::new();
        let blocks = car_of(&served.path("a.car"), 1, 10, 2_000);
        car_of(&served.path("b.car"), 1, 10, 2_000);
        let catalog = served.open();
        let file = writable(&served.path(damaged));
        for block in &blocks {
            file.write_all_at(b"!!", block.offset.0 + HEAD + 5).expect("written");
        }
        assert_served(&catalog, &blocks);
    }
}

#[test]
fn a_replaced_car_never_makes_a_block_of_both_versions_missing() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 2_000, 64);
    let catalog = served.open();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..10 {
                let new = served.path("new");
                write_car(&new, blocks.iter().map(|block| block.data.clone()).chain([data(round + 500, 10)]));
                std::fs::rename(new, &path).expect("renamed");
                settle(&catalog);
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let queries: Vec<_> = blocks.iter().step_by(17).map(|block| want(&block.cid)).collect();
            assert!(catalog.read(&queries).iter().all(|found| *found != Found::Missing));
        }
    });
    assert_served(&catalog, &blocks);
}

#[test]
fn damaged_cars_are_served_as_far_as_they_can_be_read_and_the_others_whole() {
    let served = Served::new();
    let whole = car_of(&served.path("whole.car"), 1, 10, 300);
    let cut = car_of(&served.path("cut.car"), 2, 10, 300);
    writable(&served.path("cut.car")).set_len(cut[9].offset.0 + 100).expect("truncated");
    let bad = car_of(&served.path("bad.car"), 3, 10, 300);
    // The section's length is no varint.
    writable(&served.path("bad.car")).write_all_at(&[0xff; 10], bad[5].offset.0).expect("written");
    std::fs::write(served.path("no.car"), b"not a CAR").expect("written");
    std::fs::write(served.path("empty.car"), b"").expect("written");
    let catalog = served.open();
    assert_served(&catalog, &whole);
    assert_served(&catalog, &cut[..9]);
    assert_served(&catalog, &bad[..5]);
    assert_eq!(served.metrics.catalog.damaged_cars.get(), 4);
    // It is there, behind the fault; while it cannot be found, nobody is told that anything is missing.
    assert_eq!(read(&catalog, &bad[7].cid), Found::Unknown);
    assert_eq!(read(&catalog, &cut[9].cid), Found::Unknown);
    std::fs::remove_file(served.path("bad.car")).expect("removed");
    settle(&catalog);
    assert_eq!(read(&catalog, &cut[9].cid), Found::Missing);
}

#[test]
fn strict_refuses_to_start_over_a_damaged_car_and_names_file_and_offset() {
    let mut served = Served::new();
    served.options.strict = true;
    car_of(&served.path("whole.car"), 1, 10, 300);
    assert!(served.try_open().is_ok());
    let cut = car_of(&served.path("cut.car"), 2, 10, 300);
    writable(&served.path("cut.car")).set_len(cut[9].offset.0 + 100).expect("truncated");
    let error = served.try_open().expect_err("damaged");
    assert!(matches!(error, CatalogError::Strict { .. }));
    let text = error.to_string();
    assert!(text.contains("cut.car") && text.contains(&cut[9].offset.0.to_string()), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_is_no_proof_that_its_blocks_are_not_there() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 3, 400);
    // A folder in the place of a file that was named cannot be opened as one.
    let loop_a = served.path("loop.car");
    std::os::unix::fs::symlink(&loop_a, &loop_a).expect("linked");
    let catalog = served.open();
    assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Unknown);
    assert_served(&catalog, &blocks);
    for _ in 0..3 {
        catalog.refresh();
        assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Unknown);
    }
    std::fs::remove_file(loop_a).expect("removed");
    catalog.refresh();
    assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Missing);
}

#[test]
fn a_car_that_is_moved_is_not_missing_meanwhile() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 20, 700);
    let catalog = served.open();
    std::fs::rename(served.path("a.car"), served.path("b.car")).expect("renamed");
    for _ in 0..3 {
        assert_ne!(read(&catalog, &blocks[3].cid), Found::Missing);
        catalog.refresh();
    }
    assert_served(&catalog, &blocks);
    assert_eq!(catalog.size().0, 1);
}
