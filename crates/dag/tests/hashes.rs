//! Every hash function against published vectors, and what a block's check takes and refuses.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

use cid::Cid;
use cid::multihash::Multihash;
use hoverboard_dag::{Sha256, VerifyError, multihash, verify, verify_with};
use proptest::prelude::*;

/// Digests of "abc".
const ABC: &[(u64, &str)] = &[
    (0x00, "616263"),
    (0x11, "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (0x12, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        0x13,
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    (
        0x14,
        "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
    ),
    (0x15, "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25"),
    (0x16, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
    (0x17, "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
    (
        0x18,
        "5881092dd818bf5cf8a3ddb793fbcba74097d5c526a6d35f97b83351940f2cc844c50af32acd3f2cdd066568706f509bc1bdde58295dae3f891a9a0fca578378",
    ),
    (
        0x19,
        "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739d5a15bef186a5386c75744c0527e1faa9f8726e462a12a4feb06bd8801e751e4",
    ),
    (0x20, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"),
    (0x56, "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"),
    (0x1013, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
    (0x1014, "4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa"),
    (0x1015, "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"),
];

/// Digests of nothing.
const EMPTY: &[(u64, &str)] = &[
    (0x00, ""),
    (0x1a, "f71837502ba8e10837bdd8d365adb85591895602fc552b48b7390abd"),
    (0x1b, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
    (0x1c, "2c23146a63a29acf99e73b88f8c24eaa7dc60aa771780ccc006afbfa8fe2479b2dd2b21362337441ac12b515911957ff"),
    (
        0x1d,
        "0eab42de4c3ceb9235fc91acffe746b29c29a8c366b7c60e4e67c466f36a4304c00fa9caf9d87976ba469bcbe06713b435f091ef2769fb160cdab33d3670680e",
    ),
    (
        0x1e,
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262e00f03e7b69af26b7faaf09fcd333050338ddfe085b8cc869ca98b206c08243a",
    ),
];

#[test]
fn digests_are_those_of_the_published_vectors() {
    for (data, vectors) in [(&b"abc"[..], ABC), (b"", EMPTY)] {
        for (code, expected) in vectors {
            let digest = multihash(*code, expected.len() / 2, data).unwrap();
            assert_eq!(hex(digest.digest()), *expected, "0x{code:x}");
            assert_eq!(digest.code(), *code);
        }
    }
}

#[test]
fn blakes_of_every_length_are_those_of_the_reference() {
    // The digests of "abc" of every length, one behind the other, hashed: computed with Python's hashlib.
    for (codes, expected) in [
        (0xb201..=0xb240_u64, "9d1cdef0b728145136303c3d27212397502c10036c04beee860a12d3bdc6c8d0"),
        (0xb241..=0xb260, "6866e62e30160d70773053e540cb7050eaeb86aea495ac93079cd424e7f4c3a9"),
    ] {
        let mut all = Vec::new();
        for (code, len) in codes.zip(1..) {
            all.extend(multihash(code, len, b"abc").unwrap().digest());
            assert_eq!(multihash(code, len + 1, b"abc"), Err(VerifyError::DigestTooLong { code, len: len + 1 }));
        }
        assert_eq!(hex(multihash(0x12, 32, &all).unwrap().digest()), expected);
    }
}

#[test]
fn a_truncated_digest_is_taken_down_to_twenty_bytes() {
    for len in 0..=32 {
        let digest = multihash(0x12, len, b"abc").unwrap();
        let cid = Cid::new_v1(0x55, digest);
        let expected = if len < 20 { Err(VerifyError::DigestTooShort { len }) } else { Ok(()) };
        assert_eq!(verify(&cid, b"abc"), expected);
        if len >= 20 {
            assert_eq!(verify(&cid, b"abd"), Err(VerifyError::Mismatch));
        }
    }
}

#[test]
fn a_digest_longer_than_the_function_gives_is_refused() {
    let cid = Cid::new_v1(0x55, Multihash::wrap(0x12, &[0; 33]).unwrap());
    assert_eq!(verify(&cid, b"abc"), Err(VerifyError::DigestTooLong { code: 0x12, len: 33 }));
    assert_eq!(multihash(0x19, 65, b"abc"), Err(VerifyError::DigestTooLong { code: 0x19, len: 65 }));
}

#[test]
fn an_unknown_function_is_named() {
    for code in [0x22, 0xd5, 0xb200, 0xb261, u64::MAX] {
        let cid = Cid::new_v1(0x55, Multihash::wrap(code, &[0; 32]).unwrap());
        assert_eq!(verify(&cid, b"abc"), Err(VerifyError::UnsupportedHash(code)));
    }
}

#[test]
fn identity_is_the_data_and_nothing_more() {
    let cid = |data: &[u8]| Cid::new_v1(0x55, Multihash::wrap(0x00, data).unwrap());
    assert_eq!(verify(&cid(b""), b""), Ok(()));
    assert_eq!(verify(&cid(b"abc"), b"abc"), Ok(()));
    assert_eq!(verify(&cid(b"abc"), b"abcd"), Err(VerifyError::Mismatch));
    assert_eq!(verify(&cid(b"abc"), b"ab"), Err(VerifyError::Mismatch));
    assert_eq!(verify(&cid(b"abc"), b"abd"), Err(VerifyError::Mismatch));
}

#[test]
fn a_host_fills_in_its_own_sha2_256_and_no_other_hash() {
    struct Zeros;
    impl Sha256 for Zeros {
        fn sha256(&self, _: &[u8]) -> [u8; 32] {
            [0; 32]
        }
    }
    let cid = |code, digest: &[u8]| Cid::new_v1(0x55, Multihash::wrap(code, digest).unwrap());
    assert_eq!(verify_with(&Zeros, &cid(0x12, &[0; 32]), b"abc"), Ok(()));
    assert_eq!(verify_with(&Zeros, &cid(0x13, &[0; 64]), b"abc"), Err(VerifyError::Mismatch));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_bit_changed_in_a_block_is_noticed(
        data in proptest::collection::vec(any::<u8>(), 1..5000),
        place in any::<proptest::sample::Index>(),
        function in proptest::sample::select(vec![(0x12, 32), (0x12, 20), (0x13, 64), (0x1e, 32), (0xb220, 32), (0x11, 20)]),
    ) {
        let cid = Cid::new_v1(0x55, multihash(function.0, function.1, &data).unwrap());
        prop_assert_eq!(verify(&cid, &data), Ok(()));
        let mut changed = data.clone();
        changed[place.index(data.len())] ^= 1;
        prop_assert_eq!(verify(&cid, &changed), Err(VerifyError::Mismatch));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
