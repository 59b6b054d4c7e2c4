//! What the catalog answers, from CARs that are whole.

mod common;

use common::{Served, age, assert_served, car_of, cid, data, have, read, want, write_car};
use hoverboard::catalog::{Found, Query};

#[test]
fn blocks_of_every_size_are_served_in_any_order() {
    let served = Served::new();
    let sizes = [0, 1, 31, 1024, 4000, 4096, 5000, 70_000, 262_144, 1 << 20, 2 << 20];
    let blocks = write_car(&served.path("a.car"), sizes.iter().enumerate().map(|(n, len)| data(n as u64 + 1, *len)));
    let catalog = served.open();
    assert_served(&catalog, &blocks);
    let backwards: Vec<_> = blocks.iter().rev().cloned().collect();
    assert_served(&catalog, &backwards);
    for block in &blocks {
        assert_served(&catalog, std::slice::from_ref(block));
    }
}

#[test]
fn a_batch_is_answered_in_its_order_with_duplicates_and_strangers() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 300, 1024);
    let catalog = served.open();
    let absent = cid(b"nowhere");
    let queries: Vec<Query> =
        (0..900).map(|n| if n % 3 == 0 { want(&absent) } else { want(&blocks[(n * 7) % 300].cid) }).collect();
    for (n, found) in catalog.read(&queries).into_iter().enumerate() {
        match n % 3 {
            0 => assert_eq!(found, Found::Missing),
            _ => assert_eq!(found, Found::Block(blocks[(n * 7) % 300].data.clone().into())),
        }
    }
    assert_eq!(served.metrics.catalog.lookups.get(), 900);
    assert_eq!(served.metrics.catalog.missing.get(), 300);
}

#[test]
fn large_blocks_for_which_there_is_no_room_come_later() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 4, 100_000);
    let catalog = served.open();
    let queries: Vec<Query> = blocks.iter().map(|block| want(&block.cid)).collect();
    for room in [1, 150_000] {
        let found = catalog.read_some(room, &queries);
        let came = found.iter().take_while(|found| matches!(found, Found::Block(_))).count();
        assert_eq!(came, room.div_ceil(100_000));
        assert!(found[came..].iter().all(|found| *found == Found::Later));
    }
}

#[test]
fn want_have_is_answered_with_the_block_when_small_and_its_size_when_not() {
    let served = Served::new();
    let blocks = write_car(&served.path("a.car"), [data(1, 1024), data(2, 1025), data(3, 300_000)]);
    let catalog = served.open();
    let queries: Vec<Query> = blocks.iter().map(|block| have(&block.cid, 1024)).collect();
    let found = catalog.read(&queries);
    assert_eq!(found[0], Found::Block(blocks[0].data.clone().into()));
    assert_eq!(found[1..], [Found::Have { size: 1025 }, Found::Have { size: 300_000 }]);
    assert_eq!(catalog.read(&[have(&cid(b"nowhere"), 1024)]), [Found::Missing]);
}

#[test]
fn the_codec_that_a_peer_names_does_not_matter() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 1, 100);
    let catalog = served.open();
    let other = cid::Cid::new_v1(0x71, *blocks[0].cid.hash());
    assert_eq!(read(&catalog, &other), Found::Block(blocks[0].data.clone().into()));
}

#[test]
fn a_block_is_hashed_once_while_its_file_stays() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 10, 2_000);
    let catalog = served.open();
    assert_served(&catalog, &blocks);
    let young = served.metrics.catalog.hashed_bytes.get();
    assert_eq!(young, 20_000);
    assert_served(&catalog, &blocks);
    assert_eq!(served.metrics.catalog.hashed_bytes.get(), 2 * young, "the change time is too young to be trusted");
    age(&path);
    assert_served(&catalog, &blocks);
    let hashed = served.metrics.catalog.hashed_bytes.get();
    assert_eq!(hashed, 3 * young);
    assert_served(&catalog, &blocks);
    assert_eq!(served.metrics.catalog.hashed_bytes.get(), hashed);
}

#[test]
fn always_verify_hashes_every_time() {
    let mut served = Served::new();
    served.options.always_verify = true;
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 10, 2_000);
    age(&path);
    let catalog = served.open();
    assert_served(&catalog, &blocks);
    assert_served(&catalog, &blocks);
    assert_eq!(served.metrics.catalog.hashed_bytes.get(), 40_000);
}

#[test]
fn indexes_are_built_once_and_reused_at_the_next_start() {
    let served = Served::new();
    let path = served.path("a.car");
    let blocks = car_of(&path, 1, 50, 100);
    age(&path);
    assert_served(&served.open(), &blocks);
    assert_eq!((served.metrics.catalog.indexes_built.get(), served.metrics.catalog.indexes_loaded.get()), (1, 0));
    let again = served.open();
    assert_eq!((served.metrics.catalog.indexes_built.get(), served.metrics.catalog.indexes_loaded.get()), (1, 1));
    assert_served(&again, &blocks);
    assert_eq!(again.size(), (1, 50));
}

#[test]
fn an_index_of_a_file_that_may_still_change_unseen_is_not_kept() {
    let served = Served::new();
    car_of(&served.path("a.car"), 1, 5, 100);
    served.open();
    served.open();
    assert_eq!(served.metrics.catalog.indexes_built.get(), 2);
}

#[test]
fn a_block_that_lies_in_one_car_many_times_is_one_block() {
    let served = Served::new();
    let block = data(9, 500);
    let blocks = write_car(&served.path("a.car"), std::iter::repeat_n(block, 2_000));
    let catalog = served.open();
    assert_served(&catalog, &blocks[..3]);
}
