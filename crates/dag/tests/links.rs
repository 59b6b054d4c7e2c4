//! Links of each codec, and blocks that are none.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod common;

use cid::Cid;
use common::{blocks, bytes_field, cid, node};
use hoverboard_dag::{LinksError, codec, links, pb};
use ipld_core::ipld::Ipld;
use ipld_core::serde::ExtractLinks;
use proptest::prelude::*;

#[test]
fn formats_without_links_have_none_whatever_their_bytes() {
    for codec in [codec::RAW, codec::CBOR, codec::JSON] {
        assert_eq!(links(codec, b"\xff\x00 anything"), Ok(vec![]));
    }
}

#[test]
fn an_unknown_codec_is_an_error_and_not_a_leaf() {
    assert_eq!(links(0x78, b""), Err(LinksError::UnsupportedCodec(0x78)));
}

#[test]
fn dag_pb_links_come_in_order_and_as_often_as_they_are_there() {
    let (a, b) = (cid(codec::RAW, b"a"), cid(codec::DAG_PB, b"b"));
    let v0 = Cid::new_v0(*b.hash()).unwrap();
    let block = node(&[(b, "z"), (a, "a"), (v0, ""), (b, "z")], Some(b"data"));
    assert_eq!(links(codec::DAG_PB, &block), Ok(vec![b, a, v0, b]));
    assert_eq!(links(codec::DAG_PB, b""), Ok(vec![]));
}

#[test]
fn dag_pb_data_may_stand_before_the_links_and_unknown_fields_anywhere() {
    let a = cid(codec::RAW, b"a");
    let mut block = bytes_field(1, b"data");
    block.extend([0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7d, 1, 2, 3, 4]);
    block.extend(node(&[(a, "a")], None));
    let node = pb::Node::parse(&block).unwrap();
    assert_eq!(node.data, Some(&b"data"[..]));
    assert_eq!(node.links, [pb::Link { cid: a, name: b"a", tsize: Some(1234) }]);
}

#[test]
fn dag_pb_that_is_malformed_is_an_error() {
    let bad = |block: &[u8]| links(codec::DAG_PB, block).unwrap_err();
    let protobuf = LinksError::DagPb(pb::Error::Protobuf);
    assert_eq!(bad(b"\x12"), protobuf);
    assert_eq!(bad(b"\x0a\x05abc"), protobuf);
    assert_eq!(bad(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), protobuf);
    assert_eq!(bad(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), protobuf);
    assert_eq!(bad(b"\x08\x01"), protobuf); // data that is a number
    assert_eq!(bad(b"\x0b"), protobuf); // a group
    let a = cid(codec::RAW, b"a");
    let mut no_cid = node(&[(a, "a")], None);
    no_cid.extend(b"\x12\x00");
    assert_eq!(bad(&no_cid), LinksError::DagPb(pb::Error::Cid { index: 1 }));
}

/// A dag-cbor link.
fn cbor_link(cid: &Cid) -> Vec<u8> {
    let bytes = cid.to_bytes();
    let mut out = vec![0xd8, 0x2a, 0x58, bytes.len() as u8 + 1, 0];
    out.extend(bytes);
    out
}

#[test]
fn dag_cbor_links_come_in_order_from_any_depth() {
    let (a, b) = (cid(codec::RAW, b"a"), cid(codec::DAG_CBOR, b"b"));
    // {"b": [b, {"x": a}], "a": b, "n": 1.5}, keys out of order.
    let block = [
        &b"\xa3\x61b\x82"[..],
        &cbor_link(&b),
        b"\xa1\x61x",
        &cbor_link(&a),
        b"\x61a",
        &cbor_link(&b),
        b"\x61n\xfb\x3f\xf8\0\0\0\0\0\0",
    ]
    .concat();
    assert_eq!(links(codec::DAG_CBOR, &block), Ok(vec![b, a, b]));
}

#[test]
fn dag_cbor_that_is_malformed_is_an_error() {
    let link = cbor_link(&cid(codec::RAW, b"a"));
    let mut trailing = link.clone();
    trailing.push(0);
    for block in [
        &b""[..],
        &link[..20],
        &trailing,
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xd8\x2a\x41\x00",
        b"\xd8\x2a\x60",
        b"\xff",
        b"\x9f\xff",
        b"\x1c",
    ] {
        assert!(matches!(links(codec::DAG_CBOR, block), Err(LinksError::DagCbor { .. })), "{block:?}");
    }
}

#[test]
fn dag_json_links_come_in_order_from_any_depth() {
    let (a, b) = (cid(codec::RAW, b"a"), cid(codec::DAG_CBOR, b"b"));
    let block =
        format!(r#"{{"z":[{{"/":"{b}"}},{{"x":{{"/":"{a}"}}}}],"d":{{"/":{{"bytes":"YWJj"}}}},"n":1.5,"s":"/"}}"#);
    assert_eq!(links(codec::DAG_JSON, block.as_bytes()), Ok(vec![b, a]));
    for block in ["", "{", r#"{"/":"no cid"}"#, "1 2"] {
        assert!(matches!(links(codec::DAG_JSON, block.as_bytes()), Err(LinksError::DagJson(_))), "{block:?}");
    }
}

#[test]
fn nesting_without_end_is_an_error_and_no_stack_overflow() {
    let depth = 1_000_000;
    let arrays = vec![0x81; depth];
    assert!(matches!(links(codec::DAG_CBOR, &arrays), Err(LinksError::DagCbor { .. })));
    let maps = b"\xa1\x61a".repeat(depth);
    assert!(matches!(links(codec::DAG_CBOR, &maps), Err(LinksError::DagCbor { .. })));
    let tags = b"\xc1".repeat(depth);
    assert!(matches!(links(codec::DAG_CBOR, &tags), Err(LinksError::DagCbor { .. })));
    for open in ["[", r#"{"a":"#, r#"{"/":"#, r#"{"/":{"bytes":"#] {
        let block = open.repeat(depth);
        assert!(matches!(links(codec::DAG_JSON, block.as_bytes()), Err(LinksError::DagJson(_))), "{open}");
    }
}

#[test]
fn dag_cbor_is_read_at_any_depth_and_dag_json_a_hundred_levels_deep() {
    let a = cid(codec::RAW, b"a");
    let cbor = [vec![0x81; 100_000], cbor_link(&a)].concat();
    assert_eq!(links(codec::DAG_CBOR, &cbor), Ok(vec![a]));
    let json = format!(r#"{}{{"/":"{a}"}}{}"#, "[".repeat(100), "]".repeat(100));
    assert_eq!(links(codec::DAG_JSON, json.as_bytes()), Ok(vec![a]));
}

#[test]
fn the_links_of_real_files_lead_to_their_blocks() {
    let (_, sections) = blocks("simple-unixfs.car");
    let there: Vec<Cid> = sections.iter().map(|section| *section.cid()).collect();
    let linked: Vec<Cid> =
        sections.iter().flat_map(|section| links(section.cid().codec(), &section.data).unwrap()).collect();
    assert!(linked.len() >= there.len() - 1);
    assert!(linked.iter().all(|cid| there.contains(cid)));

    // dag-cbor of the Filecoin chain, with strings that are not UTF-8.
    let (_, sections) = blocks("sample-v1.car");
    let mut found = 0;
    for section in &sections {
        found += links(section.cid().codec(), &section.data).unwrap().len();
    }
    assert!(found > 1000, "{found}");
}

/// Any value of the data model, links among them.
fn ipld() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|number| Ipld::Integer(number.into())),
        (-1e9..1e9).prop_map(Ipld::Float),
        ".{0,40}".prop_map(Ipld::String),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Ipld::Bytes),
        any::<[u8; 4]>().prop_map(|block| Ipld::Link(cid(codec::RAW, &block))),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Ipld::List),
            proptest::collection::btree_map(".{0,8}", inner, 0..8).prop_map(Ipld::Map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn dag_cbor_links_are_those_that_a_full_decoder_finds(value in ipld()) {
        let block = serde_ipld_dagcbor::to_vec(&value).unwrap();
        let expected: ExtractLinks<64> = serde_ipld_dagcbor::from_slice(&block).unwrap();
        prop_assert_eq!(links(codec::DAG_CBOR, &block), Ok(expected.into_vec()));
    }

    #[test]
    fn dag_cbor_cut_short_anywhere_is_an_error(value in ipld()) {
        let block = serde_ipld_dagcbor::to_vec(&value).unwrap();
        for cut in 0..block.len() {
            prop_assert!(links(codec::DAG_CBOR, &block[..cut]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_a_block_or_an_error(
        codec in proptest::sample::select(vec![codec::DAG_PB, codec::DAG_CBOR, codec::DAG_JSON]),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = links(codec, &bytes);
    }
}
