//! Any course of events, against a map: what is there is found, what is not is missing, and what is unknown is said to be.

use std::collections::BTreeMap;
use std::time::Duration;

use hoverboard_store::index::{Options, Removal};
use proptest::prelude::*;

use super::support::{Answer, Car, Place, block};

#[derive(Clone, Debug)]
enum Event {
    /// A CAR of these blocks is put there.
    Put(Vec<u8>),
    Update,
    Compact(bool),
    /// One of the CARs that are there is removed.
    Remove(prop::sample::Index),
    Collect,
    Mend,
    /// So many minutes go by.
    Wait(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => prop::collection::vec(0u8..60, 1..12).prop_map(Event::Put),
        4 => Just(Event::Update),
        2 => any::<bool>().prop_map(Event::Compact),
        2 => any::<prop::sample::Index>().prop_map(Event::Remove),
        1 => Just(Event::Collect),
        1 => Just(Event::Mend),
        1 => (1u16..3000).prop_map(Event::Wait),
    ]
}

/// What is true: the CARs that are there, and whether they are indexed.
#[derive(Default)]
struct Truth(BTreeMap<hoverboard_store::CarCid, (Car, bool)>);

async fn run(events: Vec<Event>) {
    let place = Place::new();
    let index = place.index(1);
    index.begin(true).await.unwrap();
    let mut truth = Truth::default();
    let reader = place.reader();
    let options = Options { run_entries: 20, ..Options::default() };
    for event in events {
        match event.clone() {
            Event::Put(numbers) => {
                let car = Car::new(numbers.into_iter().map(u64::from));
                place.put(&car).await;
                truth.0.entry(car.cid()).or_insert((car, false));
            }
            Event::Update => drop(index.update(&options, &()).await.unwrap()),
            Event::Mend => {
                let left = index.mend(&options, &()).await.unwrap();
                assert!(left.findings.is_empty(), "{:?}", left.findings);
            }
            Event::Compact(all) => drop(index.compact(all, &()).await.unwrap()),
            Event::Remove(which) if !truth.0.is_empty() => {
                let car = *which.get(&truth.0.keys().copied().collect::<Vec<_>>());
                index.remove(&Removal::Car(car)).await.unwrap();
                truth.0.remove(&car);
            }
            Event::Collect => index.collect(&index.orphans().await.unwrap()).await.unwrap(),
            Event::Wait(minutes) => tokio::time::sleep(Duration::from_secs(60) * u32::from(minutes)).await,
            Event::Remove(_) => {}
        }
        if matches!(event, Event::Update | Event::Mend) {
            truth.0.values_mut().for_each(|(_, indexed)| *indexed = true);
        }
        tokio::time::sleep(Duration::from_secs(11)).await;
        for number in 0..61 {
            let answer = reader.find(&block(number)).await;
            let has = |car: &Car| car.multihashes().contains(&block(number));
            let indexed = truth.0.values().any(|(car, indexed)| *indexed && has(car));
            match &answer {
                Answer::In(cars) => {
                    assert!(cars.iter().all(|car| truth.0.get(car).is_some_and(|(car, _)| has(car))), "block {number}");
                }
                Answer::Missing => assert!(!indexed, "block {number} is said to be missing after {event:?}"),
                Answer::Unknown => assert!(number != 60, "a block that was never there"),
                Answer::NoIndex => panic!("there is an index"),
            }
            if matches!(event, Event::Mend) {
                assert!(!indexed || matches!(answer, Answer::In(_)), "block {number}: {answer:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answers_are_true_after_any_course_of_events(events in prop::collection::vec(event(), 1..25)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(run(events));
    }
}
