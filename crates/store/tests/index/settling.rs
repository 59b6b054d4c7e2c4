//! Single CARs settled by what lies in the bucket: told of late, twice and out of order; read in pieces; merged in steps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hoverboard_dag::Software;
use hoverboard_store::index::lookup::{Runs, Settings};
use hoverboard_store::index::{Index, IndexError, Listed, Options, Piece, Portion, Settled, Stats, Stepped, Verified};
use hoverboard_store::ledger::{Budget, Ledger};
use hoverboard_store::library::Config;
use hoverboard_store::{CarCid, layout};
use object_store::{ObjectStoreExt, PutPayload};
use proptest::prelude::*;

use super::support::{Answer, Car, Clock, Log, Place, block};

const PORTION: Portion = Portion { run_entries: 1 << 17, index_bytes: 1 << 20 };
const PIECE: Piece = Piece {
    bytes: 1 << 20,
    blocks: 1000,
    import: hoverboard_store::import::Options { part_size: 1 << 20, concurrency: 1 },
};

/// Who settles CARs, with a memory of its own.
struct Settler {
    index: Index,
    runs: Runs,
}

impl Settler {
    fn new(place: &Place, seed: u64) -> Self {
        let runs = Runs::new(place.bucket.clone(), Settings { life: Duration::ZERO, ..settings() });
        Self { index: place.index(seed), runs }
    }

    async fn settle(&self, cars: &[CarCid]) -> Result<Vec<Settled>, IndexError> {
        let account = Ledger::new(Budget::UNLIMITED).account();
        let mut settled = Vec::new();
        while settled.len() < cars.len() {
            settled.extend(self.index.settle(&self.runs, &cars[settled.len()..], &PORTION, &account).await?);
        }
        Ok(settled)
    }

    /// As a consumer of messages does: settles, and reads what has to be read.
    async fn told(&self, car: &Car) -> Settled {
        let outcome = self.settle(&[car.cid()]).await.unwrap().remove(0);
        let Settled::Unread(listed) = outcome else { return outcome };
        assert_eq!(read(&self.index, &listed, &PIECE).await.0, Verified::Whole(car.blocks.len() as u64));
        self.settle(&[car.cid()]).await.unwrap().remove(0)
    }
}

fn settings() -> Settings {
    Settings::of(&Config::new(Arc::new(Software), Arc::new(Clock), Arc::<Log>::default()))
}

/// Reads a CAR to its end, in how many pieces.
async fn read(index: &Index, listed: &Listed, piece: &Piece) -> (Verified, u64) {
    let (mut at, mut pieces) = (0, 0);
    loop {
        pieces += 1;
        match index.verify(listed, piece).await.unwrap() {
            Verified::Further(further) if further > at => at = further,
            outcome => return (outcome, pieces),
        }
    }
}

async fn delete(place: &Place, car: &Car) {
    place.bucket.carpark.delete(&layout::car(&car.cid())).await.unwrap();
}

/// A place whose index is complete.
async fn indexed(cars: &[&Car]) -> Place {
    let place = Place::new();
    for car in cars {
        place.put(car).await;
    }
    place.index(9).update(&Options::default(), &()).await.unwrap();
    place
}

#[tokio::test(start_paused = true)]
async fn a_car_that_anybody_put_there_is_read_described_and_found() {
    let (old, new) = (Car::new(0..20), Car::new(10..40));
    let place = indexed(&[&old]).await;
    place.put_bare(&new).await;
    let settler = Settler::new(&place, 1);
    assert!(matches!(settler.settle(&[new.cid()]).await.unwrap()[..], [Settled::Unread(_)]));
    assert_eq!(settler.told(&new).await, Settled::Added(30));
    assert_eq!(place.find(&block(35)).await, Answer::only(&new));
    let satnav = place.bucket.satnav.get(&layout::index(&new.cid())).await.unwrap().bytes().await.unwrap();
    assert_eq!(satnav, new.surveyed.index);
    place.bucket.dudewhere.head(&layout::entry(&new.blocks[0], &new.cid())).await.unwrap();
    assert!(place.index(2).check(&()).await.unwrap().findings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_told_twice_changes_nothing_and_costs_one_read_of_the_index() {
    let place = indexed(&[&Car::new(0..20)]).await;
    let new = Car::new(10..40);
    place.put(&new).await;
    let settler = Settler::new(&place, 1);
    assert_eq!(settler.told(&new).await, Settled::Added(30));
    assert_eq!(settler.told(&new).await, Settled::Indexed);
    let generation = place.index(2).newest().await.unwrap().unwrap().generation();
    let before = place.world.reads.load(Ordering::Relaxed);
    assert_eq!(settler.told(&new).await, Settled::Indexed);
    // The CAR's head, and whether there is a newer manifest.
    assert_eq!(place.world.reads.load(Ordering::Relaxed) - before, 2);
    assert_eq!(place.index(2).newest().await.unwrap().unwrap().generation(), generation);
}

#[tokio::test(start_paused = true)]
async fn a_car_that_is_gone_is_struck_and_swept_and_may_come_again() {
    let (old, gone) = (Car::new(0..20), Car::new(10..40));
    let place = indexed(&[&old, &gone]).await;
    let settler = Settler::new(&place, 1);
    delete(&place, &gone).await;
    assert_eq!(settler.told(&gone).await, Settled::Gone);
    assert_eq!(settler.told(&gone).await, Settled::Gone);
    assert_eq!(place.find(&block(35)).await, Answer::Missing);
    assert_eq!(place.find(&block(15)).await, Answer::only(&old));
    let (mut after, mut removed, mut steps) = (None, 0, 0);
    loop {
        let swept = settler.index.sweep(&[gone.cid()], after.as_deref(), 1).await.unwrap();
        (removed, steps) = (removed + swept.removed, steps + 1);
        after = swept.after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((removed, steps), (2, 3));
    place.bucket.satnav.head(&layout::index(&old.cid())).await.unwrap();
    place.put(&gone).await;
    assert_eq!(settler.told(&gone).await, Settled::Added(30));
    assert_eq!(settler.index.sweep(&[gone.cid()], None, 9).await.unwrap().removed, 0);
    assert_eq!(place.find(&block(35)).await, Answer::only(&gone));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_without_an_index_gets_one_that_does_not_claim_to_be_complete() {
    let place = Place::new();
    let car = Car::new(0..20);
    place.put(&car).await;
    let settler = Settler::new(&place, 1);
    assert_eq!(settler.told(&Car::new(50..60)).await, Settled::Gone);
    assert_eq!(settler.told(&car).await, Settled::Added(20));
    assert_eq!(place.find(&block(3)).await, Answer::only(&car));
    assert_eq!(place.find(&block(99)).await, Answer::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_car_is_read_in_pieces_to_the_same_outcome() {
    let car = Car::new(0..500);
    // The header has 59 bytes.
    for bytes in [64, 100, 999, 4096, 1 << 20] {
        let place = indexed(&[]).await;
        place.put_bare(&car).await;
        let settler = Settler::new(&place, 1);
        let Settled::Unread(listed) = settler.settle(&[car.cid()]).await.unwrap().remove(0) else { panic!() };
        let (outcome, pieces) = read(&settler.index, &listed, &Piece { bytes, ..PIECE }).await;
        assert_eq!((outcome, pieces), (Verified::Whole(500), (car.bytes.len() as u64).div_ceil(bytes)));
        let satnav = place.bucket.satnav.get(&layout::index(&car.cid())).await.unwrap().bytes().await.unwrap();
        assert_eq!(satnav, car.surveyed.index);
        assert_eq!(settler.told(&car).await, Settled::Added(500));
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_car_says_why_and_one_with_too_many_blocks_is_refused() {
    let place = indexed(&[]).await;
    let (car, large) = (Car::new(0..20), Car::new(0..1001));
    let mut bytes = car.bytes.to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    place.bucket.carpark.put(&layout::car(&car.cid()), PutPayload::from(bytes)).await.unwrap();
    place.put_bare(&large).await;
    let settler = Settler::new(&place, 1);
    let Settled::Unread(listed) = settler.settle(&[car.cid()]).await.unwrap().remove(0) else { panic!() };
    let error = settler.index.verify(&listed, &PIECE).await.unwrap_err();
    assert!(matches!(error, IndexError::Car { .. }), "{error}");
    let Settled::Unread(listed) = settler.settle(&[large.cid()]).await.unwrap().remove(0) else { panic!() };
    assert_eq!(settler.index.verify(&listed, &PIECE).await.unwrap(), Verified::TooMany);
    assert_eq!(place.find(&block(3)).await, Answer::Missing);
}

#[tokio::test(start_paused = true)]
async fn merges_in_steps_come_to_what_a_whole_merge_does() {
    let place = indexed(&[]).await;
    let settler = Settler::new(&place, 1);
    let cars: Vec<Car> = (0..30).map(|n| Car::new(n * 10..n * 10 + 15)).collect();
    for car in &cars {
        place.put(car).await;
        assert_eq!(settler.told(car).await, Settled::Added(15));
    }
    delete(&place, &cars[3]).await;
    assert_eq!(settler.told(&cars[3]).await, Settled::Gone);
    let mut merging = None;
    loop {
        merging = match settler.index.merge_step(merging).await.unwrap() {
            Stepped::Idle => break,
            Stepped::On(merging) => Some(merging),
            Stepped::Over => None,
        };
    }
    let manifest = settler.index.newest().await.unwrap().unwrap();
    assert!(Stats::of(&manifest).runs < 4, "{:?}", Stats::of(&manifest));
    for (n, car) in cars.iter().enumerate().filter(|(n, _)| *n != 3) {
        assert!(place.find(&block(n as u64 * 10 + 7)).await.has(car));
    }
    assert_eq!(place.find(&block(37)).await, Answer::Missing);
    assert!(place.index(2).check(&()).await.unwrap().findings.is_empty());
}

/// What happens in a bucket, and to the messages about it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put(usize),
    Delete(usize),
    /// A message about this CAR arrives, whether there was one or not.
    Tell(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3_usize, 0..3_usize).prop_map(|(what, car)| match what {
        0 => Step::Put(car),
        1 => Step::Delete(car),
        _ => Step::Tell(car),
    });
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn in_any_order_the_last_message_after_the_last_change_settles_it(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let place = indexed(&[]).await;
            let cars = [Car::new(0..5), Car::new(10..15), Car::new(20..25)];
            let settlers = [Settler::new(&place, 1), Settler::new(&place, 2)];
            let mut there = [false; 3];
            for (n, step) in steps.iter().enumerate() {
                match *step {
                    Step::Put(car) => {
                        place.put_bare(&cars[car]).await;
                        there[car] = true;
                    }
                    Step::Delete(car) => {
                        delete(&place, &cars[car]).await;
                        there[car] = false;
                    }
                    Step::Tell(car) => drop(settlers[n % 2].told(&cars[car]).await),
                }
            }
            for (n, car) in cars.iter().enumerate() {
                settlers[n % 2].told(car).await;
                let answer = place.find(car.blocks[1].hash()).await;
                match there[n] {
                    true => assert_eq!(answer, Answer::only(car)),
                    false => assert_eq!(answer, Answer::Missing),
                }
            }
        });
    }
}
