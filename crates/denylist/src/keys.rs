//! The hashes that a block is looked for by. A published list does not name what it denies: it has a hash of each name, and
//! whoever checks a block hashes that block's names in the same way.
//!
//! There are two kinds. A *legacy anchor* is of a CID with its codec, which a peer may choose freely; so a block is looked
//! for under a fixed set of codecs, and under the one that was named. A *modern double hash* is of the multihash.

use cid::Cid;
use data_encoding::{Encoding, Specification};
use multihash::Multihash;
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// The codecs under which every block is looked for among legacy anchors, besides the one that it was asked for by: raw,
/// dag-pb, dag-cbor, dag-json, cbor, json, dag-jose, car. Anchors in use are of these.
pub const CODECS: [u64; 8] = [0x55, 0x70, 0x71, 0x0129, 0x51, 0x0200, 0x85, 0x0202];

/// The longest CID: its version, ten bytes of codec, and a multihash.
const MAX_CID: usize = 1 + 10 + MAX_MULTIHASH;

/// The longest multihash: two varints and 64 bytes of digest.
const MAX_MULTIHASH: usize = 10 + 10 + 64;

/// The longest base58btc text of a multihash of at most 64 bytes of digest and 20 bytes of varints.
const MAX_BASE58: usize = 116;

/// Base32 as in CIDs: lower case, no padding.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification.encoding().expect("an alphabet of 32 letters")
});

/// How a rule's hash was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// sha2-256 of `<CIDv1 in base32>/`.
    Legacy,
    /// sha2-256 of the multihash in base58btc.
    Modern,
}

/// The hashes of one block's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    legacy: Vec<[u8; 32]>,
    modern: Option<[u8; 32]>,
}

impl Keys {
    /// Those of a block that is asked for by this CID.
    pub fn of_cid(cid: &Cid) -> Self {
        Self::some(cid.hash(), Some(cid.codec()), [Kind::Legacy, Kind::Modern].into_iter())
    }

    /// Those of a block that is asked for by its multihash alone.
    pub fn of_multihash(multihash: &Multihash<64>) -> Self {
        Self::some(multihash, None, [Kind::Legacy, Kind::Modern].into_iter())
    }

    /// Those of certain kinds: each costs hashing.
    pub(crate) fn some(multihash: &Multihash<64>, named: Option<u64>, kinds: impl Iterator<Item = Kind>) -> Self {
        let mut keys = Self { legacy: Vec::new(), modern: None };
        for kind in kinds {
            match kind {
                Kind::Legacy => {
                    let named = named.filter(|codec| !CODECS.contains(codec));
                    keys.legacy = CODECS.into_iter().chain(named).map(|codec| legacy(codec, multihash)).collect();
                }
                Kind::Modern => keys.modern = Some(modern(multihash)),
            }
        }
        keys
    }

    /// The legacy anchors: at most one more than there are [`CODECS`].
    pub fn legacy(&self) -> &[[u8; 32]] {
        &self.legacy
    }

    /// The modern double hash.
    pub fn modern(&self) -> Option<&[u8; 32]> {
        self.modern.as_ref()
    }
}

/// The legacy anchor of a block under a codec.
pub(crate) fn legacy(codec: u64, multihash: &Multihash<64>) -> [u8; 32] {
    let mut cid = [0; MAX_CID];
    cid[0] = 1;
    let mut buffer = unsigned_varint::encode::u64_buffer();
    let codec = unsigned_varint::encode::u64(codec, &mut buffer);
    cid[1..=codec.len()].copy_from_slice(codec);
    let start = 1 + codec.len();
    // It fails only without room, and there is room for the longest.
    let len = start + multihash.write(&mut cid[start..]).unwrap_or(0);
    let mut text = [0; 2 + 8 * MAX_CID.div_ceil(5)];
    let end = 1 + BASE32.encode_len(len);
    text[0] = b'b';
    BASE32.encode_mut(&cid[..len], &mut text[1..end]);
    text[end] = b'/';
    Sha256::digest(&text[..=end]).into()
}

/// The modern double hash of a block.
pub(crate) fn modern(multihash: &Multihash<64>) -> [u8; 32] {
    let mut bytes = [0; MAX_MULTIHASH];
    let mut text = [0; MAX_BASE58];
    // Both fail only without room, and there is room for the longest.
    let len = multihash.write(&mut bytes[..]).unwrap_or(0);
    let len = bs58::encode(&bytes[..len]).onto(&mut text[..]).unwrap_or(0);
    Sha256::digest(&text[..len]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digest: &[u8; 32]) -> String {
        data_encoding::HEXLOWER.encode(digest)
    }

    #[test]
    fn the_worked_block_has_the_hashes_that_others_publish() {
        let cid: Cid = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q".parse().expect("a CID");
        let keys = Keys::of_cid(&cid);
        let anchor = "9114ba0c4aa2a162ac02d1c77cbb09eaa65f10e9c66484a5bd65902640387a5b";
        assert!(keys.legacy().iter().any(|key| hex(key) == anchor));
        let double = Multihash::<64>::wrap(0x12, keys.modern().expect("made")).expect("32 bytes");
        let text = bs58::encode(double.to_bytes()).into_string();
        assert_eq!(text, "QmPg1wBNL6wHa1xKd2fiwpnbmQXH3trC369okFheHxCEQU");
    }

    #[test]
    fn a_codec_outside_the_set_counts_where_it_is_named() {
        let cid = Cid::new_v1(0x78, Multihash::wrap(0x12, &[7; 32]).expect("32 bytes"));
        let anchor: [u8; 32] = Sha256::digest(format!("{cid}/")).into();
        assert!(Keys::of_cid(&cid).legacy().contains(&anchor));
        assert!(!Keys::of_multihash(cid.hash()).legacy().contains(&anchor));
        assert_eq!(Keys::of_cid(&cid).legacy().len(), CODECS.len() + 1);
        assert_eq!(Keys::of_multihash(cid.hash()).legacy().len(), CODECS.len());
    }

    #[test]
    fn every_codec_of_the_set_gives_the_anchor_of_its_cid() {
        for code in [0x00, 0x12, 0xb220, u64::MAX] {
            for len in [0, 20, 64] {
                let multihash = Multihash::<64>::wrap(code, &[9; 64][..len]).expect("short");
                let keys = Keys::of_multihash(&multihash);
                for (codec, key) in CODECS.into_iter().zip(keys.legacy()) {
                    let anchor: [u8; 32] = Sha256::digest(format!("{}/", Cid::new_v1(codec, multihash))).into();
                    assert_eq!(*key, anchor);
                }
                let double: [u8; 32] = Sha256::digest(bs58::encode(multihash.to_bytes()).into_string()).into();
                assert_eq!(keys.modern(), Some(&double));
            }
        }
    }
}
