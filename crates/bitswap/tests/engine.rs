//! What a peer is answered, want by want.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]

mod support;

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Answer, Engine, Entry, Limits, LookupKind, Prefix, Presence, Protocol, WantKind};
use multihash::Multihash;
use support::*;

fn asking_dont_have(entry: Entry) -> Entry {
    Entry { send_dont_have: true, ..entry }
}

/// The CIDs handed out for looking up, in order.
fn looked_up(engine: &mut Engine) -> Vec<Cid> {
    let lookups = std::iter::from_fn(|| {
        let lookup = engine.next_lookup()?;
        engine.answer(lookup.ticket, Answer::Unknown);
        Some(lookup.cid)
    });
    lookups.collect()
}

#[test]
fn lookups_come_by_priority_and_then_by_age() {
    let entries = [(1, 5), (2, i32::MIN), (3, i32::MAX), (4, 5), (5, -1)];
    let mut engine = engine(entries.map(|(n, priority)| Entry { priority, ..want(n) }));
    assert_eq!(looked_up(&mut engine), [3, 1, 4, 5, 2].map(cid));
    assert!(engine.is_idle());
}

#[test]
fn a_second_want_moves_the_first_and_is_answered_once() {
    let mut engine = engine([want(1), want(2), Entry { priority: 9, ..want(2) }]);
    assert_eq!(engine.wants(), 2);
    assert_eq!(looked_up(&mut engine), [2, 1].map(cid));
}

#[test]
fn a_want_that_is_being_answered_is_not_duplicated() {
    let mut engine = engine([want(1)]);
    let lookup = engine.next_lookup().unwrap();
    engine.receive(wantlist([want(1)]), Protocol::V1_2_0);
    engine.receive(full([want(1)]), Protocol::V1_2_0);
    assert!(engine.next_lookup().is_none());
    assert!(engine.answer(lookup.ticket, block(10)));
    engine.receive(wantlist([want(1)]), Protocol::V1_2_0);
    assert_eq!(message(&mut engine).blocks.len(), 1);
    assert!(engine.is_idle());
    // Answered and forgotten: to want it again is a new want.
    engine.receive(wantlist([want(1)]), Protocol::V1_2_0);
    assert!(engine.next_lookup().is_some());
}

#[test]
fn a_cancel_drops_a_want_at_every_stage() {
    let mut waiting = engine([want(1)]);
    waiting.receive(wantlist([cancel(1)]), Protocol::V1_2_0);
    assert!(waiting.is_idle() && waiting.next_lookup().is_none());

    let mut looked_up = engine([want(1)]);
    let lookup = looked_up.next_lookup().unwrap();
    looked_up.receive(wantlist([cancel(1)]), Protocol::V1_2_0);
    assert_eq!(looked_up.outstanding(), 0);
    assert!(!looked_up.answer(lookup.ticket, block(10)));
    assert!(looked_up.next_message(Protocol::V1_2_0).is_none());

    for answer in [block(10), Answer::Missing] {
        let mut answered = engine([asking_dont_have(want(1))]);
        answer_all(&mut answered, |_| answer.clone());
        assert!(answered.queued_bytes() > 0);
        let receipt = answered.receive(wantlist([cancel(1), cancel(2)]), Protocol::V1_2_0);
        assert_eq!(receipt.cancelled, 1);
        assert_eq!(answered.queued_bytes(), 0);
        assert!(answered.next_message(Protocol::V1_2_0).is_none());
    }
}

#[test]
fn a_full_wantlist_drops_what_it_does_not_name() {
    let mut engine = engine([want(1), want(2), want(3)]);
    let first = engine.next_lookup().unwrap();
    engine.answer(first.ticket, block(10));
    let second = engine.next_lookup().unwrap();
    let receipt = engine.receive(full([want(3), want(4), cancel(2)]), Protocol::V1_2_0);
    assert_eq!((receipt.cancelled, receipt.renewed, receipt.added), (2, 1, 1));
    assert!(!engine.answer(second.ticket, block(10)));
    assert_eq!((engine.queued_bytes(), engine.outstanding()), (0, 0));
    assert_eq!(looked_up(&mut engine), [3, 4].map(cid));
}

#[test]
fn of_a_wantlist_that_only_withdraws_nothing_new_is_taken() {
    let mut engine = engine([want(1), want(2), want(3)]);
    assert_eq!(engine.withdraw(&wantlist([cancel(1), want(4), cancel(5)])), 1);
    assert_eq!(engine.wants(), 2);
    assert_eq!(engine.withdraw(&full([want(2), want(6)])), 1);
    assert_eq!(looked_up(&mut engine), [cid(2)]);
}

#[test]
fn dont_have_is_said_only_where_it_was_asked_for() {
    let mut engine = engine([want(1), asking_dont_have(want(2)), asking_dont_have(want_have(3)), want_have(4)]);
    answer_all(&mut engine, |_| Answer::Missing);
    let message = message(&mut engine);
    assert_eq!(message.presences, [2, 3].map(|n| (cid(n), Presence::DontHave)));
    assert!(engine.is_idle());
}

#[test]
fn what_could_not_be_found_out_is_forgotten_in_silence() {
    let mut engine = engine([asking_dont_have(want(1)), asking_dont_have(want_have(2))]);
    answer_all(&mut engine, |_| Answer::Unknown);
    assert!(engine.next_message(Protocol::V1_2_0).is_none());
    assert!(engine.is_idle());
}

#[test]
fn a_want_have_is_answered_with_the_block_when_that_is_small() {
    let limit = Limits::default().inline_limit;
    let mut engine = engine([want_have(1), want_have(2), want_have(3)]);
    let sizes = [0, limit, limit + 1];
    let mut answers = sizes.map(block).into_iter();
    answer_all(&mut engine, |lookup| {
        assert_eq!((lookup.kind, lookup.inline_limit), (LookupKind::Have, limit));
        answers.next().unwrap()
    });
    let message = message(&mut engine);
    let lens: Vec<usize> = message.blocks.iter().map(|block| block.data.len()).collect();
    assert_eq!(lens, [0, limit]);
    assert_eq!(message.presences, [(cid(3), Presence::Have)]);
}

#[test]
fn a_small_have_is_looked_up_again_as_a_block() {
    let mut engine = engine([want_have(1), want_have(2)]);
    let mut kinds = Vec::new();
    answer_all(&mut engine, |lookup| {
        kinds.push((lookup.cid, lookup.kind));
        match lookup.kind {
            LookupKind::Have if lookup.cid == cid(1) => Answer::Have { size: 1024 },
            LookupKind::Have => Answer::Have { size: 1025 },
            LookupKind::Block => block(1024),
        }
    });
    let expected = [(1, LookupKind::Have), (1, LookupKind::Block), (2, LookupKind::Have)];
    assert_eq!(kinds, expected.map(|(n, kind)| (cid(n), kind)));
    let message = message(&mut engine);
    assert_eq!(message.blocks.len(), 1);
    assert_eq!(message.presences, [(cid(2), Presence::Have)]);
}

#[test]
fn have_is_no_answer_to_a_want_for_the_block() {
    let mut engine = engine([want(1)]);
    answer_all(&mut engine, |_| Answer::Have { size: 10 });
    assert!(engine.is_idle());
}

#[test]
fn a_want_have_is_upgraded_at_every_stage() {
    let upgrade = |engine: &mut Engine| engine.receive(wantlist([want(1)]), Protocol::V1_2_0);
    let block_only = |engine: &mut Engine| {
        answer_all(engine, |lookup| {
            assert_eq!(lookup.kind, LookupKind::Block);
            block(5000)
        });
        let message = message(engine);
        assert_eq!((message.blocks.len(), message.presences.len()), (1, 0));
    };

    let mut waiting = engine([want_have(1)]);
    upgrade(&mut waiting);
    block_only(&mut waiting);

    // The lookup goes on: a block is welcome, and a HAVE is not enough any more.
    for (answer, answered) in [(block(5000), true), (Answer::Have { size: 5000 }, false)] {
        let mut looked_up = engine([want_have(1)]);
        let lookup = looked_up.next_lookup().unwrap();
        upgrade(&mut looked_up);
        assert!(looked_up.next_lookup().is_none());
        assert_eq!(looked_up.answer(lookup.ticket, answer), answered);
        block_only(&mut looked_up);
    }

    let mut answered = engine([want_have(1)]);
    answer_all(&mut answered, |_| Answer::Have { size: 5000 });
    upgrade(&mut answered);
    assert_eq!(answered.queued_bytes(), 0);
    block_only(&mut answered);
}

#[test]
fn a_want_for_the_block_is_never_downgraded() {
    let mut engine = engine([want(1), asking_dont_have(want_have(1))]);
    let lookup = engine.next_lookup().unwrap();
    assert_eq!(lookup.kind, LookupKind::Block);
    engine.receive(wantlist([want_have(1)]), Protocol::V1_2_0);
    engine.answer(lookup.ticket, block(5000));
    assert_eq!(message(&mut engine).blocks.len(), 1);
}

#[test]
fn identity_cids_are_ignored() {
    let inline = Cid::new_v1(0x55, Multihash::wrap(0, b"hello").unwrap());
    let mut engine = Engine::new(Limits::default());
    let entry = Entry { cid: inline, ..asking_dont_have(want(0)) };
    let receipt = engine.receive(wantlist([entry, Entry { cancel: true, ..entry }]), Protocol::V1_2_0);
    assert_eq!(receipt.ignored, 2);
    assert!(engine.is_idle());
}

#[test]
fn before_1_2_0_there_are_only_wants_for_blocks_and_no_presences() {
    for protocol in [Protocol::V1_1_0, Protocol::V1_0_0, Protocol::Bare] {
        let mut engine = Engine::new(Limits::default());
        engine.receive(wantlist([asking_dont_have(want_have(1)), asking_dont_have(want(2))]), protocol);
        answer_all(&mut engine, |lookup| {
            assert_eq!(lookup.kind, LookupKind::Block);
            if lookup.cid == cid(1) { block(2000) } else { Answer::Missing }
        });
        let messages = messages(&mut engine, protocol);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(message.presences, []);
        let [block] = &message.blocks[..] else { panic!("{message:?}") };
        let prefix = protocol.has_prefixes().then(|| Prefix::of(&cid(1)));
        assert_eq!((block.prefix, block.data.len()), (prefix, 2000));
        assert!(engine.is_idle());
    }
}

#[test]
fn presences_that_cannot_be_said_are_forgotten() {
    let mut engine = engine([asking_dont_have(want(1)), want(2)]);
    answer_all(&mut engine, |lookup| if lookup.cid == cid(1) { Answer::Missing } else { block(1) });
    let messages = messages(&mut engine, Protocol::V1_1_0);
    assert_eq!((messages.len(), messages[0].blocks.len()), (1, 1));
    assert!(engine.is_idle() && engine.queued_bytes() == 0);
}

#[test]
fn a_block_is_named_as_the_peer_named_it() {
    let v0: Cid = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n".parse().unwrap();
    let v1 = Cid::new_v1(0x70, *v0.hash());
    let raw = Cid::new_v1(0x55, *v0.hash());
    let mut engine = engine([v0, v1, raw].map(|cid| Entry { cid, ..want(0) }));
    answer_all(&mut engine, |_| Answer::Block(Bytes::new()));
    let named: Vec<Option<Cid>> =
        message(&mut engine).blocks.iter().map(|block| block.prefix?.cid(*v0.hash())).collect();
    assert_eq!(named, [v0, v1, raw].map(Some));
}

#[test]
fn a_void_ticket_is_ignored() {
    let mut engine = engine([want(1)]);
    let first = engine.next_lookup().unwrap();
    engine.requeue_outstanding();
    assert!(!engine.answer(first.ticket, block(1)));
    let second = engine.next_lookup().unwrap();
    assert_eq!(second.cid, first.cid);
    assert!(!engine.answer(first.ticket, block(1)));
    assert!(engine.answer(second.ticket, block(1)));
    assert!(!engine.answer(second.ticket, block(1)));
    assert_eq!(message(&mut engine).blocks.len(), 1);
    assert!(!engine.answer(second.ticket, block(1)));
}

#[test]
fn the_kind_of_a_renewed_want_counts_for_its_priority() {
    let first = Entry { priority: 5, ..want(1) };
    let weaker = Entry { priority: 0, kind: WantKind::Have, ..want(1) };
    let mut engine = engine([Entry { priority: 3, ..want(2) }, first, weaker]);
    assert_eq!(looked_up(&mut engine), [1, 2].map(cid));
}
