//! What one peer can take up at most, how answers are packed, and what is left after a freeze.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]

mod support;

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Answer, Engine, Entry, Limits, MAX_MESSAGE, Message, Presence, Protocol};
use multihash::Multihash;
use support::*;

/// The largest block that kubo sends: with its prefix, and an empty wantlist that we leave out,
/// the message has exactly 4 MiB.
const LARGEST: usize = 4_194_286;

#[test]
fn the_lowest_and_youngest_wants_give_way_when_there_are_too_many() {
    let limits = Limits { max_wants: 3, ..Limits::default() };
    let with = |priority, n| Entry { priority, ..want(n) };
    let mut engine = engine_with(limits, [with(5, 1), with(2, 2), with(2, 3), with(2, 4), with(1, 5)]);
    let receipt = engine.receive(wantlist([with(9, 6), with(3, 7), with(2, 8)]), Protocol::V1_2_0);
    assert_eq!((receipt.added, receipt.dropped), (2, 3));
    let order: Vec<Cid> = std::iter::from_fn(|| engine.next_lookup()).map(|l| l.cid).collect();
    assert_eq!(order, [6, 1, 7].map(cid));
    // Those that are being looked up do not give way.
    let receipt = engine.receive(wantlist([with(i32::MAX, 9)]), Protocol::V1_2_0);
    assert_eq!((receipt.added, receipt.dropped), (0, 1));
}

#[test]
fn of_equal_wants_the_youngest_is_dropped() {
    let limits = Limits { max_wants: 2, ..Limits::default() };
    let mut engine = engine_with(limits, [want(1), want(2), want(3)]);
    let order: Vec<Cid> = std::iter::from_fn(|| engine.next_lookup()).map(|l| l.cid).collect();
    assert_eq!(order, [1, 2].map(cid));
}

#[test]
fn a_wantlist_of_any_length_is_held_to_the_limit() {
    let mut engine = engine((0..60_000).map(want));
    assert_eq!(engine.wants(), 4096);
    assert_eq!(engine.next_lookup().unwrap().cid, cid(0));
    engine.receive(full([]), Protocol::V1_2_0);
    assert!(engine.is_idle());
}

#[test]
fn lookups_stop_when_enough_is_queued_and_go_on_when_it_is_sent() {
    let mut engine = engine((0..100).map(want));
    answer_all(&mut engine, |_| block(256 << 10));
    assert_eq!(engine.queued_bytes(), 1 << 20);
    engine.next_message(Protocol::V1_2_0).unwrap();
    assert!(engine.next_lookup().is_some());
}

#[test]
fn lookups_outstanding_are_held_to_what_is_expected_to_fit() {
    let mut engine = engine((0..4096).map(want));
    let first: Vec<_> = std::iter::from_fn(|| engine.next_lookup()).collect();
    assert_eq!(first.len(), 4, "256 KiB are expected of a block before one was seen");
    for lookup in first {
        engine.answer(lookup.ticket, block(1000));
    }
    for _ in 0..200 {
        let lookup = engine.next_lookup().unwrap();
        engine.answer(lookup.ticket, block(1000));
    }
    while engine.next_message(Protocol::V1_2_0).is_some() {}
    let later = std::iter::from_fn(|| engine.next_lookup()).count();
    assert!((500..=1024).contains(&later), "{later}");
}

#[test]
fn looking_ahead_hands_out_the_whole_queue_whatever_the_room() {
    let mut engine = engine((0..2000).map(want));
    let ahead: Vec<_> = std::iter::from_fn(|| engine.look_ahead()).collect();
    assert_eq!(ahead.len(), 1024, "as many as may be outstanding");
    assert!(ahead.iter().map(|lookup| lookup.cid).eq((0..1024).map(cid)));
    let mut answered = 0;
    while engine.room() > 0 {
        assert!(engine.answer(ahead[answered].ticket, block(300_000)));
        answered += 1;
    }
    assert_eq!((answered, engine.queued_bytes()), (4, 1_200_000));
    // Room is made by what is sent, also for an answer that is larger than it.
    while engine.next_message(Protocol::V1_2_0).is_some() {}
    assert_eq!(engine.room(), 1 << 20);
    assert!(engine.answer(ahead[answered].ticket, block(LARGEST)));
    assert_eq!(engine.room(), 0);
}

#[test]
fn a_ticket_is_open_until_it_is_answered_or_its_want_is_gone() {
    let mut engine = engine((0..4).map(want));
    let [answered, cancelled, again, left] = std::array::from_fn(|_| engine.look_ahead().unwrap().ticket);
    assert!([answered, cancelled, again, left].iter().all(|ticket| engine.is_open(*ticket)));
    engine.answer(answered, block(10));
    engine.receive(wantlist([cancel(1)]), Protocol::V1_2_0);
    engine.requeue_outstanding();
    assert!([answered, cancelled, again, left].iter().all(|ticket| !engine.is_open(*ticket)));
    let again = engine.look_ahead().unwrap();
    assert_eq!((again.cid, engine.is_open(again.ticket)), (cid(2), true));
}

#[test]
fn a_cleared_engine_wants_nothing_and_old_tickets_stay_void() {
    let mut engine = engine((0..10).map(want));
    let answered = engine.look_ahead().unwrap();
    engine.answer(answered.ticket, block(1000));
    let outstanding = engine.look_ahead().unwrap();
    engine.clear();
    assert!(engine.is_idle() && !engine.has_answers());
    assert_eq!((engine.waiting(), engine.outstanding(), engine.queued_bytes()), (0, 0, 0));
    engine.receive(wantlist([want(1), want(2)]), Protocol::V1_2_0);
    let later = [engine.look_ahead().unwrap(), engine.look_ahead().unwrap()];
    assert!(later.iter().all(|lookup| lookup.ticket != outstanding.ticket));
    assert!(!engine.answer(outstanding.ticket, block(1)));
    assert!(engine.answer(later[0].ticket, block(1)));
}

#[test]
fn one_large_block_is_a_warning_for_those_to_come() {
    let mut engine = engine((0..4096).map(want));
    for size in [vec![1000; 200], vec![1 << 20]].concat() {
        let lookup = engine.next_lookup().unwrap();
        engine.answer(lookup.ticket, block(size));
        while engine.next_message(Protocol::V1_2_0).is_some() {}
    }
    assert_eq!(std::iter::from_fn(|| engine.next_lookup()).count(), 1);
}

#[test]
fn answers_beyond_the_limit_are_put_off_and_not_lost() {
    // Small blocks first, so that many lookups are handed out; then only large ones.
    let mut engine = engine((0..400).map(want));
    for _ in 0..200 {
        let lookup = engine.next_lookup().unwrap();
        engine.answer(lookup.ticket, block(100));
        engine.next_message(Protocol::V1_2_0);
    }
    let lookups: Vec<_> = std::iter::from_fn(|| engine.next_lookup()).collect();
    assert_eq!(lookups.len(), 200);
    let large = Bytes::from(vec![7; LARGEST]);
    let queued = lookups.iter().filter(|lookup| engine.answer(lookup.ticket, Answer::Block(large.clone())));
    assert_eq!(queued.count(), 1);
    assert!(engine.queued_bytes() <= (1 << 20) + MAX_MESSAGE);
    let mut sent = 0;
    while let Some(outgoing) = engine.next_message(Protocol::V1_2_0) {
        sent += outgoing.blocks;
        answer_all(&mut engine, |_| Answer::Block(large.clone()));
    }
    assert_eq!(sent, 200);
    assert!(engine.is_idle());
}

#[test]
fn a_limit_of_nothing_still_lets_blocks_through_one_by_one() {
    let limits = Limits { max_queued: 0, max_outstanding: 0, message_target: 0, ..Limits::default() };
    let mut engine = engine_with(limits, (0..5).map(want));
    let mut sent = 0;
    while !engine.is_idle() {
        answer_all(&mut engine, |_| block(10));
        sent += engine.next_message(Protocol::V1_2_0).unwrap().blocks;
    }
    assert_eq!(sent, 5);
}

#[test]
fn the_largest_block_fits_and_a_larger_one_is_given_up() {
    for protocol in Protocol::ALL {
        let mut engine = engine([want(1), want(2)]);
        let lookup = engine.next_lookup().unwrap();
        assert!(engine.answer(lookup.ticket, block(LARGEST)));
        assert!(engine.next_lookup().is_none(), "more than enough is queued");
        let outgoing = engine.next_message(protocol).unwrap();
        assert!(outgoing.len <= MAX_MESSAGE + 4, "{}", outgoing.len);
        assert_eq!(decoded(&outgoing).blocks[0].data.len(), LARGEST);
        let lookup = engine.next_lookup().unwrap();
        assert!(!engine.answer(lookup.ticket, block(MAX_MESSAGE)));
        assert!(engine.is_idle());
    }
}

#[test]
fn pending_bytes_are_left_out_where_they_do_not_fit() {
    let limits = Limits { max_queued: 4 * MAX_MESSAGE, ..Limits::default() };
    let mut engine = engine_with(limits, [want(1), want(2)]);
    answer_all(&mut engine, |_| block(LARGEST));
    let messages = messages(&mut engine, Protocol::V1_2_0);
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert!(message.encoded_len(Protocol::V1_2_0) <= MAX_MESSAGE);
        assert_eq!(message.pending_bytes, 0);
    }
}

#[test]
fn no_message_is_too_long_whatever_is_queued() {
    let blake2b = Cid::new_v1(0x71, Multihash::wrap(0xb220, &[7; 32]).unwrap());
    let mut entries = vec![Entry { cid: blake2b, priority: 9, ..want(0) }];
    entries.extend((1..3000).map(|n| Entry { send_dont_have: true, ..want(n) }));
    let mut engine = engine(entries);
    let limit = LARGEST;
    let first = engine.next_lookup().unwrap();
    assert_eq!(first.cid, blake2b);
    // Answered last, so that all the others are there before it.
    answer_all(&mut engine, |_| Answer::Missing);
    assert!(engine.answer(first.ticket, block(limit)));
    let (mut blocks, mut presences) = (0, 0);
    while let Some(outgoing) = engine.next_message(Protocol::V1_2_0) {
        let message = decoded(&outgoing);
        assert!(message.encoded_len(Protocol::V1_2_0) <= MAX_MESSAGE);
        assert!(message.encoded_len(Protocol::V1_2_0) - outgoing.block_bytes <= (64 << 10) + 32);
        blocks += outgoing.blocks;
        presences += outgoing.presences;
    }
    assert_eq!((blocks, presences), (1, 2999));
}

#[test]
fn small_blocks_share_a_message_and_a_segment() {
    let mut engine = engine((0..100).map(want));
    answer_all(&mut engine, |_| block(1024));
    let first = engine.next_message(Protocol::V1_2_0).unwrap();
    assert_eq!((first.blocks, first.segments.len()), (64, 1));
    assert_eq!(decoded(&first).pending_bytes, 36 * 1024);
    let second = engine.next_message(Protocol::V1_2_0).unwrap();
    assert_eq!((second.blocks, decoded(&second).pending_bytes), (36, 0));
}

#[test]
fn large_blocks_are_sent_without_a_copy() {
    let data = Bytes::from(vec![7; 20_000]);
    let mut engine = engine((0..4).map(want));
    answer_all(&mut engine, |lookup| if lookup.cid == cid(1) { block(100) } else { Answer::Block(data.clone()) });
    let outgoing = engine.next_message(Protocol::V1_2_0).unwrap();
    let shared = outgoing.segments.iter().filter(|segment| segment.as_ptr() == data.as_ptr());
    assert_eq!((shared.count(), outgoing.blocks), (3, 4));
    let lens: Vec<usize> = decoded(&outgoing).blocks.iter().map(|b| b.data.len()).collect();
    assert_eq!(lens, [20_000, 100, 20_000, 20_000]);
}

#[test]
fn presences_do_not_wait_for_blocks() {
    let mut engine = engine((0..40).map(|n| Entry { send_dont_have: true, ..want(n) }));
    answer_all(&mut engine, |lookup| if lookup.cid == cid(39) { Answer::Missing } else { block(10_000) });
    let outgoing = engine.next_message(Protocol::V1_2_0).unwrap();
    assert_eq!(decoded(&outgoing).presences, [(cid(39), Presence::DontHave)]);
}

#[test]
fn a_thawed_engine_goes_on_where_the_frozen_one_stood() {
    let mut engine = engine((0..8).map(|n| Entry { send_dont_have: n % 2 == 0, ..want(n) }));
    for answer in [block(300), Answer::Missing, block(200), Answer::Missing] {
        let lookup = engine.next_lookup().unwrap();
        engine.answer(lookup.ticket, answer);
    }
    // Want 0 is a block, 1 is forgotten, 2 a block, 3 forgotten; 4 is outstanding at the freeze.
    let outstanding = engine.next_lookup().unwrap();
    let mut thawed = thawed(&engine);
    assert_eq!((thawed.wants(), thawed.outstanding()), (6, 0));
    assert_eq!(thawed.queued_bytes(), engine.queued_bytes());
    assert!(!thawed.answer(outstanding.ticket, block(1)));
    engine.requeue_outstanding();
    for engine in [&mut engine, &mut thawed] {
        let mut looked_up = Vec::new();
        answer_all(engine, |lookup| {
            looked_up.push(lookup.cid);
            Answer::Missing
        });
        assert_eq!(looked_up, [4, 5, 6, 7].map(cid));
    }
    let said = |engine: &mut Engine| -> Vec<Message> { messages(engine, Protocol::V1_2_0) };
    let expected = said(&mut engine);
    assert_eq!(expected[0].blocks.iter().map(|b| b.data.len()).collect::<Vec<_>>(), [300, 200]);
    assert_eq!(said(&mut thawed), expected);
}

#[test]
fn an_old_ticket_is_void_after_a_thaw_also_when_its_slot_is_in_use() {
    let mut engine = engine([want(1)]);
    let before = engine.next_lookup().unwrap();
    let mut thawed = thawed(&engine);
    let after = thawed.next_lookup().unwrap();
    assert_ne!(before.ticket, after.ticket);
    assert!(!thawed.answer(before.ticket, block(1)));
    assert!(thawed.answer(after.ticket, block(1)));
}

#[test]
fn the_frozen_form_is_compact() {
    let idle = postcard::to_allocvec(&Engine::new(Limits::default())).unwrap();
    assert!(idle.len() <= 24, "{}", idle.len());
    let wanting = postcard::to_allocvec(&engine((0..100).map(want))).unwrap();
    // 36 bytes of CID and its length, arrival, priority, and two flags.
    assert!(wanting.len() <= idle.len() + 100 * 42, "{}", wanting.len());
}

#[test]
fn a_frozen_form_that_wants_a_block_twice_is_refused() {
    let frozen = postcard::to_allocvec(&engine([want(1), want(2)])).unwrap();
    assert!(postcard::from_bytes::<Engine>(&frozen).is_ok());
    let mut doubled = frozen.clone();
    let at = frozen.windows(4).rposition(|window| window == [0x55, 0x12, 32, 2]).unwrap();
    doubled[at + 3] = 1;
    assert!(postcard::from_bytes::<Engine>(&doubled).is_err());
}
