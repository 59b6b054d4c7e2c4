//! What all readers hold together: wants, indexes that are being read, sections that are half there.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use hoverboard_store::library::{Config, Library};
use hoverboard_store::reader::{Found, Reader, Step, Want};

use super::support::{Car, Fetched, Place, ask, fetch, unlimited};

/// Polls a reader once.
async fn turn(reader: &mut Reader, room: usize) -> Poll<Step> {
    let step = poll_fn(|cx| Poll::Ready(reader.poll_next(cx, room))).await;
    tokio::task::yield_now().await;
    step
}

#[tokio::test(start_paused = true)]
async fn indexes_that_many_peers_need_at_once_are_read_as_far_as_there_is_memory_for_them() {
    // Of 80 KB each, and as much again while they are opened.
    let cars: Vec<Arc<Car>> = (0..50).map(|number| Arc::new(Car::new(number << 32, vec![40; 2000]))).collect();
    let place = Place::new(&cars).await;
    for (index_bytes, whole_index) in [(400 << 10, 4 << 20), (100 << 10, 4 << 20), (400 << 10, 10 << 10)] {
        let config = Config { index_bytes, whole_index, whole_car: 0, ..place.config() };
        let library = Library::new(place.bucket.clone(), config);
        let most = std::cell::Cell::new(0);
        let peers = cars.iter().map(|car| {
            // Each was reading four of them.
            let first = cars.iter().position(|other| other.cid == car.cid).unwrap();
            let known = (0..4).map(|more| cars[(first + more) % 50].cid).collect();
            let mut reader = Reader::new(library.clone(), unlimited(), known);
            let (most, library) = (&most, &library);
            async move {
                for number in [700, 701, 1999] {
                    reader.push(number as u64, car.cid_of(number), Want::Block);
                    let step = poll_fn(|cx| {
                        let step = reader.poll_next(cx, 1);
                        most.set(most.get().max(library.cached().indexes));
                        step
                    });
                    assert!(matches!(step.await, Step::Answer(_, Found::Block(_))));
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(60), join_all(peers)).await.expect("nobody waits for ever");
        // One that is larger than all may be is read alone.
        let limit = index_bytes.max(200 << 10);
        assert!(most.get() <= limit, "{} of {limit}", most.get());
    }
}

#[tokio::test(start_paused = true)]
async fn peers_that_never_read_hold_no_more_of_half_sections_than_all_may() {
    let car = Arc::new(Car::new(0, vec![1 << 20; 64]));
    let place = Place::new([&car]).await;
    let config = Config { section_bytes: 5 << 20, ..place.config() };
    let library = Library::new(place.bucket.clone(), config);
    place.carpark.slow.store(true, Ordering::Relaxed);
    let mut readers: Vec<Reader> = (0..50).map(|_| Reader::new(library.clone(), unlimited(), vec![car.cid])).collect();
    for (number, reader) in readers.iter_mut().enumerate() {
        (0..64).step_by(8).for_each(|block| reader.push(block as u64, car.cid_of(block), Want::Block));
        for _ in 0..8 {
            drop(turn(reader, 1).await);
            assert!(library.cached().sections <= 5 << 20, "peer {number}: {:?}", library.cached());
        }
    }
    assert!(library.cached().sections > 4 << 20, "{:?}", library.cached());
    // None of these comes back; another one waits until they are let go.
    let mut last = Reader::new(library.clone(), unlimited(), vec![car.cid]);
    last.push(0, car.cid_of(1), Want::Block);
    let answer = poll_fn(|cx| last.poll_next(cx, 1));
    assert!(tokio::time::timeout(Duration::from_secs(1), answer).await.is_err());
    readers.iter_mut().for_each(Reader::let_go);
    assert_eq!(library.cached().sections, 0);
    let answer = poll_fn(|cx| last.poll_next(cx, 1));
    let answer = tokio::time::timeout(Duration::from_secs(1), answer).await.expect("there is room");
    assert!(matches!(answer, Step::Answer(0, Found::Block(_))));
    // All who read get everything, however little there is.
    let peers = readers.iter_mut().map(|reader| async {
        reader.retain(|_| false);
        let cids: Vec<_> = (0..64).step_by(8).map(|block| car.cid_of(block)).collect();
        assert_eq!(fetch(reader, &cids, 64, 0).await, Fetched::all(8));
    });
    tokio::time::timeout(Duration::from_secs(60), join_all(peers)).await.expect("nobody waits for ever");
}

#[tokio::test(start_paused = true)]
async fn a_section_larger_than_all_may_be_is_received_alone() {
    let car = Arc::new(Car::new(0, vec![2 << 20; 8]));
    let place = Place::new([&car]).await;
    let library = Library::new(place.bucket.clone(), Config { section_bytes: 1 << 20, ..place.config() });
    let mut readers = [0, 1, 2].map(|_| Reader::new(library.clone(), unlimited(), vec![car.cid]));
    place.carpark.slow.store(true, Ordering::Relaxed);
    let cids = car.cids();
    let peers = readers.iter_mut().map(|reader| fetch(reader, &cids, 8, 0));
    let all = tokio::time::timeout(Duration::from_secs(60), join_all(peers)).await.expect("nobody waits for ever");
    assert!(all.iter().all(|came| *came == Fetched::all(8)), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn wants_of_all_peers_are_bounded_and_everybody_may_have_some() {
    let car = Arc::new(Car::new(0, vec![100; 1024]));
    let place = Place::new([&car]).await;
    let config = Config { wants: 4096, ..place.config() };
    let library = Library::new(place.bucket.clone(), config);
    let mut readers: Vec<Reader> = (0..50).map(|_| Reader::new(library.clone(), unlimited(), vec![car.cid])).collect();
    let mut taken = Vec::new();
    for reader in &mut readers {
        let mut wants = 0;
        while wants < 1024 && !reader.is_full() {
            reader.push(wants as u64, car.cid_of(wants), Want::Block);
            wants += 1;
        }
        taken.push(wants);
        assert!(library.cached().wants <= 4096);
    }
    assert_eq!((taken[0], taken[1]), (1024, 1024));
    assert!(taken.iter().all(|wants| *wants >= 16), "{taken:?}");
    assert!(taken.iter().sum::<usize>() <= 4096 + 50 * 16);
    // Who has an answer may take another want, and who has all of them leaves the others theirs.
    let last = readers.last_mut().unwrap();
    assert!(last.is_full());
    assert!(matches!(poll_fn(|cx| last.poll_next(cx, 1)).await, Step::Answer(_, Found::Block(_))));
    assert!(!last.is_full());
    readers[0].retain(|_| false);
    readers[1].retain(|_| false);
    assert!(library.cached().wants <= 2048, "{:?}", library.cached());
    assert!(!readers[40].is_full());
    drop(readers);
    assert_eq!(library.cached().wants, 0);
    let mut reader = Reader::new(library.clone(), unlimited(), vec![car.cid]);
    assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
}

#[tokio::test(start_paused = true)]
async fn half_a_section_that_nobody_wants_any_more_is_given_up() {
    let car = Arc::new(Car::new(0, vec![1 << 20; 64]));
    let place = Place::new([&car]).await;
    let config = Config { window: 1 << 20, whole_car: 0, ..place.config() };
    let library = Library::new(place.bucket.clone(), config);
    let mut reader = Reader::new(library.clone(), unlimited(), vec![car.cid]);
    place.carpark.slow.store(true, Ordering::Relaxed);
    // A stream that reads ahead until its window is full.
    for block in 0..6 {
        reader.push(block, car.cid_of(block as usize), Want::Block);
        assert!(matches!(poll_fn(|cx| reader.poll_next(cx, 1)).await, Step::Answer(..)));
    }
    assert!(matches!(poll_fn(|cx| reader.poll_next(cx, 1)).await, Step::Idle));
    assert_eq!(library.cached().sections, 0);
    // It is to go on, and is not.
    reader.push(10, car.cid_of(9), Want::Block);
    while library.cached().sections == 0 {
        assert!(turn(&mut reader, 1).await.is_pending());
    }
    reader.retain(|_| false);
    assert!(matches!(poll_fn(|cx| reader.poll_next(cx, 1)).await, Step::Idle));
    assert_eq!(library.cached().sections, 0);
    assert_eq!(fetch(&mut reader, &car.cids(), 8, 0).await, Fetched::all(64));
}
