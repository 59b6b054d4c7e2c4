//! kill -9 at random points: no block is lost, none is invented, and the next run finishes the work.
//!
//! `HOVERBOARD_KILLS` says how often: 20 times unless it is set.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::assert::OutputAssertExt;
use futures_util::StreamExt;
use hoverboard::store::Access;
use hoverboard_store::{CarCid, layout};
use object_store::ObjectStore;

use crate::stock::{Place, Said, Stock};

/// Where in its course a command is killed, and which: the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

/// Runs a command and kills it after so long, unless it ends before: whether it did, well.
fn killed(mut command: Command, after: Duration) -> bool {
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    let begun = Instant::now();
    while begun.elapsed() < after {
        if let Some(status) = running.try_wait().expect("known") {
            assert!(status.success(), "{command:?} failed");
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = running.kill();
    running.wait().expect("ended").success()
}

/// The CARs that lie in CARPARK.
fn there(place: &Place) -> BTreeSet<CarCid> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let Ok(bucket) = place.location.open_with(Access::Read, place.variables.clone()) else {
            return BTreeSet::new();
        };
        let metas: Vec<_> = bucket.carpark.list(None).collect().await;
        metas.iter().flatten().filter_map(|meta| Some(layout::car_of_key(&meta.location)?.0)).collect()
    })
}

#[test]
fn whatever_is_killed_whenever_no_block_is_lost_and_none_invented() {
    let kills = std::env::var("HOVERBOARD_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("random bytes");
    let seed = u64::from_le_bytes(random) | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);

    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::folder(&folder);
    let stock = Stock::new(8, 300);
    let begun = Instant::now();
    place.command(&["import"]).arg(&stock.cars[0].path).assert().success();
    let takes = begun.elapsed();
    // CARs whose import, or the index over them, came to its end and that nobody has begun to remove since.
    let mut certain = BTreeSet::from([0]);
    for kill in 0..kills {
        let number = dice.below(stock.cars.len() as u64) as usize;
        let car = &stock.cars[number];
        let named = car.cid.to_string();
        let what = dice.below(6);
        let command = match what {
            0 | 1 => {
                let mut command = place.command(&["import"]);
                command.arg(&car.path);
                command
            }
            2 => place.command(&["index"]),
            3 => place.command(&["index", "compact"]),
            4 => place.command(&["index", "compact", "--all"]),
            _ => {
                certain.remove(&number);
                place.command(&["remove", &named])
            }
        };
        let done = killed(command, takes.mul_f64(dice.below(1_200) as f64 / 1_000.0));
        match what {
            0 | 1 if done => drop(certain.insert(number)),
            2 if done => {
                let there = there(&place);
                let indexed = (0..stock.cars.len()).filter(|number| there.contains(&stock.cars[*number].cid));
                certain.extend(indexed);
            }
            _ => {}
        }
        let present = there(&place);
        for (number, car) in stock.cars.iter().enumerate() {
            let sample = [0, 7, 299].map(|block| car.blocks[block]);
            for said in place.locate(&sample) {
                if certain.contains(&number) {
                    assert!(said.is_in(car), "seed {seed}, kill {kill}, CAR {number}: {said:?}");
                } else if what == 5 && done && !present.contains(&car.cid) {
                    assert!(!said.is_in(car), "seed {seed}, kill {kill}, CAR {number} is gone: {said:?}");
                }
            }
        }
    }
    place.command(&["index"]).assert().success();
    place.command(&["index", "check"]).assert().success();
    let present = there(&place);
    for car in &stock.cars {
        for said in place.locate(&car.blocks[..300]) {
            match present.contains(&car.cid) {
                true => assert!(said.is_in(car), "seed {seed}: {said:?}"),
                false => assert_eq!(said, Said::Missing, "seed {seed}"),
            }
        }
    }
}
