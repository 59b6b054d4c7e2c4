//! Claims as services answer with them.

use hoverboard_car::BlockOffset;
use hoverboard_claims::{
    Assertion, ByteRange, Claim, Error, Location, MAX_PARTS, MAX_RESPONSE, MAX_URL_LEN, MAX_URLS, Part, read, write,
};
use proptest::prelude::*;

use crate::support::{
    CAR, CAR_CID, CAR_INDEX, answer, block, car, car_cid, cid, claim, linking, location, partition, relation,
};

fn one(claim: Vec<u8>) -> Claim {
    let read = read(&answer(&[claim])).unwrap();
    assert_eq!(read.passed_over, 0);
    let [claim] = <[Claim; 1]>::try_from(read.claims).unwrap();
    claim
}

#[test]
fn every_kind_of_claim_is_read() {
    let (content, index) = (block(), cid(CAR_INDEX, b"index"));
    let parts = vec![car_cid(), cid(CAR, b"other")];
    let url = "https://a.example.com/x";
    let expected = [
        (
            location(&content, url, Some((96, Some(5)))),
            Assertion::Location {
                urls: vec![url.to_owned()],
                range: Some(ByteRange { offset: BlockOffset(96), length: Some(5) }),
            },
        ),
        (location(&content, url, None), Assertion::Location { urls: vec![url.to_owned()], range: None }),
        (
            location(&content, url, Some((7, None))),
            Assertion::Location {
                urls: vec![url.to_owned()],
                range: Some(ByteRange { offset: BlockOffset(7), length: None }),
            },
        ),
        (linking("assert/inclusion", &content, "includes", &index), Assertion::Inclusion { includes: index }),
        (linking("assert/index", &content, "index", &index), Assertion::Index { index }),
        (linking("assert/equals", &content, "equals", &index), Assertion::Equals { equals: index }),
        (partition(&content, &parts), Assertion::Partition { parts }),
        (
            relation(&content, &[index], &car_cid(), Some(&index)),
            Assertion::Relation { parts: vec![Part { content: car_cid(), includes: Some(index) }] },
        ),
        (
            relation(&content, &[], &car_cid(), None),
            Assertion::Relation { parts: vec![Part { content: car_cid(), includes: None }] },
        ),
    ];
    for (claim, assertion) in expected {
        assert_eq!(one(claim), Claim { content: *content.hash(), assertion, whole: true });
    }
}

/// Made and signed by web3.storage's own library: see `interop/claims`.
#[test]
fn claims_of_the_library_that_defines_them_are_read() {
    let read = read(include_bytes!("../fixtures/every-claim.car")).unwrap();
    assert_eq!(read.passed_over, 0);
    let about = |content: cid::Cid, assertion| Claim { content: *content.hash(), assertion, whole: true };
    let urls = vec![format!("https://carpark.example.com/{CAR_CID}/{CAR_CID}.car")];
    let range = Some(ByteRange { offset: BlockOffset(96), length: Some(5) });
    let expected = [
        about(block(), Assertion::Location { urls: urls.clone(), range }),
        about(car_cid(), Assertion::Location { urls, range: None }),
        about(car_cid(), Assertion::Inclusion { includes: block() }),
        about(block(), Assertion::Index { index: car_cid() }),
        about(block(), Assertion::Partition { parts: vec![car_cid()] }),
        about(block(), Assertion::Relation { parts: vec![Part { content: car_cid(), includes: Some(block()) }] }),
        about(block(), Assertion::Equals { equals: car_cid() }),
    ];
    assert_eq!(read.claims, expected);
}

#[test]
fn a_kind_that_is_not_known_is_left_out_and_is_no_damage() {
    let unknown = claim("assert/nonsense", &block(), 0, |_| {});
    let read = read(&answer(&[unknown, location(&block(), "https://a", None)])).unwrap();
    assert_eq!((read.claims.len(), read.passed_over), (1, 0));
}

#[test]
fn no_claims_are_an_empty_car_or_nothing_at_all() {
    assert!(read(&answer(&[])).unwrap().claims.is_empty());
    assert!(read(&[]).unwrap().claims.is_empty());
}

#[test]
fn a_damaged_claim_does_not_hide_the_others() {
    let good = location(&block(), "https://a", None);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    // One whose CAR is not what its CID says, and one that is not a claim at all.
    let blocks = [(cid(CAR, &good), damaged.clone()), (cid(CAR, &damaged), damaged), (cid(CAR, &good), good)];
    let read = read(&car(&[], &blocks)).unwrap();
    assert_eq!((read.claims.len(), read.passed_over), (1, 2));
}

#[test]
fn what_is_too_much_is_cut_and_the_claim_says_so() {
    let many = claim("assert/location", &block(), 1, |out| {
        out.str("location").unwrap().array(MAX_URLS as u64 + 1).unwrap();
        for _ in 0..=MAX_URLS {
            out.str("https://a").unwrap();
        }
    });
    let Claim { assertion: Assertion::Location { urls, .. }, whole: false, .. } = one(many) else { panic!("whole") };
    assert_eq!(urls.len(), MAX_URLS);
    let long = location(&block(), &format!("https://{}", "a".repeat(MAX_URL_LEN)), None);
    assert!(!one(long).whole);
    let parts: Vec<_> = (0..=MAX_PARTS as u32).map(|part| cid(CAR, &part.to_le_bytes())).collect();
    let Claim { assertion: Assertion::Partition { parts }, whole: false, .. } = one(partition(&block(), &parts)) else {
        panic!("whole")
    };
    assert_eq!(parts.len(), MAX_PARTS);
    assert!(matches!(read(&vec![0; MAX_RESPONSE + 1]), Err(Error::TooLong { .. })));
}

#[test]
fn what_we_write_is_read_as_it_was_meant() {
    let locations: Vec<Location> = [(0, 0), (96, 5), (u64::MAX, u64::MAX)]
        .map(|(offset, length)| Location {
            content: *block().hash(),
            url: format!("https://carpark.example.com/{offset}"),
            offset: BlockOffset(offset),
            length,
        })
        .into();
    for expires in [None, Some(1_800_000_000)] {
        let read = read(&write(&locations, &"did:web:example.com".parse().unwrap(), expires)).unwrap();
        assert_eq!((read.claims.len(), read.passed_over), (3, 0));
        for (claim, location) in read.claims.iter().zip(&locations) {
            assert_eq!(claim.content, location.content);
            let range = ByteRange { offset: location.offset, length: Some(location.length) };
            assert_eq!(claim.assertion, Assertion::Location { urls: vec![location.url.clone()], range: Some(range) });
        }
    }
}

#[test]
fn a_did_that_would_have_to_sign_is_refused() {
    for text in ["did:web:example.com", "did:web:example.com:a%3A1", "did:mailto:a"] {
        assert!(text.parse::<hoverboard_claims::Did>().is_ok(), "{text}");
    }
    for text in ["", "web:a", "did:key:z6Mk", "did:web:", "did::a", "did:web:a b", "did:web:\u{e9}"] {
        assert!(text.parse::<hoverboard_claims::Did>().is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No cut and no flipped bit makes another claim out of one: everything is under a hash.
    #[test]
    fn damage_is_never_another_claim(cut in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>()) {
        let whole = answer(&[
            location(&block(), "https://a.example.com/x", Some((96, Some(5)))),
            relation(&block(), &[block()], &car_cid(), Some(&car_cid())),
        ]);
        let claims = read(&whole).unwrap().claims;
        let short = &whole[..cut.index(whole.len())];
        for claim in read(short).map(|read| read.claims).unwrap_or_default() {
            prop_assert!(claims.contains(&claim));
        }
        let mut flipped = whole.clone();
        let bit = bit.index(whole.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        for claim in read(&flipped).map(|read| read.claims).unwrap_or_default() {
            prop_assert!(claims.contains(&claim));
        }
    }

    #[test]
    fn anything_at_all_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read(&bytes);
    }
}
