use core::net::{IpAddr, Ipv4Addr};

use libp2p_identity::PeerId;
use multihash::Multihash;

use super::*;
use crate::meter::{Gate, Meter};
use crate::work::Money;

const NOON: Timestamp = Timestamp(12 * 3_600);

fn peer(number: u32) -> PeerId {
    PeerId::from_multihash(Multihash::wrap(0, &number.to_be_bytes()).expect("short")).expect("an id")
}

fn caller(number: u32, ip: &str) -> Caller {
    Caller { peer: peer(number), address: ip.parse::<IpAddr>().expect("an address").into() }
}

fn rules(peer: &str, address: &str, total: &str) -> Rules {
    let limits = |text: &str| text.parse().expect("limits");
    Rules {
        peer: limits(peer),
        address: limits(address),
        total: limits(total),
        lease_seconds: 60,
        ..Rules::unlimited()
    }
}

fn bytes(bytes: u64) -> Work {
    Work { requests: 1, blocks: 1, bytes, cost: Money(0) }
}

/// What a caller gets who takes `step` bytes at a time for as long as it may.
fn take_all(shard: &mut Shard, rules: &Rules, caller: &Caller, step: u64, now: Timestamp) -> u64 {
    let mut meter = Meter::new(Work::NONE);
    let mut taken = 0;
    loop {
        match meter.gate(now) {
            Gate::Open(_) => {
                meter.spend(bytes(step));
                taken += step;
            }
            Gate::Ask => {
                let report = meter.report(true);
                let verdict = shard.report(rules, caller, &report, now).expect("asked");
                meter.answered(verdict, now);
            }
            Gate::Shut(_) => break,
            Gate::Waiting => unreachable!("it is answered at once"),
        }
    }
    shard.report(rules, caller, &meter.report(false), now);
    taken
}

#[test]
fn a_cap_is_passed_by_the_last_block_only() {
    let rules = rules("unlimited", "1000B/day", "unlimited");
    for step in [1, 7, 300, 999, 1_000, 5_000] {
        let taken = take_all(&mut Shard::new(), &rules, &caller(1, "192.0.2.1"), step, NOON);
        assert!((1_000..1_000 + step).contains(&taken), "{taken} by {step}");
    }
}

#[test]
fn each_cap_holds_by_itself() {
    let all = rules("100B/day", "250B/day", "600B/day");
    let mut shard = Shard::new();
    let mut take = |number, ip| take_all(&mut shard, &all, &caller(number, ip), 1, NOON);
    assert_eq!([take(1, "192.0.2.1"), take(1, "192.0.2.1"), take(2, "192.0.2.1")], [100, 0, 100]);
    assert_eq!([take(3, "192.0.2.1"), take(4, "192.0.2.1")], [50, 0], "the address's");
    assert_eq!([take(1, "192.0.2.2"), take(5, "192.0.2.2"), take(6, "192.0.2.2")], [100, 100, 50]);
    assert_eq!([take(7, "192.0.2.3"), take(8, "192.0.2.4")], [100, 0], "the total");
}

#[test]
fn a_site_may_have_sixteen_times_what_its_networks_may() {
    let all = rules("unlimited", "10B/day", "unlimited");
    let mut shard = Shard::new();
    let taken: u64 =
        (0..40).map(|n| take_all(&mut shard, &all, &caller(1, &format!("2001:db8:0:{n:x}::1")), 1, NOON)).sum();
    assert_eq!(taken, 160);
}

#[test]
fn a_refusal_says_whose_cap_it_is_and_when_it_ends() {
    let all = rules("5B/hour", "10B/day", "unlimited");
    let mut shard = Shard::new();
    take_all(&mut shard, &all, &caller(1, "192.0.2.1"), 1, NOON);
    let mut ask = |number, now| {
        shard.report(&all, &caller(number, "192.0.2.1"), &Report { asks: true, ..Report::default() }, now)
    };
    let hour = Refusal { scope: Scope::Peer, until: NOON.plus(3_600) };
    assert_eq!(ask(1, NOON.plus(5)), Some(Verdict::Refused(hour)));
    assert!(matches!(ask(1, NOON.plus(3_600)), Some(Verdict::Granted(_))));
}

#[test]
fn what_is_out_on_lease_is_nobody_elses_until_it_is_settled_or_expires() {
    let all =
        Rules { lease: Work { bytes: 1 << 40, ..Work::UNLIMITED }, ..rules("unlimited", "100B/day", "unlimited") };
    let asks = Report { asks: true, ..Report::default() };
    let mut shard = Shard::new();
    let mut held = 0;
    let mut last = None;
    for number in 0..50 {
        match shard.report(&all, &caller(number, "192.0.2.1"), &asks, NOON) {
            Some(Verdict::Granted(lease)) => (held, last) = (held + lease.amount.bytes, Some((number, lease))),
            Some(Verdict::Refused(refusal)) => assert_eq!(refusal.until, NOON.plus(SOON)),
            None => panic!("it asked"),
        }
    }
    assert_eq!(held, 100);
    // One comes back with what it has not spent; the others are never heard of again.
    let (number, lease) = last.expect("granted");
    let settled = Report { settled: Some((lease.id, Work::NONE)), ..Report::default() };
    assert_eq!(shard.report(&all, &caller(number, "192.0.2.1"), &settled, NOON), None);
    let later = NOON.plus(60 + GRACE + 1);
    assert_eq!(take_all(&mut shard, &all, &caller(99, "192.0.2.1"), 1, later), lease.amount.bytes);
    assert_eq!(shard.total(later).1.bytes, 100);
}

#[test]
fn a_lease_that_is_settled_twice_or_too_late_counts_once() {
    let all = rules("unlimited", "100B/day", "unlimited");
    let (mut shard, who) = (Shard::new(), caller(1, "192.0.2.1"));
    let asks = Report { asks: true, ..Report::default() };
    let Some(Verdict::Granted(lease)) = shard.report(&all, &who, &asks, NOON) else { panic!("refused") };
    let settled = Report { settled: Some((lease.id, bytes(3))), ..Report::default() };
    for _ in 0..2 {
        shard.report(&all, &who, &settled, NOON);
    }
    assert_eq!(shard.total(NOON).1, bytes(3));
    let Some(Verdict::Granted(lease)) = shard.report(&all, &who, &asks, NOON) else { panic!("refused") };
    let late = Timestamp(lease.expires.0 + GRACE + 1);
    shard.report(&all, &who, &Report { settled: Some((lease.id, bytes(1))), ..Report::default() }, late);
    assert_eq!(shard.total(late).1.bytes, 3 + lease.amount.bytes);
}

#[test]
fn a_named_peer_passes_all_caps_but_the_total_and_takes_nothing_from_its_address() {
    let mut all = rules("10B/day", "10B/day", "1000B/day");
    all.overrides.push(format!("{}=unlimited", peer(7)).parse().expect("an override"));
    let mut shard = Shard::new();
    assert_eq!(take_all(&mut shard, &all, &caller(7, "192.0.2.1"), 1, NOON), 1_000);
    let mut shard = Shard::new();
    all.total = Limits::UNLIMITED;
    let mut meter = Meter::new(Work::NONE);
    for _ in 0..5 {
        let verdict = shard.report(&all, &caller(7, "192.0.2.1"), &meter.report(true), NOON).expect("asked");
        assert!(matches!(verdict, Verdict::Granted(_)));
        meter.answered(verdict, NOON);
        meter.spend(bytes(1_000));
    }
    assert_eq!(take_all(&mut shard, &all, &caller(1, "192.0.2.1"), 1, NOON), 10);
}

#[test]
fn a_hundred_thousand_new_peers_of_a_thousand_addresses_take_bounded_room_and_get_no_more() {
    let all = rules("50B/day", "100B/day", "unlimited");
    let mut shard = Shard::new();
    let mut taken = 0;
    for number in 0..100_000_u32 {
        let ip = Ipv4Addr::from_bits(0x0a00_0000 + number % 1_000);
        taken += take_all(&mut shard, &all, &caller(number, &ip.to_string()), 1, NOON);
    }
    assert_eq!(taken, 100 * 1_000);
    let (sites, others) = shard.records();
    assert!(sites == 1_000 && others <= 1_000 * MAX_PEERS, "{sites} {others}");
    assert!(shard.encode().len() < 6 << 20, "{}", shard.encode().len());
    // The next day there is nothing to be kept of them.
    shard.prune(&all, NOON.plus(24 * 3_600));
    assert_eq!(shard.records(), (0, 0));
}

#[test]
fn more_sites_than_there_is_room_for_are_told_apart_no_more_and_all_together_stay_below_the_total() {
    let all = rules("unlimited", "10B/day", "500000B/day");
    let mut shard = Shard::new();
    let mut taken = 0;
    for number in 0..(MAX_SITES as u32 + 5_000) {
        let ip = Ipv4Addr::from_bits(0x0a00_0000 + number);
        let (who, now) = (caller(number, &ip.to_string()), NOON.plus(u64::from(number / 1_000)));
        taken += take_all(&mut shard, &all, &who, 10, now);
    }
    assert_eq!(taken, 500_000);
    let (sites, others) = shard.records();
    assert!(sites <= MAX_SITES && others <= MAX_SUBRECORDS, "{sites} {others}");
    let stored = shard.encode();
    assert!(stored.len() < 20 << 20, "{}", stored.len());
    assert_eq!(Shard::decode(&stored).expect("what was stored").records(), (sites, others));
}

#[test]
fn as_many_networks_and_peers_as_one_likes_share_what_is_left_for_those_without_a_record() {
    let all = rules("10B/day", "1000B/day", "unlimited");
    let mut shard = Shard::new();
    let taken: u64 = (0..200).map(|number| take_all(&mut shard, &all, &caller(number, "192.0.2.1"), 1, NOON)).sum();
    assert_eq!(taken, (MAX_PEERS as u64 + 1) * 10);
}

#[test]
fn the_top_users_are_in_order() {
    let all = rules("unlimited", "unlimited", "unlimited");
    let mut shard = Shard::new();
    for number in 1..=9 {
        let report = Report { unleased: bytes(u64::from(number)), ..Report::default() };
        shard.report(&all, &caller(number, "2001:db8::1"), &report, NOON);
    }
    let top = shard.top(NOON, 4);
    let subjects: Vec<_> = top.iter().map(|row| (row.subject, row.day.bytes)).collect();
    let address = caller(1, "2001:db8::1").address;
    assert_eq!(
        subjects,
        [
            (Subject::Site(address.site()), 45),
            (Subject::Address(address), 45),
            (Subject::Peer(peer(9), address.site()), 9),
            (Subject::Peer(peer(8), address.site()), 8),
        ]
    );
    assert_eq!(shard.top(NOON.plus(24 * 3_600), 4), []);
}
