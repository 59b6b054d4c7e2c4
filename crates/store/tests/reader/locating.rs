//! Blocks that no known CAR has, found by an index of every block: what it costs, and what it may be believed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use hoverboard_car::{BlockOffset, SectionOffset};
use hoverboard_index::Extent;
use hoverboard_store::ledger::{Budget, Ledger, Spent};
use hoverboard_store::library::{CarPlace, Config, Library, Located, Locators};
use hoverboard_store::reader::{Found, Reader, Step, Want};
use hoverboard_store::{CarCid, layout};
use multihash::Multihash;
use object_store::{ObjectStoreExt, PutPayload};

use super::support::{Car, Faults, Fetched, Place, Table, ask, exact, fetch, shuffled, unlimited};

fn small(first: u64) -> Arc<Car> {
    Arc::new(Car::new(first, vec![2000; 100]))
}

fn nowhere(number: u8) -> Cid {
    Cid::new_v1(0x55, Multihash::wrap(0x12, &[number; 32]).unwrap())
}

fn library_with(place: &Place, config: Config, runs: &Arc<Table>) -> Arc<Library> {
    let locators = Locators { runs: Some(runs.clone()), ..Locators::default() };
    Library::with_locators(place.bucket.clone(), config, locators)
}

fn reader_with(place: &Place, config: Config, runs: &Arc<Table>) -> Reader {
    Reader::new(library_with(place, config, runs), unlimited(), vec![])
}

/// Places of the block `number` of a CAR, each `wrong` in its own way.
fn lies(car: &Car, number: usize) -> Vec<CarPlace> {
    let (offset, end) = (car.offsets[number], car.offsets[number + 1]);
    let place = |extent| CarPlace { car: car.cid, extent };
    vec![
        exact(car, number + 1),
        place(Extent::exact(SectionOffset(offset + 7), end - offset, 36)),
        place(Extent::exact(SectionOffset(1 << 40), 100, 36)),
        place(Extent::Bytes { offset: BlockOffset(offset), length: (end - offset) as u32 }),
        place(Extent::Bytes { offset: BlockOffset(offset), length: u32::MAX }),
        CarPlace { car: CarCid::of_digest([9; 32]), extent: Extent::section(SectionOffset(offset), None) },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_dag_costs_two_look_ups_and_then_the_index_of_its_car() {
    let car = small(0);
    let place = Place::new([&car, &small(1000)]).await;
    let runs = Arc::new(Table::of([&car]));
    let mut reader = reader_with(&place, place.config(), &runs);
    assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
    assert_eq!((runs.asked(), place.satnav.asked(), place.carpark.asked()), (1, 0, 1));
    assert_eq!(reader.cars().count(), 0, "one block may have come alone");
    assert_eq!(fetch(&mut reader, &shuffled(car.cids(), 1), 100, 0).await, Fetched::all(100));
    assert_eq!((runs.asked(), place.satnav.asked(), place.dudewhere.asked()), (2, 1, 0));
    assert_eq!(reader.cars().collect::<Vec<_>>(), [&car.cid]);
    assert!(reader.cars_changed());
}

#[tokio::test(start_paused = true)]
async fn blocks_of_many_cars_cost_a_look_up_each_and_no_index() {
    let cars: Vec<Arc<Car>> = (0..200).map(|number| small(number * 1000)).collect();
    let place = Place::new(&cars).await;
    let runs = Arc::new(Table::of(&cars));
    let some: Vec<Cid> = cars.iter().map(|car| car.cid_of(50)).collect();
    for at_once in [1, 200] {
        let mut reader = reader_with(&place, place.config(), &runs);
        let before = (runs.asked(), runs.calls.load(Ordering::Relaxed));
        assert_eq!(fetch(&mut reader, &some, at_once, 0).await, Fetched::all(200));
        assert_eq!(runs.asked() - before.0, 200);
        let calls = runs.calls.load(Ordering::Relaxed) - before.1;
        assert!(at_once == 1 || calls <= 6, "{calls} calls");
        assert_eq!((place.satnav.asked(), place.dudewhere.asked()), (0, 0));
        assert_eq!(reader.cars().count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_want_have_is_answered_by_the_exact_length_where_it_is_known() {
    let car = Arc::new(Car::new(0, vec![500, 200_000, 1024]));
    let place = Place::new([&car]).await;
    let runs = Arc::new(Table::of([&car]));
    let mut reader = reader_with(&place, place.config(), &runs);
    let have = Want::Have { inline_limit: 1024 };
    assert_eq!(ask(&mut reader, car.cid_of(1), have).await, Found::Have { size: 200_000 });
    assert_eq!(place.carpark.asked(), 0);
    assert!(matches!(ask(&mut reader, car.cid_of(2), have).await, Found::Block(_)));
}

#[tokio::test(start_paused = true)]
async fn where_one_place_fails_the_next_one_answers() {
    let (car, other) = (small(0), Arc::new(Car::new(0, vec![2000; 100]).renamed(&small(5000))));
    let place = Place::new([&car]).await;
    place.carpark.add(layout::car(&other.cid), other.clone());
    for whole_car in [0, 8 << 20] {
        let runs = Arc::new(Table::default());
        let cid = car.cid_of(40);
        lies(&car, 40).into_iter().for_each(|lie| runs.add(cid.hash(), lie));
        runs.add(cid.hash(), exact(&other, 40));
        let mut reader = reader_with(&place, Config { whole_car, ..place.config() }, &runs);
        assert!(matches!(ask(&mut reader, cid, Want::Block).await, Found::Block(_)));
        assert_eq!(place.dudewhere.asked(), 0);
        assert!(place.faults.said(&car.cid.to_string(), "where its index has another"), "{:?}", place.faults.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_only_lies_makes_a_block_unknown_and_never_missing() {
    let car = small(0);
    let place = Place::new([&car]).await;
    for (number, lie) in lies(&car, 40).into_iter().enumerate() {
        let runs = Arc::new(Table::default());
        runs.add(car.cid_of(40).hash(), lie);
        let mut reader = reader_with(&place, place.config(), &runs);
        let found = ask(&mut reader, car.cid_of(40), Want::Block).await;
        // A CAR that is gone is no lie, but a miss as far as it goes.
        let expected = if number == 5 { Found::Missing } else { Found::Unknown };
        assert_eq!(found, expected, "lie {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_named_by_its_own_bytes_is_read_with_or_without_its_neighbours() {
    let car = Arc::new(Car::new(0, (0..100).map(|number| 32 + number * 41).collect()));
    let place = Place::new([&car]).await;
    let bytes = |number: usize| {
        let end = car.offsets[number + 1];
        let length = 32 + number as u32 * 41;
        CarPlace { car: car.cid, extent: Extent::Bytes { offset: BlockOffset(end - u64::from(length)), length } }
    };
    for whole_car in [0, 8 << 20] {
        for (mixed, at_once) in [(false, 1), (false, 100), (true, 1), (true, 100)] {
            let runs = Arc::new(Table::default());
            for (number, cid) in car.cids().iter().enumerate() {
                runs.add(cid.hash(), if mixed && number % 2 == 0 { exact(&car, number) } else { bytes(number) });
            }
            // Without its SATNAV all is found by the runs.
            let _ = place.satnav.delete(&layout::index(&car.cid)).await;
            let mut reader = reader_with(&place, Config { whole_car, ..place.config() }, &runs);
            assert_eq!(fetch(&mut reader, &car.cids(), at_once, 0).await, Fetched::all(100));
            assert_eq!(place.dudewhere.asked(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_is_missing_only_if_the_index_and_the_listing_say_so() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let runs = Arc::new(Table::default());
    let mut reader = reader_with(&place, place.config(), &runs);
    assert_eq!(ask(&mut reader, nowhere(1), Want::Block).await, Found::Missing);
    assert_eq!((runs.asked(), place.dudewhere.asked()), (1, 1));
    // The index may be behind, where a listing is not.
    assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
    place.dudewhere.fail(Faults::All);
    assert_eq!(ask(&mut reader, nowhere(2), Want::Block).await, Found::Unknown);
    place.dudewhere.fail(Faults::None);
    runs.fails.store(true, Ordering::Relaxed);
    assert_eq!(ask(&mut reader, nowhere(3), Want::Block).await, Found::Unknown);
    runs.fails.store(false, Ordering::Relaxed);
    runs.none.store(true, Ordering::Relaxed);
    assert_eq!(ask(&mut reader, nowhere(4), Want::Block).await, Found::Unlisted);
    runs.none.store(false, Ordering::Relaxed);
    runs.say(nowhere(5).hash(), Located::At { places: vec![], more: true });
    assert_eq!(ask(&mut reader, nowhere(5), Want::Block).await, Found::Unknown, "others have it");
}

#[tokio::test(start_paused = true)]
async fn a_car_that_is_gone_is_a_miss_unless_others_have_the_block_too() {
    let car = small(0);
    let place = Place::new([&car]).await;
    for store in [&place.dudewhere, &place.satnav] {
        store.delete(&layout::entry(&car.root(), &car.cid)).await.unwrap_or_default();
        store.delete(&layout::index(&car.cid)).await.unwrap_or_default();
    }
    place.carpark.remove(&layout::car(&car.cid));
    let runs = Arc::new(Table::of([&car]));
    runs.say(car.cid_of(7).hash(), Located::At { places: vec![exact(&car, 7)], more: true });
    let mut reader = reader_with(&place, place.config(), &runs);
    assert_eq!(ask(&mut reader, car.cid_of(3), Want::Block).await, Found::Missing);
    assert_eq!(ask(&mut reader, car.cid_of(7), Want::Block).await, Found::Unknown);
}

#[tokio::test(start_paused = true)]
async fn what_no_listing_finds_another_locator_may_and_its_bytes_are_hashed() {
    let (car, place) = (small(0), Place::new([]).await);
    let (runs, claims) = (Arc::new(Table::default()), Arc::new(Table::default()));
    let block = |number: usize| {
        let end = car.offsets[number + 1];
        Bytes::from(car.bytes(end - 2000..end))
    };
    claims.say(car.cid_of(1).hash(), Located::Block(block(1)));
    claims.say(car.cid_of(2).hash(), Located::Block(block(3)));
    claims.say(car.cid_of(4).hash(), Located::Unknown);
    let locators = Locators { runs: Some(runs.clone()), others: vec![claims.clone()] };
    let library = Library::with_locators(place.bucket.clone(), place.config(), locators);
    let mut reader = Reader::new(library, unlimited(), vec![]);
    assert_eq!(ask(&mut reader, car.cid_of(1), Want::Block).await, Found::Block(block(1)));
    let have = Want::Have { inline_limit: 1024 };
    assert_eq!(ask(&mut reader, car.cid_of(1), have).await, Found::Have { size: 2000 });
    assert_eq!(ask(&mut reader, car.cid_of(2), Want::Block).await, Found::Unknown);
    assert_eq!(ask(&mut reader, car.cid_of(4), Want::Block).await, Found::Unknown);
    assert_eq!(ask(&mut reader, car.cid_of(5), Want::Block).await, Found::Missing);
    assert_eq!((runs.asked(), claims.asked()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_the_event_cannot_pay_for_is_made_in_the_next_one() {
    let car = small(0);
    let place = Place::new([&car]).await;
    let runs = Arc::new(Table::of([&car]));
    let ledger = Ledger::new(Budget { requests: 1, ..Budget::UNLIMITED });
    let mut reader = Reader::new(library_with(&place, place.config(), &runs), ledger.account(), vec![]);
    reader.push(0, car.cid_of(9), Want::Block);
    for _ in 0..2 {
        let step = std::future::poll_fn(|cx| reader.poll_next(cx, 1)).await;
        assert!(matches!(step, Step::Spent(Spent::Requests) | Step::Answer(0, Found::Block(_))), "{step:?}");
        ledger.begin_event();
    }
    assert!(reader.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_blocks_that_are_nowhere_makes_few_listings() {
    let place = Place::new([]).await;
    let runs = Arc::new(Table::default());
    let library = library_with(&place, Config { vain_listings: 50, ..place.config() }, &runs);
    let mut reader = Reader::new(library.clone(), unlimited(), vec![]);
    let storm: Vec<Cid> = (0..1000).map(|number| Car::new(number * 10, vec![1]).root()).collect();
    let came = fetch(&mut reader, &storm, 1000, 0).await;
    assert!(place.dudewhere.asked() < 60, "{}", place.dudewhere.asked());
    assert_eq!((came.missing, came.unknown), (place.dudewhere.asked(), 1000 - place.dudewhere.asked()));
    assert!(runs.calls.load(Ordering::Relaxed) <= 20);
    library.set_now(Duration::from_secs(10));
    assert_eq!(ask(&mut reader, storm[999], Want::Block).await, Found::Missing);
}

#[tokio::test(start_paused = true)]
async fn a_car_that_came_after_the_index_was_made_is_found_by_its_root_and_then_in_memory() {
    let (old, new) = (small(0), small(1000));
    let place = Place::new([&old, &new]).await;
    let runs = Arc::new(Table::of([&old]));
    let mut reader = reader_with(&place, place.config(), &runs);
    assert_eq!(fetch(&mut reader, &[new.cids(), old.cids()].concat(), 200, 0).await, Fetched::all(200));
    assert!(place.dudewhere.asked() <= 2, "{}", place.dudewhere.asked());
    place.dudewhere.put(&layout::entry(&nowhere(1), &new.cid), PutPayload::default()).await.unwrap();
    assert_eq!(ask(&mut reader, nowhere(1), Want::Block).await, Found::Missing, "that CAR does not have it");
}
