//! Room, patience and budgets: what is held, what is let go, and what happens when an event has spent what it may.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use hoverboard_store::ledger::{Budget, Costs, Ledger, Spent};
use hoverboard_store::library::{Config, Library};
use hoverboard_store::plan::Tuning;
use hoverboard_store::reader::{Found, Reader, Step, Want};

use super::support::{Car, Faults, Fetched, Place, fetch, unlimited};

fn large() -> Arc<Car> {
    Arc::new(Car::new(0, vec![256 << 10; 400]))
}

async fn next(reader: &mut Reader, room: usize) -> Step {
    poll_fn(|cx| reader.poll_next(cx, room)).await
}

#[tokio::test(start_paused = true)]
async fn without_room_no_block_is_given_and_nothing_is_read() {
    let car = large();
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    (0..100).for_each(|number| reader.push(number as u64, car.cid_of(number), Want::Block));
    reader.push(100, car.cid_of(100), Want::Have { inline_limit: 1024 });
    assert!(matches!(next(&mut reader, 0).await, Step::Answer(100, Found::Have { .. })), "that takes no room");
    assert!(matches!(next(&mut reader, 0).await, Step::Idle));
    assert_eq!(place.carpark.asked(), 0);
    for _ in 0..10 {
        assert!(matches!(next(&mut reader, 1).await, Step::Answer(_, Found::Block(_))));
    }
    let read = place.carpark.read.load(Ordering::Relaxed);
    for _ in 0..10 {
        assert!(matches!(next(&mut reader, 0).await, Step::Idle));
    }
    assert_eq!(place.carpark.read.load(Ordering::Relaxed), read);
    assert!(!reader.is_idle() && reader.is_holding());
}

#[tokio::test(start_paused = true)]
async fn what_is_let_go_closes_all_bodies_and_is_read_anew() {
    let car = large();
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    (0..400).for_each(|number| reader.push(number as u64, car.cid_of(number), Want::Block));
    let mut came = 0;
    while came < 400 {
        // Also in the middle of listings, searches and requests.
        let step = poll_fn(|cx| match reader.poll_next(cx, 1) {
            Poll::Pending if came % 7 == 0 => Poll::Ready(None),
            step => step.map(Some),
        });
        match step.await {
            Some(Step::Answer(_, Found::Block(_))) => came += 1,
            Some(step) => panic!("{step:?}"),
            None => tokio::task::yield_now().await,
        }
        if came % 40 == 39 {
            reader.let_go();
            assert!(!reader.is_holding());
            assert_eq!(place.carpark.open.load(Ordering::Relaxed), 0);
            assert!(matches!(next(&mut reader, 1).await, Step::Answer(_, Found::Block(_))));
            came += 1;
        }
    }
    assert!(reader.is_idle());
    assert!(place.requests() < 60, "{}", place.requests());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_wants_more_of_waits_with_a_bounded_window_until_it_is_let_go() {
    let car = large();
    let place = Place::new([&car]).await;
    let ledger = Ledger::new(Budget { bytes: 4 << 20, ..Budget::UNLIMITED });
    let library = Library::new(place.bucket.clone(), place.config());
    let mut reader = Reader::new(library, ledger.account(), vec![]);
    for number in 0..100 {
        reader.push(number as u64, car.cid_of(number), Want::Block);
        assert!(matches!(next(&mut reader, 1).await, Step::Answer(..)));
    }
    assert!(matches!(next(&mut reader, 1).await, Step::Idle));
    assert!(reader.is_idle() && reader.is_holding());
    let held = ledger.spending().bytes;
    // Four blocks were read ahead, of which the last one comes on top.
    assert!((768 << 10..=1 << 20).contains(&held), "{held}");
    let requests = place.requests();
    // What was read ahead is given at once, and the stream goes on.
    for number in 100..150 {
        reader.push(number as u64, car.cid_of(number), Want::Block);
        assert!(matches!(next(&mut reader, 1).await, Step::Answer(..)));
    }
    assert!(place.requests() <= requests + 1);
    reader.let_go();
    assert_eq!(ledger.spending().bytes, 0);
    assert_eq!(place.carpark.open.load(Ordering::Relaxed), 0);
    assert!(matches!(next(&mut reader, 1).await, Step::Idle));
}

#[tokio::test(start_paused = true)]
async fn cancelled_wants_are_not_read_and_not_answered() {
    let car = large();
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    (0..400).for_each(|number| reader.push(number as u64, car.cid_of(number), Want::Block));
    let mut came = 0;
    while came < 10 {
        let Step::Answer(key, _) = next(&mut reader, 1).await else { panic!() };
        came += 1;
        assert!(key < 400);
    }
    reader.retain(|key| key == 399);
    assert!(matches!(next(&mut reader, 1).await, Step::Answer(399, Found::Block(_))));
    assert!(matches!(next(&mut reader, 1).await, Step::Idle));
    let read = place.carpark.read.load(Ordering::Relaxed);
    assert!(read < 40 << 20, "{read}");
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_keeps_the_wants_for_the_next_event() {
    let car = Arc::new(Car::new(0, vec![1 << 20; 64]));
    let place = Place::new([&car]).await;
    let costs = Costs { request: 0, read: 0, hashed: 0, ..Costs::default() };
    let budget = Budget { requests: 4, cpu: Duration::from_secs(1), bytes: 24 << 20, waiting: 6, costs };
    let ledger = Ledger::new(budget);
    // Each want takes a request.
    let tuning = Tuning { requests: 100, ..Tuning::default() };
    let library = Library::new(place.bucket.clone(), Config { tuning, ..place.config() });
    let mut reader = Reader::new(library, ledger.account(), vec![]);
    (0..64).step_by(2).for_each(|number| reader.push(number as u64, car.cid_of(number), Want::Block));
    let (mut came, mut events) = (0, 1);
    while came < 32 {
        match next(&mut reader, 1).await {
            Step::Answer(_, Found::Block(_)) => came += 1,
            Step::Spent(spent) => {
                assert_eq!(spent, Spent::Requests);
                assert!(place.requests() <= 4 * events);
                assert_eq!(place.carpark.open.load(Ordering::Relaxed), 0, "what was begun is finished");
                ledger.begin_event();
                events += 1;
            }
            step => panic!("{step:?}"),
        }
    }
    assert!(events > 5, "{events}");
}

#[tokio::test(start_paused = true)]
async fn the_platforms_own_limit_is_met_like_ours() {
    let car = large();
    let place = Place::new([&car]).await;
    let ledger = Ledger::new(Budget::UNLIMITED);
    let library = Library::new(place.bucket.clone(), place.config());
    let mut reader = Reader::new(library, ledger.account(), vec![]);
    reader.push(0, car.root(), Want::Block);
    for store in [&place.dudewhere, &place.satnav, &place.carpark] {
        store.fail(Faults::TooMany);
        assert!(matches!(next(&mut reader, 1).await, Step::Spent(Spent::Platform)));
        let asked = place.requests();
        assert!(matches!(next(&mut reader, 1).await, Step::Spent(Spent::Platform)));
        assert_eq!(place.requests(), asked, "nothing more is tried in this event");
        store.fail(Faults::None);
        ledger.begin_event();
    }
    assert!(matches!(next(&mut reader, 1).await, Step::Answer(0, Found::Block(_))));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_another_peer_could_not_pay_for_is_paid_for_by_the_next() {
    let car = large();
    let place = Place::new([&car]).await;
    let library = Library::new(place.bucket.clone(), place.config());
    let poor = Ledger::new(Budget { requests: 1, ..Budget::UNLIMITED });
    let mut readers = [Reader::new(library.clone(), poor.account(), vec![]), Reader::new(library, unlimited(), vec![])];
    readers.iter_mut().for_each(|reader| reader.push(0, car.root(), Want::Block));
    let [one, two] = &mut readers;
    let (one, two) = futures_util::future::join(next(one, 1), next(two, 1)).await;
    assert!(matches!(one, Step::Spent(Spent::Requests)), "{one:?}");
    assert!(matches!(two, Step::Answer(0, Found::Block(_))), "{two:?}");
}

#[tokio::test(start_paused = true)]
async fn peers_that_share_one_waiting_place_all_get_their_blocks() {
    let cars: Vec<Arc<Car>> = (0..8).map(|number| Arc::new(Car::new(number << 32, vec![40 << 10; 300]))).collect();
    let place = Place::new(&cars).await;
    let ledger = Ledger::new(Budget { waiting: 1, ..Budget::UNLIMITED });
    let library = Library::new(place.bucket.clone(), place.config());
    let peers = cars.iter().map(|car| {
        let mut reader = Reader::new(library.clone(), ledger.account(), vec![]);
        async move { fetch(&mut reader, &car.cids(), 64, 0).await }
    });
    let all = tokio::time::timeout(Duration::from_secs(60), join_all(peers)).await.unwrap();
    assert!(all.iter().all(|came| *came == Fetched::all(300)), "{all:?}");
    assert_eq!(ledger.spending().waiting, 0);
}
