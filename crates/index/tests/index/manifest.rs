//! The chain of manifests, the CAR table, and what neither takes.

use hoverboard_index::cars::{self, MAX_SEGMENT_CARS, Segment};
use hoverboard_index::manifest::{
    self, Addition, MAX_BYTES, MAX_RUNS, MAX_SEGMENTS, MAX_STRUCK, Manifest, ManifestError,
};
use hoverboard_index::run::{Fresh, Run, Shape};
use hoverboard_index::{MAX_ORDINAL, Struck};
use proptest::prelude::*;

use crate::support::{KEY, id, records};

fn addition(number: u64, cars: u32) -> Addition {
    let table = cars::Table { id: id(number), cars, bytes: Vec::new() };
    let shape = Shape::for_entries(10 * u64::from(cars)).unwrap();
    Addition::new(&table, Fresh { id: id(number), cars, entries: 10 * u64::from(cars), shape }).unwrap()
}

/// A chain with a run of so many CARs in each generation.
fn chain(cars: &[u32]) -> Manifest {
    let mut manifest = Manifest::first(KEY, 1_700_000_000_000);
    for (number, cars) in cars.iter().enumerate() {
        let mut draft = manifest.draft(1_700_000_000_000 + number as u64);
        draft.append(addition(number as u64, *cars)).unwrap();
        manifest = draft.finish().unwrap().0;
    }
    manifest
}

fn merged(runs: &[Run], entries: u64) -> Run {
    let (first, last) = (runs[0], runs[runs.len() - 1]);
    Run { id: id(999), cars: last.ordinals().end - first.first, entries, ..first }
}

#[test]
fn a_generation_names_the_one_before() {
    let first = Manifest::first(KEY, 5);
    assert_eq!(Manifest::decode(&first.encode()), Ok(first.clone()));
    assert_eq!(first.previous(), None);
    let mut draft = first.draft(6);
    assert_eq!(draft.append(addition(1, 3)), Ok(0));
    assert_eq!(draft.append(addition(2, 4)), Ok(3));
    let (second, bytes) = draft.finish().unwrap();
    assert_eq!(Manifest::decode(&bytes), Ok(second.clone()));
    assert_eq!((second.generation(), second.at(), second.key()), (2, 6, &KEY));
    let mut other = first.draft(7);
    other.append(addition(1, 3)).unwrap();
    let (other, _) = other.finish().unwrap();
    assert_eq!(other.previous(), second.previous(), "both follow the first");
    assert_ne!(other.draft(8).manifest().previous(), second.draft(8).manifest().previous());
    assert_eq!(second.segment_of(2).unwrap().id, id(1));
    assert_eq!(second.segment_of(3).unwrap().id, id(2));
    assert_eq!(second.segment_of(7), None);
}

#[test]
fn keys_are_ordered_as_generations_are() {
    assert_eq!(manifest::object_key(255), "manifest/00000000000000ff");
    assert_eq!(manifest::generation_of("manifest/00000000000000ff"), Some(255));
    for bad in
        ["manifest/ff", "manifest/00000000000000FF", "manifest/0000000000000000", "manifest/+0000000000000ff", "x"]
    {
        assert_eq!(manifest::generation_of(bad), None, "{bad}");
    }
}

#[test]
fn struck_cars_are_forgotten_when_a_merge_left_them_out() {
    let manifest = chain(&[10, 10, 10]);
    let mut draft = manifest.draft(0);
    assert_eq!(draft.strike([5, 25, 5, 31, MAX_ORDINAL]), Ok(2), "no run has the last two");
    let (manifest, _) = draft.finish().unwrap();
    let left_out = manifest.struck().clone();
    // While the merge goes on, another is struck, which it does not know of.
    let mut draft = manifest.draft(0);
    assert_eq!(draft.strike([6, 25]), Ok(1));
    let inputs = &manifest.runs()[..2];
    draft.replace_runs(inputs, merged(inputs, 180), &left_out).unwrap();
    let (after, _) = draft.finish().unwrap();
    assert_eq!(after.struck().ordinals(), [6, 25], "6 came later, 25 is in another run");
    assert_eq!(after.runs().len(), 2);
    assert_eq!(after.segments(), manifest.segments());

    // Somebody else merged the same.
    let mut draft = after.draft(0);
    assert_eq!(draft.replace_runs(inputs, merged(inputs, 180), &left_out), Err(ManifestError::Replaced));
    assert_eq!(draft.manifest().runs(), after.runs());
}

#[test]
fn a_merge_that_has_nothing_takes_its_runs_out() {
    let manifest = chain(&[10, 10]);
    let mut draft = manifest.draft(0);
    draft.strike(0..10).unwrap();
    let inputs = &manifest.runs()[..1];
    draft.replace_runs(inputs, merged(inputs, 0), &(0..10).collect()).unwrap();
    let (after, _) = draft.finish().unwrap();
    assert_eq!((after.runs().len(), after.struck().len(), after.next_ordinal()), (1, 0, 20));
    assert_eq!(after.draft(0).strike([3]), Ok(0), "it is in no run");
}

#[test]
fn a_merge_over_other_cars_is_refused() {
    let manifest = chain(&[10, 10]);
    let inputs = manifest.runs();
    let wrong = Run { cars: 19, ..merged(inputs, 200) };
    let result = manifest.draft(0).replace_runs(inputs, wrong, &Struck::default());
    assert_eq!(result, Err(ManifestError::Run(0)));
}

#[test]
fn lost_runs_are_taken_out() {
    let manifest = chain(&[10, 10]);
    let mut draft = manifest.draft(0);
    draft.strike([3]).unwrap();
    draft.append(addition(7, 10)).unwrap();
    draft.remove_runs(&manifest.runs()[..1]).unwrap();
    assert_eq!(draft.remove_runs(&manifest.runs()[..1]), Err(ManifestError::Replaced));
    let (after, _) = draft.finish().unwrap();
    assert_eq!((after.runs().len(), after.struck().len()), (2, 0));
}

#[test]
fn a_removed_car_that_comes_back_gets_a_new_ordinal_under_the_same_objects() {
    let manifest = chain(&[1]);
    let mut draft = manifest.draft(0);
    draft.strike([0]).unwrap();
    assert_eq!(draft.append(addition(0, 1)), Ok(1));
    let (after, _) = draft.finish().unwrap();
    assert_eq!(after.runs()[0].id, after.runs()[1].id);
    assert!(after.struck().contains(0) && !after.struck().contains(1));
}

#[test]
fn bounds_are_kept_and_a_full_manifest_fits() {
    let manifest = chain(&[MAX_SEGMENT_CARS; MAX_RUNS]);
    let mut draft = manifest.draft(0);
    assert_eq!(draft.append(addition(1, 1)), Err(ManifestError::TooManyRuns));
    assert_eq!(draft.strike(0..MAX_STRUCK as u32), Ok(MAX_STRUCK));
    assert_eq!(draft.strike([MAX_STRUCK as u32]), Err(ManifestError::TooManyStruck));
    let (_, bytes) = draft.finish().unwrap();
    assert!(bytes.len() < MAX_BYTES / 4, "{}", bytes.len());

    let mut manifest = chain(&[1]);
    for number in 1..MAX_SEGMENTS {
        let mut draft = manifest.draft(0);
        draft.append(addition(number as u64, 1)).unwrap();
        let inputs = draft.manifest().runs().to_vec();
        draft.replace_runs(&inputs, merged(&inputs, 1), &Struck::default()).unwrap();
        manifest = draft.finish().unwrap().0;
    }
    let mut draft = manifest.draft(0);
    assert_eq!(draft.append(addition(0, 1)), Err(ManifestError::TooManySegments));
    let joined = cars::build(&records(MAX_SEGMENTS as u32)).unwrap();
    let wrong = cars::build(&records(7)).unwrap();
    assert_eq!(draft.replace_segments(manifest.segments(), &wrong), Err(ManifestError::Segment(1)));
    draft.replace_segments(manifest.segments(), &joined).unwrap();
    assert_eq!(draft.manifest().segments(), [Segment { id: joined.id, first: 0, cars: MAX_SEGMENTS as u32 }]);
    assert_eq!(draft.replace_segments(manifest.segments(), &joined), Err(ManifestError::Replaced));
    assert_eq!(draft.append(addition(0, 1)), Ok(MAX_SEGMENTS as u32));
}

#[test]
fn what_is_no_manifest_is_refused() {
    assert!(matches!(Manifest::decode(b""), Err(ManifestError::Syntax(_))));
    assert_eq!(Manifest::decode(&vec![0; MAX_BYTES + 1]), Err(ManifestError::Size(MAX_BYTES + 1)));
    // {"v": 2, "new": true}
    assert_eq!(Manifest::decode(b"\xa2\x61v\x02\x63new\xf5"), Err(ManifestError::Version(2)));
    let bytes = chain(&[10, 10]).encode();
    let mut trailing = bytes.clone();
    trailing.push(0);
    assert!(Manifest::decode(&trailing).is_err());
}

#[test]
fn a_chain_of_claimed_lists_allocates_no_more_than_is_there() {
    // {"v": 1, "at": 0, "gen": 1, "key": …, "cars": a list of 2^32 - 1}
    let mut bytes = b"\xa9\x61v\x01\x62at\x00\x63gen\x01\x63key\x50".to_vec();
    bytes.extend([0; 16]);
    bytes.extend(b"\x64cars\x9a\xff\xff\xff\xff");
    assert!(matches!(Manifest::decode(&bytes), Err(ManifestError::Syntax(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_damaged_manifest_is_an_error(cars in prop::collection::vec(1..50_u32, 0..5), at: prop::sample::Index, bit in 0..8_u8) {
        let bytes = chain(&cars).encode();
        let at = at.index(bytes.len());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        prop_assert!(Manifest::decode(&flipped).is_err());
        prop_assert!(Manifest::decode(&bytes[..at]).is_err());
    }
}
