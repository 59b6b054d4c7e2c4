//! Blocks that are there and cannot be sent: never denied, never promised in vain, and asked for again where that helps.

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use common::{Served, age, assert_served, car_of, cid, data, have, read, want, write_car};
use hoverboard::catalog::Found;

fn writable(path: &std::path::Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("opened")
}

/// Bytes of varint and CID before the data of blocks of 127 to 16,000 bytes.
const HEAD: u64 = 2 + 36;

#[test]
fn a_block_that_was_wrong_from_the_start_is_counted_and_never_sent() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 3, 400);
    writable(&path).write_all_at(b"?", blocks[1].offset.0 + HEAD).expect("written");
    let catalog = served.open();
    for _ in 0..3 {
        assert_eq!(read(&catalog, &blocks[1].cid), Found::Unknown);
    }
    assert_eq!(served.metrics.catalog.corrupt.get(), 3);
    assert_served(&catalog, &blocks[2..]);
}

#[test]
fn sections_that_cannot_be_read_are_passed_over_and_the_rest_is_certain() {
    let served = Served::new();
    let path = served.path("a.car");
    let large = data(1, (4 << 20) + 100);
    let blocks = write_car(&path, [data(2, 300), large, data(3, 300), data(4, 300), data(5, 300)]);
    // The third's CID says version 9.
    writable(&path).write_all_at(&[9], blocks[2].offset.0 + 2).expect("written");
    age(&path);
    for start in ["first", "next"] {
        let catalog = served.open();
        assert_served(&catalog, &[blocks[0].clone(), blocks[3].clone(), blocks[4].clone()]);
        assert_eq!(read(&catalog, &cid(b"nowhere")), Found::Missing, "{start} start");
        // It is there, and too long to be sent.
        let found = catalog.read(&[want(&blocks[1].cid), have(&blocks[1].cid, 0)]);
        assert!(found.iter().all(|found| *found == Found::Unknown), "{start} start");
        assert_eq!(served.metrics.catalog.damaged_cars.get(), 1);
        assert_eq!(served.metrics.catalog.corrupt.get(), 0, "nothing was refused for its hash");
    }
}

#[test]
fn a_block_found_corrupt_is_no_longer_promised_until_it_is_found_right() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 3, 4_000);
    let at = blocks[1].offset.0 + HEAD + 5;
    writable(&path).write_all_at(b"!!", at).expect("written");
    age(&path);
    let catalog = served.open();
    assert_eq!(catalog.read(&[have(&blocks[1].cid, 0)]), [Found::Have { size: 4_000 }], "nobody knows yet");
    assert_eq!(read(&catalog, &blocks[1].cid), Found::Unknown);
    let haves: Vec<_> = blocks.iter().map(|block| have(&block.cid, 0)).collect();
    let size = Found::Have { size: 4_000 };
    assert_eq!(catalog.read(&haves), [size.clone(), Found::Unknown, size.clone()]);

    writable(&path).write_all_at(&blocks[1].data[5..7], at).expect("written");
    assert_served(&catalog, &blocks);
    assert_eq!(catalog.read(&haves), [size.clone(), size.clone(), size], "it matches");
}

#[test]
fn a_block_whose_hash_cannot_be_checked_is_neither_promised_nor_denied() {
    let served = Served::new();
    let file = File::create(served.path("a.car")).expect("created");
    let unknown = cid::Cid::new_v1(0x55, multihash::Multihash::wrap(0x7777, &[7; 32]).expect("it fits"));
    let mut writer = hoverboard_car::Writer::new(file, &[]).expect("begun");
    writer.write(&unknown, &data(1, 4_000)).expect("written");
    writer.finish().expect("finished");
    let catalog = served.open();
    assert_eq!(catalog.read(&[have(&unknown, 0), want(&unknown)]), [Found::Unknown, Found::Unknown]);
    assert_eq!(served.metrics.catalog.corrupt.get(), 0);
}

#[test]
fn a_read_that_fails_comes_later_and_is_tried_again_before_it_is_given_up() {
    let served = Served::new();
    let (path, away) = (served.path("a.car"), served.path("away"));
    let blocks = car_of(&path, 1, 3, 4_000);
    let catalog = served.open();
    std::fs::rename(&path, &away).expect("renamed");
    std::os::unix::fs::symlink(&path, &path).expect("linked to itself");
    let queries: Vec<_> = blocks.iter().map(|block| want(&block.cid)).collect();
    assert!(catalog.read_cached(usize::MAX, &queries).iter().all(|found| *found == Found::Later));
    assert_eq!(served.metrics.catalog.read_errors.get(), 0, "it is not over yet");
    assert!(catalog.read(&queries).iter().all(|found| *found == Found::Unknown));
    assert_eq!(served.metrics.catalog.read_errors.get(), 3, "a batch is tried three times");

    let start = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            std::thread::sleep(std::time::Duration::from_millis(10));
            std::fs::rename(&away, &path).expect("put back");
        });
        start.wait();
        assert_served(&catalog, &blocks);
    });
}

#[test]
fn what_was_replaced_is_not_read_from_the_old_file_again_and_again() {
    let served = Served::new();
    let path = served.path("a.car");
    let old = car_of(&path, 1, 3, 4_000);
    let catalog = served.open();
    assert_served(&catalog, &old);
    car_of(&served.path("new"), 2, 3, 4_000);
    std::fs::rename(served.path("new"), &path).expect("renamed");
    // The one that was open may serve once more. That is where the change shows.
    read(&catalog, &old[0].cid);
    assert_eq!(read(&catalog, &old[0].cid), Found::Unknown);
}
