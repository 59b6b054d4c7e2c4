//! How many requests reads take, from a cold start: listing and index included.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use cid::Cid;
use hoverboard_store::reader::{Found, Reader, Step, Want};

use super::support::{Car, Fetched, Place, ask, fetch, shuffled};

const GIB: u64 = 1 << 30;

#[tokio::test(start_paused = true)]
async fn a_gibibyte_in_dag_order_takes_less_than_64_requests() {
    for at_once in [16, 64] {
        let car = Arc::new(Car::new(0, vec![256 << 10; 4096]));
        let place = Place::new([&car]).await;
        let mut reader = place.reader();
        assert_eq!(fetch(&mut reader, &car.cids(), at_once, 0).await, Fetched::all(4096));
        println!("{at_once} at a time: {} requests", place.requests());
        assert!(place.requests() <= 64, "{}", place.requests());
        let read = place.carpark.read.load(Ordering::Relaxed);
        assert!(read < GIB + GIB / 64, "{read} bytes were read");
        assert!(reader.is_idle());
    }
}

#[tokio::test(start_paused = true)]
async fn a_packed_car_of_small_blocks_takes_four_requests_in_any_order() {
    let car = Arc::new(Car::new(0, vec![1 << 10; 4000]));
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    // The root comes first, because only that is found; the others come as the client pleases.
    assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
    let rest = shuffled(car.cids().split_off(1), 1);
    assert_eq!(fetch(&mut reader, &rest, 1024, 0).await, Fetched::all(3999));
    println!("{} requests", place.requests());
    assert!(place.requests() <= 4, "{}", place.requests());
}

/// The root, and small blocks between large ones.
fn spread() -> (Arc<Car>, Vec<Cid>) {
    let lens = (0..8000).map(|number| if number % 2 == 0 { 1 << 10 } else { 267 << 10 }).collect();
    let car = Arc::new(Car::new(0, lens));
    assert!(car.size() > GIB);
    let small = (0..8000).step_by(2).map(|number| car.cid_of(number)).skip(1).collect();
    (car, shuffled(small, 2))
}

#[tokio::test(start_paused = true)]
async fn small_blocks_spread_over_a_gibibyte_take_less_than_300_requests_in_any_order() {
    // How many answers a peer has before it wants something new: those that are on their way to it are many where a
    // peer is far.
    for lump in [1, 64, 300, 700, 1000] {
        let (car, small) = spread();
        let place = Place::new([&car]).await;
        let mut reader = place.reader();
        assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
        assert_eq!(fetch_in_lumps(&mut reader, &small, 1024, lump).await, 3999);
        let read = place.carpark.read.load(Ordering::Relaxed) >> 20;
        println!("{lump} at a time: {} requests, {read} MiB", place.requests());
        assert!(place.requests() <= 300, "{} requests, {lump} at a time", place.requests());
    }
}

/// Asks for blocks, so many at a time, of which the first ones come in pieces and the later ones in lumps. Returns how
/// many came.
async fn fetch_in_lumps(reader: &mut Reader, cids: &[Cid], at_once: usize, lump: usize) -> usize {
    let mut rest = (0..).zip(cids);
    let mut wanted = |reader: &mut Reader, count| {
        let wants: Vec<_> = rest.by_ref().take(count).collect();
        wants.iter().for_each(|(key, cid)| reader.push(*key, **cid, Want::Block));
        wants.len()
    };
    let mut open = 0;
    for _ in 0..16 {
        open += wanted(reader, at_once / 16);
        // As far as it comes before the next message is here.
        let step = poll_fn(|cx| Poll::Ready(reader.poll_next(cx, 1))).await;
        open -= usize::from(matches!(step, Poll::Ready(Step::Answer(..))));
    }
    let mut came = at_once / 16 * 16 - open;
    let mut owed = came;
    while open > 0 {
        let Step::Answer(_, Found::Block(_)) = poll_fn(|cx| reader.poll_next(cx, 1)).await else { panic!() };
        (came, owed, open) = (came + 1, owed + 1, open - 1);
        if owed >= lump {
            open += wanted(reader, owed);
            owed = 0;
        }
    }
    came
}
