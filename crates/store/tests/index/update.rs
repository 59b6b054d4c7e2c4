//! `update`: what is in CARPARK is in the index, whoever put it there, and nothing is done twice.

use std::sync::atomic::Ordering;

use hoverboard_car::SectionOffset;
use hoverboard_car::index::{Codec, IndexBuilder};
use hoverboard_store::index::{IndexError, Options, Updated};
use hoverboard_store::{CarCid, layout};
use object_store::{ObjectStoreExt, PutPayload};

use super::support::{Answer, Car, Log, Place, block};

#[tokio::test(start_paused = true)]
async fn every_block_of_every_car_is_found_and_no_other() {
    let place = Place::new();
    let cars: Vec<Car> = (0..5).map(|car| Car::new((car * 100)..(car * 100 + 50))).collect();
    for car in &cars {
        place.put(car).await;
    }
    assert_eq!(place.find(&block(0)).await, Answer::NoIndex);
    let updated = place.index(1).update(&Options::default(), &()).await.unwrap();
    assert_eq!(updated, Updated { cars: 5, blocks: 250, gone: 0, faults: 0, indexed: 5 });
    let reader = place.reader();
    for car in &cars {
        let found = reader.locate(&car.multihashes()).await;
        assert!(found.iter().all(|answer| *answer == Answer::only(car)), "{found:?}");
    }
    assert_eq!(reader.find(&block(99)).await, Answer::Missing);

    let writes = place.world.writes.load(Ordering::Relaxed);
    let again = place.index(2).update(&Options::default(), &()).await.unwrap();
    assert_eq!(again, Updated { indexed: 5, ..Updated::default() });
    assert_eq!(place.world.writes.load(Ordering::Relaxed), writes);
}

#[tokio::test(start_paused = true)]
async fn a_car_that_anybody_put_there_gets_an_index_and_entries() {
    let place = Place::new();
    let car = Car::new(0..30);
    place.put_bare(&car).await;
    place.index(1).update(&Options::default(), &()).await.unwrap();
    let index = place.bucket.satnav.get(&layout::index(&car.cid())).await.unwrap().bytes().await.unwrap();
    assert_eq!(index, car.surveyed.index);
    place.bucket.dudewhere.head(&layout::entry(&car.blocks[0], &car.cid())).await.unwrap();
    assert_eq!(place.find(&block(29)).await, Answer::only(&car));
}

#[tokio::test(start_paused = true)]
async fn a_satnav_index_that_is_none_is_made_anew() {
    let place = Place::new();
    let car = Car::new(0..30);
    place.put(&car).await;
    let mut beyond = IndexBuilder::new(Codec::MultihashIndexSorted);
    beyond.push(&block(7), SectionOffset(1 << 40));
    let mut unsorted = car.surveyed.index.to_vec();
    let len = unsorted.len();
    unsorted[len - 80..].rotate_left(40);
    for (seed, bad) in [b"no index".to_vec(), beyond.finish(), unsorted].into_iter().enumerate() {
        let place = Place::new();
        place.put(&car).await;
        place.bucket.satnav.put(&layout::index(&car.cid()), PutPayload::from(bad)).await.unwrap();
        place.index(seed as u64).update(&Options::default(), &()).await.unwrap();
        let index = place.bucket.satnav.get(&layout::index(&car.cid())).await.unwrap().bytes().await.unwrap();
        assert_eq!(index, car.surveyed.index);
        assert_eq!(place.find(&block(7)).await, Answer::only(&car));
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_car_is_damaged_it_is_told_and_no_block_is_said_to_be_missing() {
    let place = Place::new();
    let (good, mut bad) = (Car::new(0..30), Car::new(30..60));
    let mut bytes = bad.bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bad.bytes = bytes.into();
    place.put_bare(&good).await;
    place.put_bare(&bad).await;
    let log = Log::default();
    let updated = place.index(1).update(&Options::default(), &log).await.unwrap();
    assert_eq!((updated.cars, updated.faults), (1, 1));
    assert!(log.said(&bad.cid().to_string()));
    assert_eq!(place.find(&block(0)).await, Answer::only(&good));
    assert_eq!(place.find(&block(31)).await, Answer::Unknown);
    place.bucket.carpark.delete(&layout::car(&bad.cid())).await.unwrap();
    place.index(1).update(&Options::default(), &()).await.unwrap();
    assert_eq!(place.find(&block(31)).await, Answer::Missing);
}

#[tokio::test(start_paused = true)]
async fn cars_that_are_gone_are_struck_and_those_that_were_replaced_are_indexed_anew() {
    let place = Place::new();
    let cars = [Car::new(0..10), Car::new(10..20)];
    for car in &cars {
        place.put(car).await;
    }
    let index = place.index(1);
    index.update(&Options::default(), &()).await.unwrap();
    place.bucket.carpark.delete(&layout::car(&cars[0].cid())).await.unwrap();
    // The same bytes under a new ETag: another object.
    place.put_bare(&cars[1]).await;
    let updated = index.update(&Options::default(), &()).await.unwrap();
    assert_eq!((updated.cars, updated.gone, updated.indexed), (1, 1, 1));
    assert_eq!(place.find(&block(3)).await, Answer::Missing);
    assert_eq!(place.find(&block(13)).await, Answer::only(&cars[1]));
    let manifest = index.newest().await.unwrap().unwrap();
    assert_eq!(manifest.struck().len(), 2);

    index.compact(true, &()).await.unwrap();
    let manifest = index.newest().await.unwrap().unwrap();
    assert_eq!((manifest.struck().len(), manifest.runs().len()), (0, 1));
    assert_eq!(place.find(&block(3)).await, Answer::Missing);
    assert_eq!(place.find(&block(13)).await, Answer::only(&cars[1]));
    // What was forgotten is no longer known, and comes back when it does.
    place.put(&cars[0]).await;
    assert_eq!(index.update(&Options::default(), &()).await.unwrap().cars, 1);
    assert_eq!(place.find(&block(3)).await, Answer::only(&cars[0]));
}

#[tokio::test(start_paused = true)]
async fn a_car_with_more_blocks_than_a_run_holds_goes_on_in_the_next() {
    let place = Place::new();
    let (large, small) = (Car::new(0..20_000), Car::new(30_000..30_010));
    place.put(&large).await;
    place.put(&small).await;
    let options = Options { run_entries: 3_000, ..Options::default() };
    let index = place.index(1);
    index.update(&options, &()).await.unwrap();
    assert!(index.newest().await.unwrap().unwrap().runs().len() > 2);
    let found = place.reader().locate(&large.multihashes()).await;
    assert!(found.iter().all(|answer| *answer == Answer::only(&large)));
    // All of it is known, and all of it goes.
    assert_eq!(index.update(&options, &()).await.unwrap().cars, 0);
    place.bucket.carpark.delete(&layout::car(&large.cid())).await.unwrap();
    index.update(&options, &()).await.unwrap();
    let found = place.reader().locate(&large.multihashes()).await;
    assert!(found.iter().all(|answer| *answer == Answer::Missing));
    assert_eq!(place.find(&block(30_000)).await, Answer::only(&small));
}

#[tokio::test(start_paused = true)]
async fn an_index_too_large_for_memory_is_read_in_pieces() {
    const BLOCKS: u64 = 250_000;
    let place = Place::new();
    let car = CarCid::of_digest([9; 32]);
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    (0..BLOCKS).for_each(|number| builder.push(&block(number), SectionOffset(number)));
    place.bucket.satnav.put(&layout::index(&car), PutPayload::from(builder.finish())).await.unwrap();
    place.bucket.carpark.put(&layout::car(&car), PutPayload::from(vec![0; BLOCKS as usize])).await.unwrap();
    let updated = place.index(1).update(&Options::default(), &()).await.unwrap();
    assert_eq!((updated.cars, updated.blocks), (1, BLOCKS));
    let reader = place.reader();
    for number in (0..BLOCKS).step_by(25_000) {
        assert_eq!(reader.find(&block(number)).await, Answer::In([car].into()));
    }
    assert_eq!(reader.find(&block(BLOCKS)).await, Answer::Missing);

    // Found by a page of the run and one of the CAR table, missed by a page of the run; and what is in memory is not read.
    let reads = || place.world.reads.load(Ordering::Relaxed);
    let reader = place.reader();
    assert_eq!(reader.find(&block(BLOCKS)).await, Answer::Missing);
    for (number, expected) in [(1_000, 2), (1_000, 0), (2_000, 1), (BLOCKS + 5, 1)] {
        let before = reads();
        reader.find(&block(number)).await;
        assert_eq!(reads() - before, expected, "block {number}");
    }
    // Whether the manifest is still the newest is asked for once in ten seconds.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let before = reads();
    reader.locate(&[block(1_000), block(2_000)]).await;
    assert_eq!(reads() - before, 1);
    assert!(reader.runs.cached_bytes() < 2 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_it_and_what_was_added_stays() {
    let place = Place::new();
    let cars: Vec<Car> = (0..4).map(|car| Car::new((car * 100)..(car * 100 + 50))).collect();
    for car in &cars {
        place.put(car).await;
    }
    // A commit for each CAR.
    let options = Options { run_entries: 40, concurrency: 1, ..Options::default() };
    for writes in 0..100 {
        place.world.crash_after.store(writes, Ordering::Relaxed);
        let outcome = place.index(writes as u64).update(&options, &()).await;
        place.world.restart();
        match outcome {
            Ok(_) => break,
            Err(IndexError::Store { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        // Nothing is said to be missing before all was looked at.
        for car in &cars {
            let answer = place.find(&car.multihashes()[3]).await;
            assert!(answer.has(car) || [Answer::Unknown, Answer::NoIndex].contains(&answer), "{answer:?}");
        }
    }
    for car in &cars {
        let found = place.reader().locate(&car.multihashes()).await;
        assert!(found.iter().all(|answer| answer.has(car)));
    }
    assert_eq!(place.find(&block(99)).await, Answer::Missing);
}
