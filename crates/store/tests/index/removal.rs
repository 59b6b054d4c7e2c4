//! CARs removed: everywhere, also when the removal is cut short; and what others have is never said to be missing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use hoverboard_store::index::{IndexError, Options, Removal, Removed};
use object_store::ObjectStore;

use super::support::{Answer, Car, Place, block};

/// How many objects of the three places name this CAR.
async fn objects(place: &Place, car: &Car) -> usize {
    let mut count = 0;
    for store in [&place.bucket.carpark, &place.bucket.dudewhere, &place.bucket.satnav] {
        let name = car.cid().to_string();
        count += store
            .list(None)
            .filter(|meta| {
                let names = meta.as_ref().is_ok_and(|meta| meta.location.as_ref().contains(&name));
                std::future::ready(names)
            })
            .count()
            .await;
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_removed_car_is_gone_from_everywhere_and_for_running_readers_within_ten_seconds() {
    let place = Place::new();
    let (gone, kept) = (Car::new(0..20), Car::new(10..30));
    place.put(&gone).await;
    place.put(&kept).await;
    let index = place.index(1);
    index.update(&Options::default(), &()).await.unwrap();
    let reader = place.reader();
    assert!(reader.find(&block(3)).await.has(&gone));
    let removed = index.remove(&Removal::Car(gone.cid())).await.unwrap();
    assert_eq!(removed, Removed { cars: vec![gone.cid()], objects: 3 });
    assert_eq!(objects(&place, &gone).await, 0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(reader.find(&block(3)).await, Answer::Missing);
    assert_eq!(reader.find(&block(13)).await, Answer::only(&kept));
    assert_eq!(index.update(&Options::default(), &()).await.unwrap().cars, 0);
    assert!(index.check(&()).await.unwrap().findings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_crashes_anywhere_is_finished_by_the_next() {
    let car = Car::new(0..20);
    let root = car.blocks[0];
    for what in [Removal::Car(car.cid()), Removal::Root(root)] {
        for writes in 0..20 {
            let place = Place::new();
            place.put(&car).await;
            let index = place.index(1);
            index.update(&Options::default(), &()).await.unwrap();
            place.world.crash_after.store(writes, Ordering::Relaxed);
            let outcome = index.remove(&what).await;
            place.world.restart();
            let done = match outcome {
                Ok(_) => true,
                Err(IndexError::Store { .. }) => false,
                Err(error) => panic!("{error}"),
            };
            index.remove(&what).await.unwrap();
            assert_eq!(objects(&place, &car).await, 0);
            assert_eq!(place.find(&block(3)).await, Answer::Missing);
            assert!(index.check(&()).await.unwrap().findings.is_empty());
            if done {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_four_kept_cars_are_removed_while_a_fifth_has_the_block() {
    let place = Place::new();
    // Block 7 lies in all of them; a run keeps four.
    let cars: Vec<Car> = (1..=5).map(|car| Car::new([car * 100, 7])).collect();
    for car in &cars {
        place.put(car).await;
    }
    let index = place.index(1);
    index.update(&Options::default(), &()).await.unwrap();
    let Answer::In(kept) = place.find(&block(7)).await else { panic!("it is not found") };
    assert_eq!(kept.len(), 4);
    let fifth = cars.iter().find(|car| !kept.contains(&car.cid())).unwrap();
    for car in &kept {
        index.remove(&Removal::Car(*car)).await.unwrap();
    }
    assert_eq!(place.find(&block(7)).await, Answer::Unknown);
    assert_eq!(index.check(&()).await.unwrap().findings.len(), 1);
    // Nor does a merge make it a miss.
    index.compact(true, &()).await.unwrap();
    assert_eq!(place.find(&block(7)).await, Answer::Unknown);
    assert_eq!(place.find(&block(8)).await, Answer::Missing);

    let checked = index.mend(&Options::default(), &()).await.unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    assert_eq!(place.find(&block(7)).await, Answer::only(fifth));
    index.compact(true, &()).await.unwrap();
    assert_eq!(place.find(&block(7)).await, Answer::only(fifth));
    assert_eq!(place.find(&fifth.multihashes()[0]).await, Answer::only(fifth));
}

#[tokio::test(start_paused = true)]
async fn when_all_who_had_a_block_are_gone_it_is_missing_after_a_mend() {
    let place = Place::new();
    let cars: Vec<Car> = (1..=6).map(|car| Car::new([car * 100, 7])).collect();
    let other = Car::new(1_000..1_010);
    for car in cars.iter().chain([&other]) {
        place.put(car).await;
    }
    let index = place.index(1);
    index.update(&Options::default(), &()).await.unwrap();
    for car in &cars {
        index.remove(&Removal::Car(car.cid())).await.unwrap();
    }
    index.compact(true, &()).await.unwrap();
    assert_eq!(place.find(&block(7)).await, Answer::Unknown);
    let checked = index.mend(&Options::default(), &()).await.unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    assert_eq!(place.find(&block(7)).await, Answer::Missing);
    assert_eq!(place.find(&block(1_003)).await, Answer::only(&other));
}
