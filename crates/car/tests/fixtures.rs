//! Files that other programs wrote, whole and broken, read in all three ways.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod common;

use common::{Outcome, decode, fixture, scan, scan_all};
use hoverboard_car::{Error, Options, Reader, Scanner, SectionHead, Version, ZeroLength};

/// Reads a file by streaming (in one piece and in small ones), by `Read` and by position, and sees that they agree.
fn read(name: &str, options: Options) -> Outcome<SectionHead> {
    let bytes = fixture(name);
    let whole = decode(&bytes, &[], options);
    let streamed = heads(&whole);

    let pieces = decode(&bytes, &[1, 700, 3, 64, 4096], options);
    assert_eq!(heads(&pieces), streamed, "{name}: pieces");
    assert_eq!(message(&pieces.error), message(&whole.error), "{name}: pieces");

    let (least, _) = scan(&bytes, Scanner::new(bytes.len() as u64, options), true);
    let scanned = scan_all(&bytes, options);
    assert_eq!(least.sections, scanned.sections, "{name}: least");
    assert_eq!(message(&least.error), message(&scanned.error), "{name}: least");
    assert_eq!(least.header, scanned.header, "{name}: least");
    if whole.error.is_none() {
        assert_eq!(scanned.sections, streamed, "{name}: scan");
        assert_eq!(scanned.header, whole.header, "{name}: scan");
        let reader = Reader::new(bytes.as_slice(), options).unwrap();
        let read: Result<Vec<_>, _> = reader.map(|section| section.map(|section| section.head)).collect();
        assert_eq!(read.unwrap(), streamed, "{name}: reader");
    }
    for section in &whole.sections {
        let start = whole.header.as_ref().unwrap().payload_start() + section.head.block_offset().0;
        assert_eq!(&bytes[start as usize..][..section.data.len()], &section.data[..]);
    }
    Outcome { header: scanned.header, sections: scanned.sections, error: whole.error }
}

fn heads(outcome: &Outcome<hoverboard_car::Section>) -> Vec<SectionHead> {
    outcome.sections.iter().map(|section| section.head).collect()
}

fn message(error: &Option<Error>) -> String {
    error.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn whole_files_give_all_their_sections() {
    for (name, roots, sections) in [
        ("car/sample-v1.car", 1, 1049),
        ("car/sample-wrapped-v2.car", 1, 1049),
        ("car/sample-v2-indexless.car", 1, 1049),
        ("car/sample-unixfs-v2.car", 1, 3),
        ("car/simple-unixfs.car", 1, 22),
        ("car/simple-unixfs-missing-blocks.car", 1, 17),
        ("eipfs/test-cid1.car", 1, 1),
        ("eipfs/test-cid2.car", 1, 1),
        ("eipfs/test-cid5.car", 1, 1),
        ("eipfs/test-cid8.car", 1, 1),
    ] {
        let outcome = read(name, Options::default());
        assert!(outcome.error.is_none(), "{name}: {:?}", outcome.error);
        assert_eq!(outcome.header.unwrap().roots.len(), roots, "{name}");
        assert_eq!(outcome.sections.len(), sections, "{name}");
    }
}

#[test]
fn a_carv2_gives_the_sections_of_the_carv1_inside_at_the_same_offsets() {
    let v1 = read("car/sample-v1.car", Options::default());
    let v2 = read("car/sample-wrapped-v2.car", Options::default());
    assert_eq!(v1.sections, v2.sections);
    let header = v2.header.unwrap();
    assert!(matches!(header.version, Version::V2 { fully_indexed: false, .. }));
    assert_eq!(header.payload_start(), 51);
    assert_eq!(header.payload_end(), Some(51 + 479_907));
    assert_eq!(header.index_start(), Some(51 + 479_907));
}

#[test]
fn the_worked_block_lies_where_the_formats_say() {
    let outcome = read("eipfs/test-cid1.car", Options::default());
    let [section] = outcome.sections[..] else { panic!("one section") };
    assert_eq!(section.cid.to_string(), "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q");
    assert_eq!((section.offset.0, section.block_offset().0, section.data_len), (59, 96, 5));
    assert_eq!(outcome.header.unwrap().roots, [section.cid]);
}

#[test]
fn zero_length_sections_are_refused_or_padding_as_asked() {
    for (name, sections, first_zero) in [
        ("car/sample-v1-with-zero-len-section.car", 1049, 479_907),
        ("car/sample-v1-with-zero-len-section2.car", 20, 20_819),
    ] {
        let refused = read(name, Options::default());
        assert!(matches!(refused.error, Some(Error::ZeroLength { at }) if at == first_zero), "{:?}", refused.error);
        assert_eq!(refused.sections.len(), sections);

        let padded = read(name, Options { zero_length: ZeroLength::Padding, ..Options::default() });
        assert!(padded.error.is_none(), "{:?}", padded.error);
        assert_eq!(padded.sections.len(), sections);
    }
}

#[test]
fn a_file_cut_inside_its_last_section_gives_those_before_and_names_the_place() {
    let outcome = read("car/sample-v1-tailing-corrupt-section.car", Options::default());
    assert!(
        matches!(outcome.error, Some(Error::Truncated { at: 479_518, what: "section", end: 479_907 })),
        "{:?}",
        outcome.error
    );
    assert_eq!(outcome.sections.len(), 1048);
}

#[test]
fn broken_headers_and_lengths_are_named() {
    let error = |name| read(name, Options::default()).error.map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(
        error("car/badheaderlength.car"),
        "the header at byte 0 claims 216830324832 bytes, over the limit of 1048576"
    );
    assert_eq!(
        error("car/badsectionlength.car"),
        "the section at byte 18 claims 216830324832 bytes, over the limit of 4194408"
    );
    assert!(error("car/sample-corrupt-pragma.car").starts_with("cut short at byte 0: the header goes on to byte"));
    assert_eq!(error("car/sample-rootless-v42.car"), "CAR version 42 at byte 0 is not supported: 1 and 2 are");
    assert_eq!(
        error("car/sample-v2-corrupt-data-and-index.car"),
        "bad header at byte 11: its payload of 479907 bytes at byte 18446744073709550254 has no end"
    );
}

#[test]
fn every_proper_prefix_of_a_file_is_an_error_or_ends_between_two_sections() {
    for name in ["car/simple-unixfs.car", "car/sample-unixfs-v2.car"] {
        let bytes = fixture(name);
        let whole = decode(&bytes, &[], Options::default());
        let header = whole.header.unwrap();
        let payload = header.payload_start();
        let mut ends: Vec<u64> = whole.sections.iter().map(|section| payload + section.head.end().0).collect();
        match header.payload_end() {
            None => ends.push(header.first_section.0),
            // A CARv2 says where its payload ends, so only what lies behind may be missing.
            Some(end) => ends = (end..bytes.len() as u64).collect(),
        }
        for cut in 0..bytes.len() {
            let decoded = decode(&bytes[..cut], &[], Options::default());
            let scanned = scan_all(&bytes[..cut], Options::default());
            let fine = ends.contains(&(cut as u64));
            assert_eq!(decoded.error.is_none(), fine, "{name} cut at {cut}: {:?}", decoded.error);
            assert_eq!(scanned.error.is_none(), fine, "{name} cut at {cut}: {:?}", scanned.error);
        }
    }
}
