//! Blocks for the tests, built by hand.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::PathBuf;

use cid::Cid;
use hoverboard_car::{Options, Reader, Section};
use hoverboard_dag::{multihash, verify};

/// The blocks of a CAR of the CAR crate's fixtures, checked.
pub(crate) fn blocks(name: &str) -> (Vec<Cid>, Vec<Section>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../car/tests/fixtures/car");
    let reader = Reader::new(std::fs::File::open(folder.join(name)).unwrap(), Options::default()).unwrap();
    let roots = reader.header().roots.clone();
    (roots, reader.verified(verify).collect::<Result<_, _>>().unwrap())
}

/// The sha2-256 CID of a block.
pub(crate) fn cid(codec: u64, block: &[u8]) -> Cid {
    Cid::new_v1(codec, multihash(0x12, 32, block).unwrap())
}

/// A protobuf field of bytes.
pub(crate) fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A protobuf field of a number.
pub(crate) fn number_field(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    varint(value, &mut out);
    out
}

/// A dag-pb node of links with names, and data.
pub(crate) fn node(links: &[(Cid, &str)], data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for (cid, name) in links {
        let mut link = bytes_field(1, &cid.to_bytes());
        link.extend(bytes_field(2, name.as_bytes()));
        link.extend(number_field(3, 1234));
        out.extend(bytes_field(2, &link));
    }
    out.extend(data.map(|data| bytes_field(1, data)).unwrap_or_default());
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
