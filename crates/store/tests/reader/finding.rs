//! What is found, what is missing, and what cannot be told.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use hoverboard_store::library::{Config, Library};
use hoverboard_store::reader::{Found, Reader, Step, Want};
use hoverboard_store::{CarCid, layout};
use multihash::Multihash;
use object_store::{ObjectStoreExt, PutPayload};

use super::support::{Car, Faults, Fetched, Place, ask, fetch, shuffled, unlimited};

fn small(first: u64) -> Arc<Car> {
    Arc::new(Car::new(first, vec![2000; 100]))
}

fn nowhere(number: u8) -> Cid {
    Cid::new_v1(0x55, Multihash::wrap(0x12, &[number; 32]).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_root_is_listed_once_and_its_dag_is_looked_up_in_memory() {
    let car = small(0);
    let place = Place::new([&car, &small(1000)]).await;
    let mut reader = place.reader();
    assert_eq!(fetch(&mut reader, &car.cids(), 1, 0).await, Fetched::all(100));
    assert_eq!((place.dudewhere.asked(), place.satnav.asked()), (1, 1));
    assert_eq!(reader.cars().collect::<Vec<_>>(), [&car.cid]);
    assert!(reader.cars_changed());
    assert!(!reader.cars_changed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_cars_are_remembered_is_served_mid_dag_without_a_listing() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let mut reader = place.reader_with(place.config(), vec![CarCid::of_digest([9; 32]), car.cid]);
    assert_eq!(fetch(&mut reader, &car.cids()[50..], 20, 0).await, Fetched::all(50));
    assert_eq!(place.dudewhere.asked(), 0);
    assert_eq!(reader.cars().collect::<Vec<_>>(), [&car.cid], "the one that is gone is forgotten");
    assert!(reader.cars_changed());
}

#[tokio::test(start_paused = true)]
async fn both_versions_of_a_root_find_the_same_car() {
    let place = Place::new(&[small(0)]).await;
    let root = Cid::new_v1(0x70, *small(0).root().hash());
    place.dudewhere.put(&layout::entry(&root, &small(0).cid), PutPayload::default()).await.unwrap();
    let v0 = Cid::new_v0(*root.hash()).unwrap();
    assert!(matches!(ask(&mut place.reader(), v0, Want::Block).await, Found::Block(_)));
    assert!(matches!(ask(&mut place.reader(), root, Want::Block).await, Found::Block(_)));
}

#[tokio::test(start_paused = true)]
async fn other_entries_of_a_root_are_passed_over() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let rollup = format!("{}/.rollup.idx", layout::entries(&car.root()));
    place.dudewhere.put(&rollup.into(), PutPayload::default()).await.unwrap();
    assert!(matches!(ask(&mut place.reader(), car.root(), Want::Block).await, Found::Block(_)));
    assert_eq!(place.faults.lines(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_dag_in_many_cars_is_read_from_all_of_them() {
    let cars: Vec<Arc<Car>> = (0..60).map(|number| small(number * 1000)).collect();
    let place = Place::new(&cars).await;
    for car in &cars {
        place.dudewhere.put(&layout::entry(&cars[0].root(), &car.cid), PutPayload::default()).await.unwrap();
    }
    let mut reader = place.reader();
    assert!(matches!(ask(&mut reader, cars[0].root(), Want::Block).await, Found::Block(_)));
    let all = shuffled(cars.iter().flat_map(|car| car.cids()).collect(), 1);
    assert_eq!(fetch(&mut reader, &all, 500, 0).await, Fetched::all(6000));
    assert_eq!(place.dudewhere.asked(), 1);
    assert_eq!(place.satnav.asked(), 60);
}

#[tokio::test(start_paused = true)]
async fn two_peers_that_want_the_same_at_once_share_listing_index_and_car() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let library = Library::new(place.bucket.clone(), place.config());
    let mut readers = [0, 1, 2].map(|_| Reader::new(library.clone(), unlimited(), vec![]));
    let [one, two, three] = &mut readers;
    let cids = car.cids();
    let all =
        futures_util::future::join3(fetch(one, &cids, 100, 0), fetch(two, &cids, 100, 0), fetch(three, &cids, 100, 0));
    assert_eq!(all.await, (Fetched::all(100), Fetched::all(100), Fetched::all(100)));
    assert_eq!([place.dudewhere.asked(), place.satnav.asked(), place.carpark.asked()], [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_no_listing_names_is_missing_and_is_not_asked_for_again_for_a_while() {
    let place = Place::new(&[small(0)]).await;
    let library = Library::new(place.bucket.clone(), place.config());
    let mut reader = Reader::new(library.clone(), unlimited(), vec![]);
    for now in [0, 5, 9] {
        library.set_now(Duration::from_secs(now));
        assert_eq!(ask(&mut reader, nowhere(1), Want::Block).await, Found::Unlisted);
    }
    assert_eq!(place.dudewhere.asked(), 1);
    // Imported meanwhile, and found as soon as the listing is not believed any more.
    let car = small(0);
    place.dudewhere.put(&layout::entry(&nowhere(1), &car.cid), PutPayload::default()).await.unwrap();
    library.set_now(Duration::from_secs(10));
    assert_eq!(ask(&mut reader, nowhere(1), Want::Block).await, Found::Unlisted, "that CAR does not have it");
    assert_eq!(place.dudewhere.asked(), 2);
    assert!(matches!(ask(&mut reader, car.cid_of(7), Want::Block).await, Found::Block(_)));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_blocks_that_are_nowhere_ends_in_silence() {
    let place = Place::new(&[]).await;
    let library = Library::new(place.bucket.clone(), Config { vain_listings: 50, ..place.config() });
    let mut reader = Reader::new(library.clone(), unlimited(), vec![]);
    let storm: Vec<Cid> = (0..1000).map(|number| Car::new(number * 10, vec![1]).root()).collect();
    let came = fetch(&mut reader, &storm, 1000, 0).await;
    assert!(place.dudewhere.asked() < 60, "{}", place.dudewhere.asked());
    assert_eq!((came.missing, came.unknown), (place.dudewhere.asked(), 1000 - place.dudewhere.asked()));
    library.set_now(Duration::from_secs(10));
    assert_eq!(ask(&mut reader, storm[999], Want::Block).await, Found::Unlisted);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_peer_that_wants_a_thousand_blocks_mid_dag_makes_few_listings_once_one_names_a_car() {
    let car = Arc::new(Car::new(0, vec![2000; 1000]));
    let place = Place::new([&car]).await;
    // The root is somewhere among them.
    let cids = [&car.cids()[500..], &car.cids()[..500]].concat();
    let mut reader = place.reader();
    let came = fetch(&mut reader, &cids[490..], 510, 0).await;
    assert_eq!(came.blocks + came.missing, 510);
    assert!(came.missing <= 10, "{came:?}");
    assert!(place.dudewhere.asked() <= 20);
}

#[tokio::test(start_paused = true)]
async fn a_want_have_is_answered_by_the_index_alone_unless_the_block_is_small() {
    let car = Arc::new(Car::new(0, vec![500, 200_000, 1024, 1025, 3000]));
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    let have = Want::Have { inline_limit: 1024 };
    assert_eq!(ask(&mut reader, car.cid_of(0), Want::Have { inline_limit: 0 }).await, Found::Have { size: 500 });
    assert_eq!(ask(&mut reader, car.cid_of(1), have).await, Found::Have { size: 200_000 + 1 });
    assert_eq!(ask(&mut reader, car.cid_of(4), have).await, Found::Have { size: u64::MAX }, "the last one may be any");
    assert_eq!(place.carpark.asked(), 0);
    assert!(matches!(ask(&mut reader, car.cid_of(0), have).await, Found::Block(data) if data.len() == 500));
    assert!(matches!(ask(&mut reader, car.cid_of(2), have).await, Found::Block(data) if data.len() == 1024));
    assert_eq!(ask(&mut reader, car.cid_of(3), have).await, Found::Have { size: 1025 });
    assert_eq!(ask(&mut reader, nowhere(1), have).await, Found::Unlisted);
}

#[tokio::test(start_paused = true)]
async fn a_block_that_is_its_own_cid_needs_no_bucket_and_a_hash_that_nobody_knows_is_not_vouched_for() {
    let place = Place::new(&[]).await;
    let mut reader = place.reader();
    let own = Cid::new_v1(0x55, Multihash::wrap(0, b"hello").unwrap());
    assert_eq!(ask(&mut reader, own, Want::Block).await, Found::Block("hello".into()));
    for (code, len) in [(0x12, 4), (0x7777, 32)] {
        let strange = Cid::new_v1(0x55, Multihash::wrap(code, &vec![1; len]).unwrap());
        assert_eq!(ask(&mut reader, strange, Want::Block).await, Found::Unknown);
    }
    assert_eq!(place.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_block_wanted_twice_is_read_once_and_answered_twice() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    reader.push(1, car.cid_of(0), Want::Block);
    reader.push(2, car.cid_of(0), Want::Block);
    let mut keys = Vec::new();
    while keys.len() < 2 {
        let Step::Answer(key, Found::Block(_)) = poll_fn(|cx| reader.poll_next(cx, 1)).await else { panic!() };
        keys.push(key);
    }
    assert_eq!((keys, place.carpark.asked()), (vec![1, 2], 1));
}

#[tokio::test(start_paused = true)]
async fn an_index_too_large_for_memory_is_searched_by_ranges() {
    let car = Arc::new(Car::new(0, vec![300; 20_000]));
    let place = Place::new([&car]).await;
    let config = Config { whole_index: 100 << 10, ..place.config() };
    let mut reader = place.reader_with(config, vec![]);
    assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
    let asked = place.satnav.asked();
    assert!(asked <= 4, "{asked} requests for one block of an index of 800 KB");
    let some: Vec<Cid> = (0..20_000).step_by(13).map(|number| car.cid_of(number)).collect();
    assert_eq!(fetch(&mut reader, &shuffled(some, 3), 200, 0).await, Fetched::all(1539));
    assert!(place.satnav.asked() <= 20, "{}: it has 13 pages", place.satnav.asked());
    assert_eq!(ask(&mut reader, nowhere(3), Want::Block).await, Found::Unlisted);
    assert_eq!(
        ask(&mut reader, car.cid_of(77), Want::Have { inline_limit: 1024 }).await,
        Found::Have { size: u64::MAX }
    );
    assert_eq!(place.faults.lines(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_large_index_of_which_much_is_asked_is_read_through_once() {
    let car = Arc::new(Car::new(0, vec![300; 20_000]));
    let place = Place::new([&car]).await;
    // One page fits, and the whole index boiled down.
    let config = Config { whole_index: 100 << 10, index_bytes: 256 << 10, ..place.config() };
    let mut reader = place.reader_with(config, vec![car.cid]);
    let some: Vec<Cid> = (0..20_000).step_by(13).map(|number| car.cid_of(number)).collect();
    assert_eq!(fetch(&mut reader, &shuffled(some, 3), 100, 0).await, Fetched::all(1539));
    assert!(place.satnav.asked() <= 80, "{}", place.satnav.asked());
    assert_eq!(ask(&mut reader, nowhere(3), Want::Block).await, Found::Unlisted);
    assert_eq!(place.faults.lines(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_failing_listing_or_index_never_makes_a_block_missing() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    place.dudewhere.fail(Faults::All);
    assert_eq!(ask(&mut reader, car.root(), Want::Block).await, Found::Unknown);
    assert_eq!(place.dudewhere.asked(), 3);
    place.dudewhere.fail(Faults::None);
    place.satnav.fail(Faults::All);
    assert_eq!(ask(&mut reader, car.root(), Want::Block).await, Found::Unknown);
    place.satnav.fail(Faults::None);
    place.carpark.fail(Faults::All);
    assert_eq!(ask(&mut reader, car.root(), Want::Block).await, Found::Unknown);
    place.carpark.fail(Faults::None);
    assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_roots_wanted_at_once_cost_a_search_in_the_new_car_each() {
    let cars: Vec<Arc<Car>> = (0..1000).map(|number| Arc::new(Car::new(number << 32, vec![100; 3]))).collect();
    let place = Place::new(&cars).await;
    let library = Library::new(place.bucket.clone(), place.config());
    let mut reader = Reader::new(library.clone(), unlimited(), vec![]);
    let roots: Vec<Cid> = cars.iter().map(|car| car.root()).collect();
    assert_eq!(fetch(&mut reader, &roots, 1000, 0).await, Fetched::all(1000));
    assert_eq!((place.dudewhere.asked(), place.satnav.asked()), (1000, 1000));
    // A want is looked up once in each CAR that comes to be known while it waits, and never again in an older one.
    let looks = library.looked_up();
    assert!(looks <= 1000 * 1000 / 2 + 3 * 1000, "{looks}");
}
