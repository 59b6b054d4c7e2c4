//! The threads that keep a catalog up to date: a CAR that takes long to index holds up nothing else.

mod common;

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Served, assert_served, car_of, cid, read};
use hoverboard::catalog::{Catalog, Found, Watcher};

const INTERVAL: Duration = Duration::from_millis(20);

/// Waits for what the threads will do, and fails if they do not.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn watched(served: &Served) -> (Arc<Catalog>, Watcher) {
    let catalog = Arc::new(served.open());
    let watcher = Watcher::start(catalog.clone(), INTERVAL).expect("started");
    (catalog, watcher)
}

#[test]
fn cars_that_come_and_go_are_noticed() {
    let served = Served::new();
    let (catalog, watcher) = watched(&served);
    let blocks = car_of(&served.path("a.car"), 1, 20, 300);
    eventually("it is served", || read(&catalog, &blocks[19].cid) != Found::Missing);
    assert_served(&catalog, &blocks);
    std::fs::remove_file(served.path("a.car")).expect("removed");
    eventually("it is missing", || read(&catalog, &blocks[0].cid) == Found::Missing);
    watcher.stop();
}

#[test]
fn an_index_that_came_with_a_car_is_compared_without_being_asked() {
    let served = Served::new();
    let blocks = car_of(&served.path("a.car"), 1, 2_000, 300);
    let mut builder = hoverboard_car::index::IndexBuilder::new(hoverboard_car::index::Codec::MultihashIndexSorted);
    blocks.iter().skip(1).filter(|b| b.cid != blocks[777].cid).chain([&blocks[0]]).for_each(|block| {
        builder.push(block.cid.hash(), block.offset);
    });
    std::fs::write(served.path("a.car.idx"), builder.finish()).expect("written");
    let (catalog, watcher) = watched(&served);
    eventually("a miss is definite", || read(&catalog, &cid(b"nowhere")) == Found::Missing);
    assert_served(&catalog, &blocks);
    watcher.stop();
}

#[test]
fn small_cars_are_served_while_a_huge_one_is_indexed() {
    let served = Served::new();
    let (catalog, watcher) = watched(&served);
    // A hole of a terabyte full of sections of length zero, after a header: it is read for minutes.
    let huge = served.path("huge.car");
    car_of(&huge, 1, 1, 100);
    let file = File::options().write(true).open(&huge).expect("opened");
    file.set_len(1 << 40).expect("made");
    std::thread::sleep(INTERVAL * 10);
    let built = served.metrics.catalog.indexes_built.get();
    let small = car_of(&served.path("small.car"), 2, 20, 300);
    eventually("the small one is served", || read(&catalog, &small[0].cid) != Found::Missing);
    assert_eq!(served.metrics.catalog.indexes_built.get(), built + 1, "the huge one is not");
    std::fs::remove_file(served.path("small.car")).expect("removed");
    eventually("it is gone", || read(&catalog, &small[0].cid) == Found::Missing);
    assert_eq!(served.metrics.catalog.indexes_built.get(), built + 1, "the huge one is not");
    // What still reads it comes to the end of the file.
    file.set_len(100).expect("cut");
    watcher.stop();
}
