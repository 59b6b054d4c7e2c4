//! What goes into a run is found, and nothing else, in one read or two; and a damaged page is an error.

use std::collections::{BTreeMap, BTreeSet};

use hoverboard_car::{BlockOffset, SectionOffset};
use hoverboard_index::run::{BuildError, Fresh, MAX_PAGES, PAGE_ENTRIES, Page, PageAddress, Shape, Slice, build_shard};
use hoverboard_index::{Entry, Extent, Fingerprint, MAX_PLACES, ObjectId, PAGE_LEN, PageFault, Place};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::support::{Built, block, mined, place};

/// Extents of all kinds, at the ends of their ranges and between.
fn extents() -> impl Strategy<Value = Extent> {
    let offset = prop_oneof![Just(0), Just((1 << 48) - 1), 0..1_u64 << 48];
    let length = prop_oneof![Just(0), Just((1 << 24) - 1), 0..1_u32 << 24];
    (offset, length, 0..=127_u8).prop_map(|(offset, length, kind)| match kind {
        0 => Extent::section(SectionOffset(offset), Some(u64::from(length))),
        127 => Extent::Bytes { offset: BlockOffset(offset), length },
        cid_len if length > u32::from(cid_len) => {
            Extent::exact(SectionOffset(offset), u64::from(length), usize::from(cid_len))
        }
        _ => Extent::section(SectionOffset(offset), None),
    })
}

/// Fingerprints as they come, and those that share pages, halves, or all.
fn fingerprints() -> impl Strategy<Value = Fingerprint> {
    prop_oneof![
        4 => (0..100_u64).prop_map(block),
        1 => (0..4_u64, 0..4_u64).prop_map(|(high, low)| mined(high << 62, low << 62)),
        1 => any::<(u64, u64)>().prop_map(|(high, low)| mined(high, low)),
    ]
}

fn entries(most: usize) -> impl Strategy<Value = Vec<(Fingerprint, Place)>> {
    let places = (0..12_u32, extents()).prop_map(|(car, extent)| Place { car, extent });
    prop::collection::vec((fingerprints(), places), 1..most)
}

/// Whether both name the same place; one may know more of it.
fn same(a: &Place, b: &Place) -> bool {
    let at = |place: &Place| match place.extent {
        Extent::Bytes { offset, .. } => (place.car, 1, offset.0),
        Extent::Exact { offset, .. } | Extent::Section { offset, .. } => (place.car, 0, offset.0),
    };
    at(a) == at(b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_went_in_is_found_and_nothing_else(entries in entries(2000), strangers in prop::collection::vec(fingerprints(), 20)) {
        let built = Built::new(entries.iter().copied());
        let mut model: BTreeMap<Fingerprint, Vec<Place>> = BTreeMap::new();
        for (fingerprint, place) in &entries {
            model.entry(*fingerprint).or_default().push(*place);
        }
        let mut all = built.all();
        for (fingerprint, places) in &model {
            let (found, reads) = built.lookup(*fingerprint).unwrap();
            prop_assert!(reads <= 2);
            prop_assert_eq!(&found, &all.remove(fingerprint).unwrap_or_default(), "in order and by lookup");
            prop_assert!(found.places.iter().all(|place| places.contains(place)));
            let cars: BTreeSet<u32> = places.iter().map(|place| place.car).collect();
            let kept: BTreeSet<u32> = found.places.iter().map(|place| place.car).collect();
            prop_assert_eq!(found.more, cars.len() > MAX_PLACES);
            let youngest: BTreeSet<u32> = cars.into_iter().rev().take(MAX_PLACES).collect();
            prop_assert_eq!(kept, youngest);
            let mut distinct: Vec<Place> = Vec::new();
            for place in places {
                if !distinct.iter().any(|known| same(known, place)) {
                    distinct.push(*place);
                }
            }
            prop_assert_eq!(found.places.len(), distinct.len().min(MAX_PLACES));
        }
        prop_assert!(all.is_empty(), "nothing was invented");
        for stranger in strangers {
            let (found, reads) = built.lookup(stranger).unwrap();
            prop_assert!(reads <= 2);
            prop_assert_eq!(found.is_empty(), !model.contains_key(&stranger));
        }
    }

    #[test]
    fn order_does_not_matter(mut entries in entries(500)) {
        let built = Built::new(entries.iter().copied());
        entries.reverse();
        let reversed = Built::new(entries);
        prop_assert_eq!(built.run, reversed.run);
        prop_assert_eq!(built.shards, reversed.shards);
    }

    #[test]
    fn a_flipped_bit_is_an_error(entries in entries(1500), page: prop::sample::Index, bit in 0..PAGE_LEN * 8) {
        let built = Built::new(entries);
        let object = &built.shards[0];
        let number = page.index(object.len() / PAGE_LEN);
        let mut damaged = object.to_vec();
        damaged[number * PAGE_LEN + bit / 8] ^= 1 << (bit % 8);
        let address = PageAddress { shard: 0, page: number as u32 };
        let page = damaged[number * PAGE_LEN..][..PAGE_LEN].to_vec();
        prop_assert!(Page::parse(&built.run, address, page.into()).is_err());
        prop_assert_eq!(Slice::whole(&built.run, 0, damaged.into()).unwrap_err().page, number as u32);
    }

    #[test]
    fn nonsense_under_a_right_checksum_is_refused_or_harmless(
        entries in entries(300),
        nonsense in prop::collection::vec((2..PAGE_LEN - 8, any::<u8>()), 1..6),
    ) {
        let built = Built::new(entries.iter().copied());
        let mut object = built.shards[0].to_vec();
        for (at, byte) in nonsense {
            // At the head and the entries more often than at the zeros behind them.
            object[2 + (at - 2) % (6 + 30 * entries.len()).min(PAGE_LEN - 10)] = byte;
        }
        let mut seed = [0; 8];
        seed.copy_from_slice(&built.run.id.to_bytes()[..8]);
        let checksum = xxh3_64_with_seed(&object[..PAGE_LEN - 8], u64::from_le_bytes(seed));
        object[PAGE_LEN - 8..PAGE_LEN].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(page) = Page::parse(&built.run, PageAddress { shard: 0, page: 0 }, object[..PAGE_LEN].to_vec().into()) {
            for (fingerprint, _) in &entries {
                let found = page.lookup(*fingerprint).found;
                prop_assert!(found.places.len() <= MAX_PLACES);
                prop_assert!(found.places.iter().all(|place| built.run.ordinals().contains(&place.car)));
            }
        }
        if let Ok(slice) = Slice::whole(&built.run, 0, object.into()) {
            prop_assert!(slice.entries().is_sorted_by_key(|entry| entry.fingerprint));
        }
    }

    #[test]
    fn a_cut_is_an_error(entries in entries(1500), len: prop::sample::Index) {
        let built = Built::new(entries);
        let object = &built.shards[0];
        let cut = object.slice(..len.index(object.len()));
        prop_assert!(Slice::whole(&built.run, 0, cut.clone()).is_err());
        let address = PageAddress { shard: 0, page: 0 };
        prop_assert!(Page::parse(&built.run, address, cut.slice(..cut.len().min(PAGE_LEN - 1))).is_err());
    }
}

#[test]
fn a_page_in_another_place_is_an_error() {
    let built = Built::new((0..2000).map(|number| (block(number), place(0, number))));
    let at = |page| PageAddress { shard: 0, page };
    let bytes = built.read(at(1));
    assert!(Page::parse(&built.run, at(1), bytes.clone()).is_ok());
    assert_eq!(Page::parse(&built.run, at(2), bytes.clone()).unwrap_err().fault, PageFault::Checksum);
    let other_shard = PageAddress { shard: 1, page: 1 };
    assert_eq!(Page::parse(&built.run, other_shard, bytes.clone()).unwrap_err().fault, PageFault::Checksum);
    let other_run = hoverboard_index::run::Run { id: ObjectId::from_bytes([9; 16]), ..built.run };
    assert_eq!(Page::parse(&other_run, at(1), bytes).unwrap_err().fault, PageFault::Checksum);
}

#[test]
fn an_entry_of_a_car_that_is_not_the_runs_is_an_error() {
    let built = Built::new([(block(1), place(5, 0))]);
    let fewer = hoverboard_index::run::Run { cars: 5, ..built.run };
    let error = Slice::whole(&fewer, 0, built.shards[0].clone()).unwrap_err();
    assert!(matches!(error.fault, PageFault::Record { record: 0, .. }), "{error}");
}

#[test]
fn a_run_does_not_know_its_ordinals_until_it_is_placed() {
    let (fresh, shards) = crate::support::build([(block(1), place(3, 7))]);
    let built = Built { run: fresh.at(1000), shards };
    assert_eq!(built.lookup(block(1)).unwrap().0.places, [place(1003, 7)]);
}

#[test]
fn a_million_blocks_take_36_bytes_each_and_two_reads_at_most() {
    let count = 1_000_000;
    let built = Built::new((0..count).map(|number| (block(number), place((number / 10_000) as u32, number))));
    assert_eq!(built.run.entries, count);
    assert!(built.run.shards() > 1 && built.run.shape.pages() <= MAX_PAGES);
    assert!(built.bytes() as u64 <= 36 * count, "{} bytes", built.bytes());
    let (mut hits, mut misses) = (0, 0);
    for number in (0..count).step_by(97) {
        let (found, reads) = built.lookup(block(number)).unwrap();
        assert_eq!(found.places, [place((number / 10_000) as u32, number)]);
        hits += reads;
        let (found, reads) = built.lookup(block(count + number)).unwrap();
        assert!(found.is_empty() && reads <= 2);
        misses += reads;
    }
    let lookups = count.div_ceil(97) as usize;
    assert!(hits < lookups + lookups / 500 && misses < lookups + lookups / 500, "{hits} and {misses} of {lookups}");
}

#[test]
fn a_car_of_a_million_entries_of_one_digest_keeps_four_and_no_other_car() {
    let empty = block(0);
    let built = Built::new((0..1_000_000).map(|offset| (empty, place(0, offset))));
    let (found, reads) = built.lookup(empty).unwrap();
    assert_eq!(found.places, (0..4).map(|offset| place(0, offset)).collect::<Vec<_>>());
    assert!(!found.more, "nobody else has it");
    assert_eq!((reads, built.run.entries), (1, 4));
}

#[test]
fn a_block_in_100_000_cars_keeps_the_four_youngest_and_says_that_more_exist() {
    let built = Built::new((0..100_000).map(|car| (block(0), place(car, 59))));
    let (found, _) = built.lookup(block(0)).unwrap();
    assert_eq!(found.places, (99_996..100_000).rev().map(|car| place(car, 59)).collect::<Vec<_>>());
    assert!(found.more);
}

#[test]
fn a_million_digests_mined_into_one_page_go_to_overflow_pages_and_take_two_reads() {
    // A run of a million others, and a million whose high bits somebody who knows the key made equal.
    let mined = |number: u64| mined(0x1234_5678_0000_0000 | number, block(number).low());
    let others = (0..1_000_000).map(|number| (block(number), place(0, number)));
    let built = Built::new(others.chain((0..1_000_000).map(|number| (mined(number), place(1, number)))));
    // They fill one page and half of the overflow pages, or a quarter: these double.
    assert!(built.overflow_pages() <= 4 * 1_000_000 / PAGE_ENTRIES, "{}", built.overflow_pages());
    for number in (0..1_000_000).step_by(1009) {
        let (found, reads) = built.lookup(mined(number)).unwrap();
        assert!(reads <= 2);
        assert_eq!(found.places, [place(1, number)]);
        assert_eq!(built.lookup(block(number)).unwrap().0.places, [place(0, number)]);
        assert!(built.lookup(block(2_000_000 + number)).unwrap().0.is_empty());
    }
    assert_eq!(built.run.entries, 2_000_000);
    assert_eq!(built.all().len(), 2_000_000);
}

#[test]
fn digests_mined_in_both_halves_are_refused_in_bounded_memory() {
    let run = Fresh { id: ObjectId::from_bytes([1; 16]), cars: 1, entries: 0, shape: Shape::new(0, 1).unwrap() }.at(0);
    let entry = |low| Entry { fingerprint: mined(0, low), place: Some(place(0, low)), more: false };
    let error = build_shard(&run, 0, (0..2000).map(entry)).unwrap_err();
    assert_eq!(error, BuildError::Overflow { shard: 0 });
}

#[test]
fn entries_out_of_order_are_refused() {
    let run = Fresh { id: ObjectId::from_bytes([1; 16]), cars: 9, entries: 0, shape: Shape::new(1, 4).unwrap() }.at(0);
    let entry = |high, car| Entry { fingerprint: mined(high, 0), place: Some(place(car, 0)), more: false };
    let order = Err(BuildError::Order { shard: 0 });
    assert_eq!(build_shard(&run, 0, [entry(2, 0), entry(1, 0)]), order, "descending");
    assert_eq!(build_shard(&run, 0, [entry(1 << 63, 0)]), order, "of another shard");
    assert_eq!(build_shard(&run, 0, (0..5).map(|car| entry(1, car))), order, "five places");
    assert!(matches!(build_shard(&run, 0, [entry(1, 9)]), Err(BuildError::Place(_))), "another run's CAR");
}
