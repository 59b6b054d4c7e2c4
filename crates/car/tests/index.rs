//! Indexes: those that other programs wrote, and ours against them byte for byte.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{fixture, scan_all};
use hoverboard_car::index::{Codec, Index, IndexBuilder, IndexError, MultiIndex, MultiIndexBuilder, SortedIndex};
use hoverboard_car::{Options, SectionOffset};
use multihash::Multihash;
use proptest::prelude::*;

/// The index of a CAR, as we build it.
fn build(car: &str, codec: Codec, identity: bool) -> Vec<u8> {
    let mut builder = IndexBuilder::new(codec).identity(identity);
    for head in scan_all(&fixture(car), Options::default()).sections {
        builder.push(head.cid.hash(), head.offset);
    }
    builder.finish()
}

fn open(bytes: Vec<u8>) -> SortedIndex {
    SortedIndex::open(bytes.into()).unwrap()
}

#[test]
fn our_indexes_are_those_of_go_car_byte_for_byte() {
    let multihash_sorted = build("car/sample-v1.car", Codec::MultihashIndexSorted, false);
    assert!(multihash_sorted == fixture("index/sample-multihash-index-sorted.carindex"));
    let sorted = build("car/sample-v1.car", Codec::IndexSorted, true);
    assert!(sorted == fixture("index/sample-index.carindex"));
}

#[test]
fn the_index_inside_a_carv2_finds_every_section() {
    for name in ["car/sample-wrapped-v2.car", "car/sample-unixfs-v2.car"] {
        let bytes = fixture(name);
        let scanned = scan_all(&bytes, Options::default());
        let start = scanned.header.unwrap().index_start().unwrap() as usize;
        let index = open(bytes[start..].to_vec());
        index.check().unwrap();
        for head in scanned.sections.iter().filter(|head| head.cid.hash().code() != 0) {
            assert!(index.lookup(head.cid.hash()).any(|offset| offset == head.offset), "{name}: {}", head.cid);
        }
    }
}

#[test]
fn the_worked_indexes_are_read_and_written() {
    let vectors = String::from_utf8(fixture("vectors.json")).unwrap();
    let vector = |key: &str| {
        let (_, rest) = vectors.split_once(&format!("\"{key}\": \"")).unwrap();
        unhex(rest.split('"').next().unwrap())
    };
    let satnav = build("eipfs/test-cid1.car", Codec::MultihashIndexSorted, false);
    assert_eq!(satnav, vector("satnav_hex"));

    let car = Multihash::from_bytes(&vector("multiindex_hex")[3..37]).unwrap();
    let mut builder = MultiIndexBuilder::new();
    builder.push(&car, satnav.into()).unwrap();
    let multi = builder.finish();
    assert_eq!(multi, vector("multiindex_hex"));

    let block = Multihash::wrap(0x12, &vector("digest_hex")).unwrap();
    let Index::Multi(index) = Index::open(multi.into()).unwrap() else { panic!("a MultiIndex") };
    index.check().unwrap();
    assert_eq!(index.lookup(&block).collect::<Vec<_>>(), [(&car, SectionOffset(59))]);
}

#[test]
fn a_satnav_file_gives_its_records() {
    let name = "index/bagbaierarw3cf23e5fhc55yosqielfejjdl6rfrppotlnxl2lf6qultqi2ka.car.idx";
    let index = open(fixture(name));
    index.check().unwrap();
    assert_eq!((index.codec(), index.len()), (Codec::MultihashIndexSorted, 2));
    assert_eq!(index.record(0).unwrap().offset, SectionOffset(59));
    assert_eq!(index.record(2), None);
    assert!(index.iter().all(|record| record.code == Some(0x12) && record.digest.len() == 32));
}

#[test]
fn a_multihash_at_several_places_has_all_its_offsets_in_order() {
    let twice = Multihash::<64>::wrap(0x12, &[7; 32]).unwrap();
    let other_code = Multihash::<64>::wrap(0x16, &[7; 32]).unwrap();
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    for offset in [0x1_0000, 300, 255] {
        builder.push(&twice, SectionOffset(offset));
    }
    builder.push(&other_code, SectionOffset(1));
    let index = open(builder.finish());
    let offsets = |multihash| index.lookup(multihash).map(|offset| offset.0).collect::<Vec<_>>();
    assert_eq!(offsets(&twice), [255, 300, 0x1_0000]);
    assert_eq!(offsets(&other_code), [1]);
    assert_eq!(index.lookup_digest(&[7; 32]).count(), 4);
}

#[test]
fn identity_is_left_out_unless_asked_for() {
    let identity = Multihash::<64>::wrap(0x00, b"inline").unwrap();
    for (asked, count) in [(false, 0), (true, 1)] {
        let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted).identity(asked);
        builder.push(&identity, SectionOffset(9));
        assert_eq!(builder.len(), count);
        assert_eq!(open(builder.finish()).lookup(&identity).count(), count);
    }
}

#[test]
fn records_out_of_order_are_found_by_the_check_and_only_by_it() {
    let mut bytes = fixture("index/sample-multihash-index-sorted.carindex");
    let last = bytes.len() - 40;
    bytes[last] = 0;
    let index = open(bytes);
    assert_eq!(index.check(), Err(IndexError::Unsorted { entry: index.len() as u64 - 1 }));
}

#[test]
fn counts_and_lengths_that_the_bytes_do_not_bear_out_are_refused() {
    let open = |hex: &str| Index::open(unhex(hex).into()).unwrap_err();
    assert!(matches!(open(""), IndexError::Truncated { at: 0, .. }));
    assert!(matches!(open("8308"), IndexError::Codec { at: 0, codec: 0x0403 }));
    assert!(matches!(open("8108ffffffff"), IndexError::Truncated { at: 6, what: "hash code", .. }));
    // A width of 40 and records of 2^63 bytes, of 41 bytes, of a width without room for the offset.
    let one = "810801000000120000000000000001000000";
    assert!(matches!(
        open(&format!("{one}280000000000000000000080")),
        IndexError::Truncated { what: "records", needed: 0x8000_0000_0000_0000, .. }
    ));
    let records = "00".repeat(41);
    assert!(matches!(
        open(&format!("{one}280000002900000000000000{records}")),
        IndexError::Width { width: 40, len: 41, .. }
    ));
    assert!(matches!(open(&format!("{one}070000000000000000000000")), IndexError::Width { width: 7, .. }));
    assert!(matches!(open(&format!("{one}080000000000000000000000ff")), IndexError::Trailing { len: 1, .. }));
    // A MultiIndex of 2^40 CARs; one whose CAR has a digest of 65 bytes; one inside another.
    assert!(matches!(open("8208808080808020"), IndexError::TooManyTables { .. }));
    assert!(matches!(open("8208011241"), IndexError::Multihash { at: 3 }));
    assert!(matches!(open("82080100008208"), IndexError::Codec { at: 5, codec: 0x0402 }));
    // Four thousand and some tables, all empty.
    let tables = "080000000000000000000000".repeat(5000);
    assert!(matches!(open(&format!("800888130000{tables}")), IndexError::TooManyTables { .. }));
}

#[test]
fn cars_of_a_multi_index_are_sorted_and_a_bad_index_is_not_taken() {
    let car = |byte| Multihash::<64>::wrap(0x12, &[byte; 32]).unwrap();
    let empty = Bytes::from(IndexBuilder::new(Codec::MultihashIndexSorted).finish());
    let mut builder = MultiIndexBuilder::new();
    builder.push(&car(2), empty.clone()).unwrap();
    builder.push(&car(1), empty.clone()).unwrap();
    builder.push(&car(3), empty.slice(..3)).unwrap_err();
    let index = MultiIndex::open(builder.finish().into()).unwrap();
    let cars: Vec<_> = index.cars().iter().map(|(car, _)| *car).collect();
    assert_eq!(cars, [car(1), car(2)]);
}

fn multihash() -> impl Strategy<Value = Multihash<64>> {
    // Few codes, lengths and digests, so that they meet.
    (prop_oneof![Just(0x12), Just(0x13), Just(0xb220)], 0_usize..4, any::<u8>(), any::<u8>()).prop_map(
        |(code, len, first, last)| {
            let mut digest = vec![0; len * 16];
            if let [start, .., end] = &mut digest[..] {
                (*start, *end) = (first & 3, last & 7);
            }
            Multihash::wrap(code, &digest).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_put_in_is_found_and_nothing_else(
        records in proptest::collection::vec((multihash(), any::<u64>()), 0..200),
        absent in proptest::collection::vec(multihash(), 0..20),
    ) {
        let mut expected: BTreeMap<(u64, Vec<u8>), Vec<u64>> = BTreeMap::new();
        let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
        let mut backwards = IndexBuilder::new(Codec::MultihashIndexSorted);
        for (multihash, offset) in &records {
            builder.push(multihash, SectionOffset(*offset));
            expected.entry((multihash.code(), multihash.digest().to_vec())).or_default().push(*offset);
        }
        for (multihash, offset) in records.iter().rev() {
            backwards.push(multihash, SectionOffset(*offset));
        }
        let bytes = builder.finish();
        prop_assert_eq!(&bytes, &backwards.finish());

        let index = open(bytes);
        prop_assert_eq!(index.check(), Ok(()));
        prop_assert_eq!(index.len(), records.len());
        prop_assert_eq!(index.iter().count(), records.len());
        for (number, record) in index.iter().enumerate() {
            prop_assert_eq!(index.record(number), Some(record));
        }
        for multihash in records.iter().map(|(multihash, _)| multihash).chain(&absent) {
            let key = (multihash.code(), multihash.digest().to_vec());
            let mut offsets = expected.get(&key).cloned().unwrap_or_default();
            offsets.sort_unstable();
            let found: Vec<u64> = index.lookup(multihash).map(|offset| offset.0).collect();
            prop_assert_eq!(found, offsets);
        }
    }

    #[test]
    fn any_bytes_are_an_index_or_an_error(
        codec in 0x0400_u64..0x0404,
        bytes in proptest::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..200),
    ) {
        let mut all = vec![codec as u8 | 0x80, 8];
        all.extend(bytes);
        let digest = Multihash::<64>::wrap(0x12, &[0; 32]).unwrap();
        match Index::open(all.into()) {
            Ok(Index::Sorted(index)) => {
                let _ = index.check();
                let _ = index.lookup(&digest).take(1000).count();
            }
            Ok(Index::Multi(index)) => {
                let _ = index.check();
                let _ = index.lookup(&digest).take(1000).count();
            }
            Err(_) => {}
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
