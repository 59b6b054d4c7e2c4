//! The CAR table: each record is found by its ordinal, and damage is an error.

use hoverboard_index::cars::{self, CARS_A_PAGE, MAX_SEGMENT_CARS, Page, Record, Segment, TableError};
use hoverboard_index::{PAGE_LEN, PageFault};
use proptest::prelude::*;

use crate::support::{id, records};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_is_found_by_its_ordinal(count in 1..1500_u32, first in 0..5000_u32, ordinal: prop::sample::Index, bit in 0..PAGE_LEN * 8) {
        let records = records(count);
        let table = cars::build(&records).unwrap();
        let segment = Segment { id: table.id, first, cars: count };
        let bytes = bytes::Bytes::from(table.bytes);
        prop_assert_eq!(segment.records(&bytes).unwrap(), records.clone());
        let number = ordinal.index(count as usize) as u32;
        let page = segment.page_of(first + number).unwrap();
        let range = cars::page_range(page);
        let bytes = bytes.slice(range.start as usize..range.end as usize);
        prop_assert_eq!(Page::parse(&segment, page, bytes.clone()).unwrap().record(first + number), Some(records[number as usize]));
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Page::parse(&segment, page, damaged.into()).is_err());
        prop_assert!(Page::parse(&segment, page + 1, bytes).is_err(), "another page's");
    }
}

#[test]
fn ordinals_that_a_segment_does_not_have_have_no_page() {
    let segment = Segment { id: id(1), first: 10, cars: CARS_A_PAGE + 1 };
    assert_eq!(segment.page_of(9), None);
    assert_eq!(segment.page_of(10), Some(0));
    assert_eq!(segment.page_of(10 + CARS_A_PAGE), Some(1));
    assert_eq!(segment.page_of(11 + CARS_A_PAGE), None);
    assert_eq!(segment.pages(), 2);
}

#[test]
fn a_table_has_a_car_and_not_too_many() {
    assert_eq!(cars::build(&[]), Err(TableError::Cars(0)));
    let most = MAX_SEGMENT_CARS as usize;
    let record = records(1)[0];
    assert_eq!(cars::build(&vec![record; most + 1]), Err(TableError::Cars(most + 1)));
    assert_eq!(cars::build(&vec![record; most]).unwrap().bytes.len(), 16 << 20);
    assert_eq!(cars::build(&[Record { size: 1 << 48, ..record }]), Err(TableError::Size(1 << 48)));
}

#[test]
fn a_segment_with_another_number_of_records_is_an_error() {
    let table = cars::build(&records(5)).unwrap();
    let more = Segment { id: table.id, first: 0, cars: 6 };
    assert_eq!(more.records(&table.bytes.into()).unwrap_err().fault, PageFault::Records(5));
}
