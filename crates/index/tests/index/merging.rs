//! A merge has what its runs had, less what was struck.

use std::collections::{BTreeMap, BTreeSet};

use hoverboard_index::merge::{Merge, MergeError};
use hoverboard_index::{Fingerprint, MAX_PLACES, Place, Struck};
use proptest::prelude::*;

use crate::support::{Built, block, build, merged, place};

/// Runs one behind the other in ordinals, and all that went into them.
fn chain(batches: &[Vec<(u64, u32, u64)>]) -> (Vec<Built>, BTreeMap<Fingerprint, Vec<Place>>) {
    let mut model: BTreeMap<Fingerprint, Vec<Place>> = BTreeMap::new();
    let mut first = 0;
    let runs = batches.iter().map(|batch| {
        let (fresh, shards) = build(batch.iter().map(|&(number, car, offset)| (block(number), place(car, offset))));
        for &(number, car, offset) in batch {
            let places = model.entry(block(number)).or_default();
            let placed = place(first + car, offset);
            if !places.contains(&placed) {
                places.push(placed);
            }
        }
        let built = Built { run: fresh.at(first), shards };
        first += fresh.cars;
        built
    });
    (runs.collect(), model)
}

fn batches() -> impl Strategy<Value = Vec<Vec<(u64, u32, u64)>>> {
    let entry = (prop_oneof![0..8_u64, 0..3000_u64], 0..4_u32, 0..3_u64);
    prop::collection::vec(prop::collection::vec(entry, 1..800), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_merge_is_the_runs_together(batches in batches(), struck in prop::collection::btree_set(0..20_u32, 0..6)) {
        let (runs, model) = chain(&batches);
        let struck: Struck = struck.into_iter().collect();
        let merged = merged(&runs, &struck);
        let mut all = merged.all();
        for (fingerprint, places) in &model {
            let left: Vec<&Place> = places.iter().filter(|place| !struck.contains(place.car)).collect();
            let cars: BTreeSet<u32> = left.iter().map(|place| place.car).collect();
            let (found, reads) = merged.lookup(*fingerprint).unwrap();
            prop_assert!(reads <= 2);
            prop_assert_eq!(all.remove(fingerprint).unwrap_or_default(), found.clone());
            prop_assert!(found.places.iter().all(|place| left.contains(&place)), "no struck CAR, and none invented");
            let kept: BTreeSet<u32> = found.places.iter().map(|place| place.car).collect();
            // Which CARs were dropped before is known from the runs alone: then more exist, as far as the run knows.
            prop_assert!(kept == cars || found.more, "never a false miss");
            if places.len() <= MAX_PLACES {
                prop_assert_eq!(found.places.len(), left.len());
                prop_assert!(!found.more);
            }
        }
        prop_assert!(all.is_empty());
    }

    #[test]
    fn a_merge_of_merges_is_the_merge(batches in batches()) {
        let (mut runs, _) = chain(&batches);
        let none = Struck::default();
        let at_once = merged(&runs, &none);
        let tail = runs.split_off(runs.len() / 2);
        runs.push(merged(&tail, &none));
        let in_two = merged(&runs, &none);
        prop_assert_eq!(at_once.all().into_keys().collect::<Vec<_>>(), in_two.all().into_keys().collect::<Vec<_>>());
        for (fingerprint, found) in at_once.all() {
            let other = in_two.lookup(fingerprint).unwrap().0;
            prop_assert_eq!(&found.places, &other.places);
            prop_assert_eq!(found.more, other.more);
        }
    }
}

#[test]
fn runs_of_many_shapes_merge_shard_by_shard() {
    let sizes = [1_200_000_u64, 100_000, 700, 3];
    let mut from = 0;
    let mut batches = Vec::new();
    for size in sizes {
        batches.push((from..from + size).map(|number| (number, 0, number)).collect());
        from += size;
    }
    let (runs, model) = chain(&batches);
    assert!(runs[0].run.shards() > runs[1].run.shards());
    let merged = merged(&runs, &Struck::default());
    assert_eq!(merged.run.entries, from);
    let all = merged.all();
    assert!(model.iter().all(|(fingerprint, places)| all[fingerprint].places == *places));
    assert!(merged.bytes() as u64 <= 36 * from);
}

#[test]
fn four_kept_cars_struck_and_merged_away_leave_word_of_the_fifth() {
    let (runs, _) = chain(&[(0..5).map(|car| (0, car, 59)).collect(), vec![(1, 0, 0)]]);
    assert!(runs[0].lookup(block(0)).unwrap().0.more);
    let struck: Struck = (1..5).collect();
    let once = merged(&runs, &struck);
    let found = once.lookup(block(0)).unwrap().0;
    assert!(found.places.is_empty() && found.more && !found.is_empty());
    // And through the next merge, until a place is known again beside it.
    let (fresh, shards) = build([(block(0), place(0, 7))]);
    let again = Built { run: fresh.at(once.run.ordinals().end), shards };
    let found = merged(&[once, again], &Struck::default()).lookup(block(0)).unwrap().0;
    assert_eq!((found.places, found.more), (vec![place(6, 7)], true));
}

#[test]
fn a_merge_of_struck_cars_alone_has_nothing() {
    let (runs, _) = chain(&[vec![(0, 0, 0), (1, 0, 9)], vec![(0, 0, 0)]]);
    let merged = merged(&runs, &(0..2).collect());
    assert_eq!(merged.run.entries, 0);
    assert!(merged.all().is_empty());
}

#[test]
fn the_name_of_a_merge_is_of_its_runs_and_of_what_it_leaves_out() {
    let (runs, _) = chain(&[vec![(0, 0, 0)], vec![(1, 0, 9)], vec![(2, 1, 9)]]);
    let runs: Vec<_> = runs.iter().map(|built| built.run).collect();
    let id =
        |runs: &[_], struck: &[u32]| Merge::new(runs, &struck.iter().copied().collect()).map(|merge| merge.output().id);
    assert_eq!(id(&runs, &[]), id(&runs, &[]));
    assert_ne!(id(&runs, &[]), id(&runs, &[1]));
    assert_ne!(id(&runs, &[]), id(&runs[..2], &[]));
    assert_eq!(id(&runs[..2], &[]), id(&runs[..2], &[3]), "a CAR of another run");
    assert_eq!(id(&[], &[]), Err(MergeError::Order));
    assert_eq!(id(&[runs[1], runs[0]], &[]), Err(MergeError::Order));
}
