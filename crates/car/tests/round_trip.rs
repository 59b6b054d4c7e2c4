//! What is written is read again, in any pieces and by hops, and broken bytes never do worse than an error.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod common;

use cid::Cid;
use common::{decode, scan, scan_all};
use hoverboard_car::{Error, Options, Reader, Scanner, SectionOffset, Writer, wrap};
use multihash::Multihash;
use proptest::prelude::*;

type Block = (Cid, Vec<u8>);

fn car(roots: &[Cid], blocks: &[Block]) -> (Vec<u8>, Vec<SectionOffset>) {
    let mut writer = Writer::new(Vec::new(), roots).unwrap();
    let offsets = blocks.iter().map(|(cid, data)| writer.write(cid, data).unwrap()).collect();
    let written = writer.written();
    let bytes = writer.finish().unwrap();
    assert_eq!(written, bytes.len() as u64);
    (bytes, offsets)
}

fn wrapped(payload: &[u8], index: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let len = wrap(payload, payload.len() as u64, index, &mut out).unwrap();
    assert_eq!(len, out.len() as u64);
    out
}

fn cid() -> impl Strategy<Value = Cid> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|digest| Cid::new_v0(Multihash::wrap(0x12, &digest).unwrap()).unwrap()),
        any::<[u8; 32]>().prop_map(|digest| Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap())),
        (0..1_u64 << 62, 0..1_u64 << 62, proptest::collection::vec(any::<u8>(), 0..=64))
            .prop_map(|(codec, code, digest)| Cid::new_v1(codec, Multihash::wrap(code, &digest).unwrap())),
    ]
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let data = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..300),
        1 => (0_usize..20_000).prop_map(|len| vec![0x5a; len]),
    ];
    proptest::collection::vec((cid(), data), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_is_read_in_any_pieces(
        roots in proptest::collection::vec(cid(), 0..4),
        blocks in blocks(),
        pieces in proptest::collection::vec(1_usize..3000, 1..5),
        v2 in any::<bool>(),
    ) {
        let (mut bytes, offsets) = car(&roots, &blocks);
        if v2 {
            bytes = wrapped(&bytes, Some(b"whatever an index is"));
        }
        let decoded = decode(&bytes, &pieces, Options::default());
        prop_assert!(decoded.error.is_none(), "{:?}", decoded.error);
        prop_assert_eq!(&decoded.header.unwrap().roots, &roots);
        let read: Vec<Block> = decoded.sections.iter().map(|section| (*section.cid(), section.data.to_vec())).collect();
        prop_assert_eq!(&read, &blocks);
        let at: Vec<SectionOffset> = decoded.sections.iter().map(|section| section.head.offset).collect();
        prop_assert_eq!(&at, &offsets);

        for hop_over in [0, 8 << 10, u64::MAX] {
            for least in [false, true] {
                let scanner = Scanner::new(bytes.len() as u64, Options::default()).hop_over(hop_over);
                let (scanned, _) = scan(&bytes, scanner, least);
                prop_assert!(scanned.error.is_none(), "{:?}", scanned.error);
                let heads: Vec<_> = decoded.sections.iter().map(|section| section.head).collect();
                prop_assert_eq!(scanned.sections, heads);
            }
        }
    }

    #[test]
    fn a_car_with_a_byte_changed_is_never_a_panic_and_both_ways_agree(
        blocks in blocks(),
        v2 in any::<bool>(),
        place in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        pieces in proptest::collection::vec(1_usize..3000, 1..5),
    ) {
        let (mut bytes, _) = car(&[], &blocks);
        if v2 {
            bytes = wrapped(&bytes, None);
        }
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let decoded = decode(&bytes, &pieces, Options::default());
        let scanned = scan_all(&bytes, Options::default());
        prop_assert_eq!(decoded.error.is_some(), scanned.error.is_some());
        let heads: Vec<_> = decoded.sections.iter().map(|section| section.head).collect();
        prop_assert_eq!(scanned.sections, heads);
    }
}

fn raw(number: u32) -> Cid {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap())
}

#[test]
fn what_is_whole_of_a_carv2_that_was_cut_short_is_found() {
    let blocks: Vec<Block> = (0..9).map(|number| (raw(number), vec![1; 300])).collect();
    let (payload, offsets) = car(&[], &blocks);
    let bytes = wrapped(&payload, None);
    let start = bytes.len() - payload.len();
    for (whole, cut) in [(5, start + offsets[5].0 as usize), (5, start + offsets[5].0 as usize + 100), (0, start + 30)]
    {
        let scanned = scan_all(&bytes[..cut], Options::default());
        assert!(matches!(scanned.error, Some(Error::Truncated { .. })), "cut at {cut}: {:?}", scanned.error);
        assert_eq!(scanned.sections.len(), whole, "cut at {cut}");
    }
}

#[test]
fn large_blocks_are_hopped_over_and_small_ones_read_in_large_pieces() {
    let large: Vec<Block> = (0..64).map(|number| (raw(number), vec![1; 256 << 10])).collect();
    let (bytes, _) = car(&[], &large);
    let (outcome, reads) = scan(&bytes, Scanner::new(bytes.len() as u64, Options::default()), false);
    assert_eq!(outcome.sections.len(), 64);
    assert!(reads <= 65, "{reads} reads for 64 sections");

    let small: Vec<Block> = (0..16_384).map(|number| (raw(number), vec![1; 1 << 10])).collect();
    let (bytes, _) = car(&[], &small);
    let (outcome, reads) = scan(&bytes, Scanner::new(bytes.len() as u64, Options::default()), false);
    assert_eq!(outcome.sections.len(), 16_384);
    assert!(reads <= 20, "{reads} reads for 17 MiB");
}

#[test]
fn a_file_that_shrinks_under_the_scan_is_an_error() {
    let (bytes, _) = car(&[], &[(raw(0), vec![1; 100]), (raw(1), vec![1; 100])]);
    let scanner = Scanner::new(bytes.len() as u64, Options::default()).hop_over(0);
    let mut found = 0;
    let read_at = |offset: u64, buffer: &mut [u8]| {
        let there = &bytes[..bytes.len() - 150];
        let rest = there.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    };
    let error = scanner.run(read_at, |_| found += 1).unwrap_err();
    assert!(matches!(error, Error::Truncated { what: "file", .. }), "{error}");
    assert_eq!(found, 1);
}

#[test]
fn a_block_that_does_not_verify_is_named_and_the_others_are_read() {
    let blocks: Vec<Block> = (0..3).map(|number| (raw(number), vec![number as u8; 10])).collect();
    let (bytes, offsets) = car(&[], &blocks);
    let reader = Reader::new(bytes.as_slice(), Options::default()).unwrap();
    let check = |_: &Cid, data: &[u8]| if data[0] == 1 { Err("it is one") } else { Ok(()) };
    let results: Vec<_> = reader.verified(check).collect();
    let [Ok(_), Err(error), Ok(_)] = &results[..] else { panic!("{results:?}") };
    assert_eq!(error.at(), Some(offsets[1].0));
    assert!(error.to_string().ends_with("does not verify: it is one"), "{error}");
}

#[test]
fn a_section_over_the_limit_is_refused_before_its_data_is_there() {
    let (bytes, offsets) = car(&[], &[(raw(0), vec![0; 5000])]);
    let options = Options { max_section: 1000, ..Options::default() };
    let head = &bytes[..offsets[0].0 as usize + 60];
    let outcome = decode(head, &[], options);
    assert!(matches!(outcome.error, Some(Error::SectionTooLong { len: 5036, max: 1000, .. })), "{:?}", outcome.error);
}

#[test]
fn a_payload_that_ends_inside_a_section_is_an_error_though_the_file_goes_on() {
    let (payload, offsets) = car(&[], &[(raw(0), vec![0; 100]), (raw(1), vec![0; 100])]);
    let last = 51 + offsets[1].0;
    for short in 1..130 {
        let mut bytes = wrapped(&payload, Some(&[1; 300]));
        bytes[35..43].copy_from_slice(&(payload.len() as u64 - short).to_le_bytes());
        let decoded = decode(&bytes, &[], Options::default());
        let scanned = scan_all(&bytes, Options::default());
        for (error, sections) in [(decoded.error, decoded.sections.len()), (scanned.error, scanned.sections.len())] {
            assert!(matches!(error, Some(Error::SectionPastEnd { at, .. }) if at == last), "{short}: {error:?}");
            assert_eq!(sections, 1);
        }
    }
}

#[test]
fn wrapping_a_payload_that_is_shorter_than_said_is_an_error() {
    let error = wrap(&b"short"[..], 6, None, Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Truncated { at: 5, end: 6, .. }), "{error}");
}
