//! How many requests reads take, from a cold start: listing and index included.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cid::Cid;
use hoverboard_store::reader::{Found, Want};

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
    let (car, small) = spread();
    let place = Place::new([&car]).await;
    let mut reader = place.reader();
    assert!(matches!(ask(&mut reader, car.root(), Want::Block).await, Found::Block(_)));
    assert_eq!(fetch(&mut reader, &small, 1024, 0).await, Fetched::all(3999));
    println!("{} requests, {} MiB", place.requests(), place.carpark.read.load(Ordering::Relaxed) >> 20);
    assert!(place.requests() <= 300, "{}", place.requests());
}
