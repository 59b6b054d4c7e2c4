//! Any order of wants, cancels, rooms, budgets and faults: every want is answered once, and by the truth.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use cid::Cid;
use hoverboard_dag::Sha256;
use hoverboard_store::CarCid;
use hoverboard_store::ledger::{Budget, Costs, Ledger};
use hoverboard_store::library::{CarPlace, Config, Library, Locators};
use hoverboard_store::plan::Tuning;
use hoverboard_store::reader::{Found, Reader, Step, Want};
use multihash::Multihash;
use proptest::prelude::*;

use super::support::{Car, Faults, Place, Prefix, Table, exact};

#[derive(Clone, Debug)]
enum Do {
    /// Want this block of this CAR; CAR 3 is nowhere.
    Push {
        car: usize,
        block: usize,
        have: bool,
    },
    /// Cancel every want whose key leaves this rest.
    Cancel {
        rest: u64,
    },
    LetGo,
    /// Poll so often, with so much room.
    Poll {
        times: usize,
        room: usize,
    },
    /// Let time pass, so that others may go on.
    Sleep {
        seconds: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Do>> {
    let step = prop_oneof![
        12 => (0usize..4, 0usize..60, any::<bool>()).prop_map(|(car, block, have)| Do::Push { car, block, have }),
        1 => (0u64..7).prop_map(|rest| Do::Cancel { rest }),
        1 => Just(Do::LetGo),
        6 => (1usize..20, prop_oneof![Just(0), Just(1), Just(100_000)]).prop_map(|(times, room)| Do::Poll { times, room }),
        1 => (0u64..20).prop_map(|seconds| Do::Sleep { seconds }),
    ];
    prop::collection::vec(step, 1..150)
}

fn setting() -> impl Strategy<Value = Setting> {
    let tuning = (0u64..20_000, 0u64..50_000, 0usize..10, 0u64..100_000, 0u64..50_000, 0u64..20_000).prop_map(
        |(gap, more, requests, max_run, first_ahead, lead)| {
            let (max_gap, max_ahead) = (gap + more, 8 * first_ahead);
            Tuning { gap, max_gap, requests, max_run, first_ahead, max_ahead, lead }
        },
    );
    let sizes = (prop_oneof![Just(100u64), Just(2_000), Just(4 << 20)], prop_oneof![Just(0u64), Just(8 << 20)]);
    let runs = prop_oneof![
        Just(Runs::None),
        Just(Runs::Whole),
        (1usize..4).prop_map(Runs::Lying),
        Just(Runs::Broken),
        Just(Runs::Removed),
    ];
    let others = (prop::option::of(any::<u64>()), runs);
    (tuning, sizes, 0usize..60_000, 1usize..4, (20u64..60, 1usize..4), others).prop_map(
        |(tuning, (whole_index, whole_car), window, at_once, (requests, waiting), (seed, runs))| {
            let faults = seed.map_or(Faults::None, |seed| Faults::Some { seed });
            Setting { tuning, whole_index, whole_car, window, at_once, requests, waiting, faults, runs }
        },
    )
}

#[derive(Clone, Debug)]
struct Setting {
    tuning: Tuning,
    whole_index: u64,
    whole_car: u64,
    window: usize,
    at_once: usize,
    requests: u64,
    waiting: usize,
    faults: Faults,
    runs: Runs,
}

/// What the index of every block is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// There is none.
    None,
    /// It knows all blocks, and the peer knows no CAR.
    Whole,
    /// The same, but of every block it names places first where it is not, more of them the higher this is.
    Lying(usize),
    /// It cannot be read.
    Broken,
    /// It still names a CAR that was removed; its blocks are in the others as well.
    Removed,
}

impl Runs {
    /// Whether blocks are found by it alone.
    fn are_needed(self) -> bool {
        matches!(self, Self::Whole | Self::Lying(_) | Self::Removed)
    }

    fn table(self, cars: &[Arc<Car>]) -> Table {
        let table = Table::default();
        for car in cars {
            for (number, cid) in car.cids().iter().enumerate() {
                if let Self::Lying(lies) = self {
                    (1..=lies).for_each(|lie| table.add(cid.hash(), exact(car, (number + 7 * lie) % 60)));
                }
                if self == Self::Removed {
                    let gone = CarPlace { car: CarCid::of_digest([9; 32]), ..exact(car, number) };
                    table.add(cid.hash(), gone);
                }
                table.add(cid.hash(), exact(car, number));
            }
        }
        table.fails.store(self == Self::Broken, Ordering::Relaxed);
        table.none.store(self == Self::None, Ordering::Relaxed);
        table
    }
}

/// What goes wrong, and what there is.
type World = (Faults, Runs);

struct Host {
    reader: Reader,
    ledger: Ledger,
    library: Arc<Library>,
    began: tokio::time::Instant,
    open: BTreeMap<u64, (usize, Cid, Want)>,
}

impl Host {
    /// Takes a step's answer. Without faults nothing that is there is unknown.
    fn take(&mut self, step: Step, (faults, runs): World) -> Result<(), TestCaseError> {
        let (key, found) = match step {
            Step::Answer(key, found) => (key, found),
            Step::Idle => return Ok(()),
            Step::Spent(_) => {
                self.ledger.begin_event();
                return Ok(());
            }
        };
        let Some((car, cid, want)) = self.open.remove(&key) else {
            return Err(TestCaseError::fail(format!("{key} was not asked for any more")));
        };
        match (found, want) {
            (Found::Block(data), want) => {
                prop_assert_eq!(cid.hash().digest(), Prefix.sha256(&data));
                if let Want::Have { inline_limit } = want {
                    prop_assert!(data.len() <= inline_limit);
                }
            }
            (Found::Have { size }, Want::Have { inline_limit }) => prop_assert!(size > inline_limit as u64),
            (Found::Have { .. }, Want::Block) => prop_assert!(false, "the block was asked for"),
            (Found::Missing, _) => prop_assert!(car == 3 && runs.are_needed(), "a false miss"),
            (Found::Unlisted, _) => prop_assert!(car == 3 && runs == Runs::None, "a false miss"),
            (Found::Unknown, _) => prop_assert!(faults != Faults::None || (car == 3 && runs == Runs::Broken)),
        }
        Ok(())
    }

    async fn run(&mut self, cars: &[Arc<Car>], steps: &[Do], faults: World) -> Result<(), TestCaseError> {
        let mut key = 0;
        for step in steps {
            self.library.set_now(self.began.elapsed());
            match *step {
                Do::Push { car, block, have } => {
                    let nowhere = || Cid::new_v1(0x55, Multihash::wrap(0x12, &[block as u8; 32]).unwrap());
                    let cid = cars.get(car).map_or_else(nowhere, |car| car.cid_of(block));
                    let want = if have { Want::Have { inline_limit: 1024 } } else { Want::Block };
                    self.reader.push(key, cid, want);
                    self.open.insert(key, (car, cid, want));
                    key += 1;
                }
                Do::Cancel { rest } => {
                    self.reader.retain(|key| key % 7 != rest);
                    self.open.retain(|key, _| key % 7 != rest);
                }
                Do::LetGo => {
                    self.reader.let_go();
                    prop_assert!(!self.reader.is_holding());
                    prop_assert_eq!(self.ledger.spending().bytes, 0);
                    prop_assert_eq!(self.ledger.spending().waiting, 0);
                }
                Do::Poll { times, room } => {
                    for _ in 0..times {
                        let step = poll_fn(|cx| match self.reader.poll_next(cx, room) {
                            Poll::Ready(step) => Poll::Ready(Some(step)),
                            Poll::Pending => Poll::Ready(None),
                        });
                        match step.await {
                            Some(Step::Answer(_, Found::Block(_))) if room == 0 => {
                                prop_assert!(false, "there was no room");
                            }
                            Some(step) => self.take(step, faults)?,
                            None => tokio::task::yield_now().await,
                        }
                    }
                }
                Do::Sleep { seconds } => tokio::time::sleep(Duration::from_secs(seconds)).await,
            }
            prop_assert!(self.ledger.spending().bytes <= 1 << 20);
        }
        let mut turns = 0;
        while !self.open.is_empty() {
            self.library.set_now(self.began.elapsed());
            let step = poll_fn(|cx| self.reader.poll_next(cx, 1));
            let Ok(step) = tokio::time::timeout(Duration::from_secs(3600), step).await else {
                return Err(TestCaseError::fail(format!("{} wants wait for nothing", self.open.len())));
            };
            turns += 1;
            prop_assert!(turns < 5_000, "{} wants are open after {turns} turns", self.open.len());
            prop_assert!(!matches!(step, Step::Idle), "{} wants are open", self.open.len());
            self.take(step, faults)?;
        }
        prop_assert!(self.reader.is_idle());
        self.reader.let_go();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_want_is_answered_once_and_by_the_truth(setting in setting(), steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let lens = |step: usize| (0..60).map(|number| 32 + (number * step) % 9000).collect();
            let cars = [1, 1009, 4001].map(|step| Arc::new(Car::new(step as u64 * 1000, lens(step))));
            let place = Place::new(&cars).await;
            for store in [&place.carpark, &place.dudewhere, &place.satnav] {
                store.fail(setting.faults);
            }
            let config = Config {
                tuning: setting.tuning,
                whole_index: setting.whole_index,
                whole_car: setting.whole_car,
                window: setting.window,
                runs: setting.at_once,
                ..place.config()
            };
            let runs = Arc::new(setting.runs.table(&cars));
            let locators = Locators { runs: Some(runs), ..Locators::default() };
            let library = Library::with_locators(place.bucket.clone(), config, locators);
            let ledger = Ledger::new(Budget {
                requests: setting.requests,
                cpu: Duration::from_secs(1),
                bytes: 1 << 20,
                waiting: setting.waiting,
                costs: Costs::default(),
            });
            // Without an index it is a peer that was reading all of them, so that nothing that is there may be missing.
            let remembered = match setting.runs.are_needed() {
                true => vec![],
                false => cars.iter().map(|car| car.cid).collect(),
            };
            let reader = Reader::new(library.clone(), ledger.account(), remembered);
            let mut host = Host { reader, ledger, library, began: tokio::time::Instant::now(), open: BTreeMap::new() };
            host.run(&cars, &steps, (setting.faults, setting.runs)).await?;
            prop_assert_eq!(place.carpark.open.load(Ordering::Relaxed), 0);
            Ok(())
        })?;
    }
}
