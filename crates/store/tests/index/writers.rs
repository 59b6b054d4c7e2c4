//! Many who change one index at once, over a store that refuses more than one write a second on a key.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use hoverboard_store::index::{Importing, Options};

use super::support::{Answer, Car, Place, Reader, block};

#[tokio::test(start_paused = true)]
async fn fifty_writers_at_once_lose_no_update() {
    const WRITERS: u64 = 50;
    let place = Place::new();
    place.index(0).begin(true).await.unwrap();
    place.world.busy.store(true, Ordering::Relaxed);
    let cars: Vec<Car> = (0..WRITERS).map(|car| Car::new((car * 10)..(car * 10 + 5))).collect();
    let write = |number: usize| {
        let (index, car, place) = (place.index(number as u64 + 1), &cars[number], &place);
        async move {
            place.put(car).await;
            let mut importing = Importing::begin(index, 1 << 20).await.unwrap().unwrap();
            assert_eq!(importing.add(std::slice::from_ref(&car.surveyed)).await.unwrap(), 1);
            importing.finish(&()).await.unwrap();
        }
    };
    join_all((0..cars.len()).map(write)).await;
    assert!(place.world.refused.load(Ordering::Relaxed) > 0, "the store was never busy");
    for car in &cars {
        let found = place.reader().locate(&car.multihashes()).await;
        assert!(found.iter().all(|answer| *answer == Answer::only(car)), "{found:?}");
    }
    let manifest = place.index(0).newest().await.unwrap().unwrap();
    assert_eq!(u64::from(manifest.next_ordinal()), WRITERS);
}

#[tokio::test(start_paused = true)]
async fn more_runs_than_a_manifest_holds_are_merged_on_the_way() {
    let place = Place::new();
    let mut importing = Importing::begin(place.index(1), 1 << 20).await.unwrap().unwrap();
    let cars: Vec<Car> = (0..150).map(|car| Car::new((car * 10)..(car * 10 + 5))).collect();
    for car in &cars {
        place.put(car).await;
        importing.add(std::slice::from_ref(&car.surveyed)).await.unwrap();
    }
    for car in &cars {
        assert_eq!(place.find(&car.multihashes()[2]).await, Answer::only(car));
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_index_the_same_cars_index_each_once() {
    let place = Place::new();
    let cars: Vec<Car> = (0..8).map(|car| Car::new((car * 100)..(car * 100 + 50))).collect();
    for car in &cars {
        place.put(car).await;
    }
    let options = Options { run_entries: 120, ..Options::default() };
    let (one, other) = (place.index(1), place.index(2));
    let (one, other) = tokio::join!(one.update(&options, &()), other.update(&options, &()));
    one.unwrap();
    other.unwrap();
    for car in &cars {
        let found = place.reader().locate(&car.multihashes()).await;
        assert!(found.iter().all(|answer| *answer == Answer::only(car)), "{found:?}");
    }
    let index = place.index(3);
    index.compact(true, &()).await.unwrap();
    let manifest = index.newest().await.unwrap().unwrap();
    // Each block once, and each CAR.
    assert_eq!(manifest.runs().iter().map(|run| run.entries).sum::<u64>(), 8 * 51);
    assert!(manifest.struck().is_empty());
}

/// What a reader that has an old manifest says is true as of then, or is found out anew.
async fn read_on(reader: &Reader, cars: &[Car]) {
    for car in cars {
        for answer in reader.locate(&car.multihashes()).await {
            assert_eq!(answer, Answer::only(car));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn indexers_a_compactor_and_readers_with_old_manifests_get_on() {
    let place = Place::new();
    let old: Vec<Car> = (0..4).map(|car| Car::new((car * 100)..(car * 100 + 50))).collect();
    for car in &old {
        place.put(car).await;
    }
    place.index(0).update(&Options::default(), &()).await.unwrap();
    let readers = [place.reader(), place.reader(), place.reader()];
    for reader in &readers {
        // Only the manifest and the small runs: pages are not read yet.
        assert_eq!(reader.find(&block(99)).await, Answer::Missing);
    }
    let new: Vec<Car> = (4..24).map(|car| Car::new((car * 100)..(car * 100 + 50))).collect();
    let index = |seed: u64, cars: std::ops::Range<usize>| {
        let (place, new) = (&place, &new);
        async move {
            let options = Options { run_entries: 100, ..Options::default() };
            for car in &new[cars] {
                place.put(car).await;
                place.index(seed).update(&options, &()).await.unwrap();
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    };
    let compact = async {
        for round in 0..40 {
            let index = place.index(1000 + round);
            index.compact(round % 3 == 0, &()).await.unwrap();
            index.collect(&index.orphans().await.unwrap()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(45)).await;
        }
    };
    let read = async {
        // One reads every ten minutes, one once in an hour, one all the time.
        for minute in 0..70 {
            read_on(&readers[0], &old).await;
            if minute % 10 == 9 {
                read_on(&readers[1], &old).await;
            }
            if minute == 60 {
                read_on(&readers[2], &old).await;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    };
    tokio::join!(index(1, 0..10), index(2, 10..20), compact, read);
    for reader in &readers {
        read_on(reader, &old).await;
        read_on(reader, &new).await;
        assert_eq!(reader.find(&block(99)).await, Answer::Missing);
    }
    assert!(place.index(9).check(&()).await.unwrap().findings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_import_begins_an_index_in_an_empty_bucket_and_in_no_other() {
    let place = Place::new();
    let (first, second) = (Car::new(0..10), Car::new(10..20));
    let mut importing = Importing::begin(place.index(1), 1 << 20).await.unwrap().unwrap();
    place.put(&first).await;
    assert_eq!(importing.add(std::slice::from_ref(&first.surveyed)).await.unwrap(), 1);
    assert_eq!(importing.add(std::slice::from_ref(&first.surveyed)).await.unwrap(), 0);
    assert_eq!(place.find(&block(3)).await, Answer::only(&first));
    assert_eq!(place.find(&block(13)).await, Answer::Missing);

    let old = Place::new();
    old.put(&first).await;
    assert!(Importing::begin(old.index(1), 1 << 20).await.unwrap().is_none());
    old.put(&second).await;
    assert_eq!(old.find(&block(3)).await, Answer::NoIndex);
}
