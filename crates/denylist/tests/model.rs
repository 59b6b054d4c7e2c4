//! Lists of any rules in any order deny what their words say, compiled or not, in one list or several.

use std::sync::Arc;

use cid::Cid;
use hoverboard_denylist::{CODECS, Denylist, Keys, Policy, Rule, Rules, Verdict};
use multihash::Multihash;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

/// Blocks that rules and questions are about: few, so that they meet.
fn block(number: u8) -> Multihash<64> {
    let digest = Sha256::digest([number]);
    match number % 3 {
        0 => Multihash::wrap(0x12, &digest),
        1 => Multihash::wrap(0x00, &digest[..7]),
        _ => Multihash::wrap(0xb220, &digest),
    }
    .expect("short")
}

fn codec() -> impl Strategy<Value = u64> {
    prop::sample::select([CODECS.as_slice(), &[0x78, 0x99_9999]].concat())
}

/// A line about a block, in one of the forms that name it or hide its name.
fn line() -> impl Strategy<Value = String> {
    (0..6u8, codec(), 0..5u8, prop::bool::weighted(0.3)).prop_map(|(number, codec, form, allow)| {
        let multihash = block(number);
        let cid = Cid::new_v1(codec, multihash);
        let base58 = bs58::encode(multihash.to_bytes()).into_string();
        let double = Multihash::<64>::wrap(0x12, &Sha256::digest(&base58)).expect("32 bytes");
        let text = match form {
            0 => format!("/ipfs/{cid}"),
            1 => format!("/ipfs/{base58}"),
            2 => format!("//{:x}", Sha256::digest(format!("{cid}/"))),
            3 => format!("//{}", bs58::encode(double.to_bytes()).into_string()),
            _ => format!("/ipfs/{cid}/path"),
        };
        if allow { format!("!{text}") } else { text }
    })
}

fn read(lines: &[String]) -> Rules {
    let mut rules = Rules::new();
    rules.read(format!("# a list\n{}\n", lines.join("\n")).as_bytes()).expect("a list");
    rules
}

fn open(rules: Rules) -> Denylist {
    Denylist::open(rules.compile()).expect("as it was written")
}

/// The last rule that is about a block decides.
fn model<'a>(
    lines: impl DoubleEndedIterator<Item = &'a String>,
    multihash: &Multihash<64>,
    named: Option<u64>,
) -> bool {
    let rules = lines.map(|line| line.parse::<Rule>().expect("a rule"));
    rules.rev().find(|rule| rule.subject.is_about(multihash, named)).is_some_and(|rule| !rule.allow)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_compiled_form_denies_what_the_lines_say(
        lists in prop::collection::vec(prop::collection::vec(line(), 0..25), 1..4),
        named in codec(),
    ) {
        let several = Policy::new(lists.iter().map(|lines| Arc::new(open(read(lines)))).collect());
        let mut together = Rules::new();
        let mut added = Rules::new();
        for (place, lines) in lists.iter().enumerate() {
            together.read(format!("# {place}\n{}", lines.join("\n")).as_bytes()).expect("a list");
            added.add(&several.lists()[place]).expect("few");
        }
        let together = Policy::new(vec![Arc::new(open(together))]);
        let added = Policy::new(vec![Arc::new(open(added))]);
        for number in 0..6 {
            let multihash = block(number);
            let cid = Cid::new_v1(named, multihash);
            let denied = model(lists.iter().flatten(), &multihash, Some(named));
            prop_assert_eq!(together.is_denied(&cid), denied);
            prop_assert_eq!(added.is_denied(&cid), denied);
            prop_assert_eq!(several.is_denied(&cid), denied);
            let denied = model(lists.iter().flatten(), &multihash, None);
            prop_assert_eq!(several.is_multihash_denied(&multihash), denied);
        }
    }

    #[test]
    fn the_order_of_a_list_without_exceptions_does_not_show(mut lines in prop::collection::vec(line(), 0..25)) {
        lines.iter_mut().for_each(|line| *line = line.trim_start_matches('!').to_owned());
        let compiled = read(&lines).compile();
        lines.reverse();
        prop_assert_eq!(read(&lines).compile(), compiled);
    }

    #[test]
    fn bytes_that_were_cut_lengthened_or_changed_are_refused(
        lines in prop::collection::vec(line(), 0..12),
        place in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let whole = read(&lines).compile();
        for len in 0..whole.len() {
            prop_assert!(Denylist::open(whole.slice(..len)).is_err(), "{} of {} bytes", len, whole.len());
        }
        prop_assert!(Denylist::open([&whole[..], &[0]].concat().into()).is_err());
        let mut changed = whole.to_vec();
        changed[place.index(whole.len())] ^= flip;
        prop_assert!(Denylist::open(changed.into()).is_err());
    }
}

#[test]
fn counts_tell_what_is_enforced_and_what_is_not() {
    let worked = "/ipfs/bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q";
    let lines = [worked, worked, "!//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM", "/ipns/name", "oops"];
    let list = open(read(&lines.map(str::to_owned)));
    let counts = list.counts();
    assert_eq!((counts.legacy, counts.modern, counts.names, counts.malformed), (0, 2, 1, 1));
    assert_eq!(list.exceptions(), 1);
}

/// The list that docs/denylist.md works out, and its bytes there.
#[test]
fn the_worked_bytes_of_the_documentation_are_those_that_are_written() {
    let document = include_str!("../../../docs/denylist.md");
    let blocks: Vec<&str> = document.split("```").filter(|block| block.contains("686f7665")).collect();
    let [worked] = blocks[..] else { panic!("one block of bytes: {blocks:?}") };
    let worked: String = worked.split_whitespace().collect();
    let lines = [
        "//9114ba0c4aa2a162ac02d1c77cbb09eaa65f10e9c66484a5bd65902640387a5b",
        "/ipfs/bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q/path",
        "!//QmPg1wBNL6wHa1xKd2fiwpnbmQXH3trC369okFheHxCEQU",
    ];
    let compiled = read(&lines.map(str::to_owned)).compile();
    let written: String = compiled.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(worked, written);
    let list = Denylist::open(compiled).expect("as it was written");
    let cid: Cid = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q".parse().expect("a CID");
    assert_eq!(list.verdict(&Keys::of_cid(&cid)), Some(Verdict::Allowed));
}
