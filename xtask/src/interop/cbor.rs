//! The little dag-cbor that the test data needs: small nodes with links.

use cid::Cid;
use multihash::Multihash;
use sha2::{Digest, Sha256};

/// The multicodec of dag-cbor.
const DAG_CBOR: u64 = 0x71;
/// The multihash code of sha2-256.
const SHA2_256: u64 = 0x12;

/// A dag-cbor block of encoded bytes.
pub(crate) fn block(data: Vec<u8>) -> (Cid, Vec<u8>) {
    let multihash = Multihash::wrap(SHA2_256, &Sha256::digest(&data)).expect("32 bytes fit in 64");
    (Cid::new_v1(DAG_CBOR, multihash), data)
}

/// A link: tag 42 around a byte string that begins with zero.
pub(crate) fn link(cid: &Cid) -> Vec<u8> {
    let bytes = cid.to_bytes();
    let mut encoded = vec![0xd8, 42];
    encoded.extend(head(2, bytes.len() as u64 + 1));
    encoded.push(0);
    encoded.extend(bytes);
    encoded
}

/// A text string.
pub(crate) fn text(value: &str) -> Vec<u8> {
    [head(3, value.len() as u64), value.as_bytes().to_vec()].concat()
}

/// An unsigned integer.
pub(crate) fn unsigned(value: u64) -> Vec<u8> {
    head(0, value)
}

/// A list of encoded items.
pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

/// A map of encoded values. The keys are given in dag-cbor's order: by length, then by bytes.
pub(crate) fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut encoded = head(5, entries.len() as u64);
    for (key, value) in entries {
        encoded.extend(text(key));
        encoded.extend(value);
    }
    encoded
}

/// A major type with its argument in the shortest form, as dag-cbor demands.
fn head(major: u8, argument: u64) -> Vec<u8> {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..24 => vec![major | bytes[7]],
        24..0x100 => vec![major | 24, bytes[7]],
        0x100..0x1_0000 => [&[major | 25], &bytes[6..]].concat(),
        0x1_0000..0x1_0000_0000 => [&[major | 26], &bytes[4..]].concat(),
        _ => [&[major | 27], &bytes[..]].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_as_short_as_they_can_be() {
        assert_eq!(unsigned(23), [0x17]);
        assert_eq!(unsigned(24), [0x18, 24]);
        assert_eq!(unsigned(256), [0x19, 1, 0]);
        assert_eq!(unsigned(65_536), [0x1a, 0, 1, 0, 0]);
        assert_eq!(map(&[("n", unsigned(1))]), [0xa1, 0x61, b'n', 1]);
    }
}
