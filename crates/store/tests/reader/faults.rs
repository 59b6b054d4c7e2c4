//! Buckets that fail and lie: no wrong byte, no false miss, and in the end everything comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hoverboard_store::layout;
use hoverboard_store::library::{Config, Library};
use hoverboard_store::reader::{Found, Reader, Want};
use object_store::{ObjectStoreExt, PutPayload};

use super::support::{Car, Faults, Fetched, Place, ask, fetch, fetch_in_time, shuffled, unlimited};

fn small(first: u64) -> Arc<Car> {
    Arc::new(Car::new(first, vec![2000; 100]))
}

#[tokio::test(start_paused = true)]
async fn one_request_of_ten_going_wrong_costs_time_and_nothing_else() {
    for seed in 0..20 {
        let lens = [vec![1 << 10; 500], vec![256 << 10; 100], vec![32, 33, 2 << 20, 50], vec![60 << 10; 300]].concat();
        let (one, two) = (Arc::new(Car::new(0, lens)), small(1 << 20));
        let place = Place::new([&one, &two]).await;
        for store in [&place.carpark, &place.dudewhere, &place.satnav] {
            store.fail(Faults::Some { seed: seed << 32 });
        }
        let config = Config { whole_index: if seed % 2 == 0 { 4 << 20 } else { 16 << 10 }, ..place.config() };
        let library = Library::new(place.bucket.clone(), config);
        let mut reader = Reader::new(library.clone(), unlimited(), vec![]);
        let order = |cids| if seed % 3 == 0 { cids } else { shuffled(cids, seed) };
        let mut came = Fetched::default();
        for car in [&one, &two] {
            // A peer begins with the root, and asks again for what stays unanswered.
            let tell = |now| library.set_now(now);
            let root = fetch_in_time(&mut reader, &[car.root()], 1, 10, tell).await;
            let rest = fetch_in_time(&mut reader, &order(car.cids().split_off(1)), 300, 10, tell).await;
            came.blocks += root.blocks + rest.blocks;
            came.missing += root.missing + rest.missing;
            came.unknown += root.unknown + rest.unknown;
            came.asked_again += root.asked_again + rest.asked_again;
        }
        println!("seed {seed}: {} requests, {came:?}", place.requests());
        assert_eq!((came.blocks, came.missing, came.unknown), (1004, 0, 0), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_range_fails_its_own_blocks_alone() {
    let (one, two) = (small(0), small(1000));
    let place = Place::new([&one, &two]).await;
    let config = Config { whole_car: 0, ..place.config() };
    let mut reader = place.reader_with(config, vec![one.cid, two.cid]);
    // Something else is at that place of the index, beyond the CAR's end.
    let lie = one.index_by(|offset| if offset == one.offsets[40] { 1 << 40 } else { offset });
    place.satnav.put(&layout::index(&one.cid), PutPayload::from(lie)).await.unwrap();
    let came = fetch(&mut reader, &[one.cids(), two.cids()].concat(), 200, 0).await;
    assert_eq!(came, Fetched { blocks: 199, unknown: 1, ..Fetched::default() });
    assert!(place.faults.said(&one.cid.to_string(), "beyond its end"), "{:?}", place.faults.lines());
}

#[tokio::test(start_paused = true)]
async fn an_index_that_lies_costs_its_own_blocks_and_is_named() {
    let car = small(0);
    for whole_car in [0, 8 << 20] {
        let place = Place::new([&car]).await;
        // One block is said to lie where another one does, one in the middle of a third, one in the header.
        let lie = car.index_by(|offset| match car.offsets.iter().position(|other| *other == offset) {
            Some(10) => car.offsets[11],
            Some(20) => car.offsets[20] + 7,
            Some(30) => 3,
            _ => offset,
        });
        place.satnav.put(&layout::index(&car.cid), PutPayload::from(lie)).await.unwrap();
        let mut reader = place.reader_with(Config { whole_car, ..place.config() }, vec![]);
        assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
        let came = fetch(&mut reader, &car.cids(), 100, 0).await;
        assert_eq!(came, Fetched { blocks: 97, unknown: 3, ..Fetched::default() });
        assert!(place.faults.said(&car.cid.to_string(), "where its index has another"), "{:?}", place.faults.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_is_none_is_named_and_asked_for_no_more_for_a_while() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let index = car.index();
    let key = layout::index(&car.cid);
    let mut unsorted = index.clone();
    unsorted[20..60].fill(0xff);
    for bad in [index[..index.len() - 5].to_vec(), unsorted, b"<html>".to_vec()] {
        place.satnav.put(&key, PutPayload::from(bad)).await.unwrap();
        let mut reader = place.reader();
        let before = place.satnav.asked();
        assert_eq!(fetch(&mut reader, &car.cids()[..1], 1, 5).await.unknown, 1);
        assert_eq!(place.satnav.asked() - before, 3);
        assert!(place.faults.said(key.as_ref(), ""), "{:?}", place.faults.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_that_is_also_elsewhere_is_read_there() {
    let bad = small(0);
    let good = Arc::new(Car::new(0, vec![2000; 100]).renamed(&small(5000)));
    let place = Place::new([&bad, &good]).await;
    place.carpark.add(layout::car(&bad.cid), small(7000));
    for order in [[bad.cid, good.cid], [good.cid, bad.cid]] {
        let mut reader = place.reader_with(place.config(), order.to_vec());
        assert_eq!(fetch(&mut reader, &good.cids(), 10, 0).await, Fetched::all(100));
    }
    assert!(place.faults.said(&bad.cid.to_string(), "where its index has another"));
}

#[tokio::test(start_paused = true)]
async fn a_car_that_is_gone_is_a_miss_and_comes_back_with_its_next_import() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let library = Library::new(place.bucket.clone(), Config { whole_car: 0, ..place.config() });
    let mut reader = Reader::new(library.clone(), unlimited(), vec![]);
    assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
    place.carpark.remove(&layout::car(&car.cid));
    let came = fetch(&mut reader, &car.cids(), 100, 0).await;
    assert_eq!(came, Fetched { missing: 100, ..Fetched::default() });
    assert!(place.faults.said(&car.cid.to_string(), "no CAR"), "{:?}", place.faults.lines());
    assert_eq!(reader.cars().count(), 0);
    place.add(&car).await;
    library.set_now(Duration::from_secs(10));
    assert_eq!(fetch(&mut reader, &car.cids(), 1, 0).await, Fetched::all(100));
}

#[tokio::test(start_paused = true)]
async fn a_car_where_newer_writers_put_it_is_found() {
    let car = small(0);
    let place = Place::new([&car]).await;
    place.carpark.remove(&layout::car(&car.cid));
    place.carpark.add(layout::blob(&car.cid), car.clone());
    let mut reader = place.reader_with(Config { whole_car: 0, ..place.config() }, vec![]);
    assert_eq!(fetch(&mut reader, &car.cids(), 10, 0).await, Fetched::all(100));
    assert_eq!(place.faults.lines(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_car_replaced_between_two_reads_is_named_and_read_as_it_is_now() {
    let car = Arc::new(Car::new(0, vec![600 << 10; 20]));
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    assert!(matches!(ask(&mut reader, car.cid_of(0), Want::Block).await, Found::Block(_)));
    place.carpark.add(layout::car(&car.cid), car.clone());
    assert!(matches!(ask(&mut reader, car.cid_of(19), Want::Block).await, Found::Block(_)));
    assert!(place.faults.said(&car.cid.to_string(), "replaced"), "{:?}", place.faults.lines());
    // By something else: none of it is given out.
    place.carpark.add(layout::car(&car.cid), Arc::new(Car::new(1000, vec![600 << 10; 20])));
    let came = fetch(&mut reader, &car.cids(), 8, 0).await;
    assert_eq!((came.blocks, came.missing, came.unknown), (0, 0, 20));
}

#[tokio::test(start_paused = true)]
async fn a_car_cut_short_gives_what_is_left_of_it() {
    let car = Arc::new(Car::new(0, vec![3000; 100]));
    for whole_car in [0, 8 << 20] {
        let place = Place::new([&car]).await;
        let cut = car.bytes(0..car.offsets[50] + 1500);
        place.carpark.remove(&layout::car(&car.cid));
        place.carpark.put(&layout::car(&car.cid), PutPayload::from(cut)).await.unwrap();
        let mut reader = place.reader_with(Config { whole_car, ..place.config() }, vec![]);
        assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
        let came = fetch(&mut reader, &car.cids(), 30, 0).await;
        assert_eq!(came, Fetched { blocks: 50, unknown: 50, ..Fetched::default() });
        assert!(place.faults.said(&car.cid.to_string(), "it ends at byte"), "{:?}", place.faults.lines());
        assert_eq!(place.carpark.open.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_without_its_car_or_index_is_named_and_is_no_place() {
    let car = small(0);
    let place = Place::new([&car]).await;
    place.satnav.delete(&layout::index(&car.cid)).await.unwrap();
    assert_eq!(ask(&mut place.reader(), car.root(), Want::Block).await, Found::Unlisted);
    assert!(place.faults.said(layout::index(&car.cid).as_ref(), "no index"), "{:?}", place.faults.lines());
}
