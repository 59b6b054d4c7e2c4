//! How often the ledger is called, where a call costs something: not at all inside the allowance, and then for at most
//! one request in fifty.

mod support;

use hoverboard_caps::allowance::Allowances;
use hoverboard_caps::meter::Report;
use hoverboard_caps::{Caller, Gate, Meter, Money, Rules, Shard, Timestamp, Work};

use support::{caller, limits};

/// What a host far from its ledger gives an address an hour without a call.
const ALLOWANCE: Work = Work { requests: 1_024, blocks: 1_024, bytes: 256 << 20, cost: Money(1_000_000) };

/// Reports that ask for nothing wait until there are so many, or another call takes them along.
const TOGETHER: usize = 64;

/// A host and the ledger that it calls.
struct Host {
    rules: Rules,
    shard: Shard,
    allowances: Allowances,
    waiting: Vec<(Caller, Report)>,
    calls: u64,
    requests: u64,
    refused: u64,
}

impl Host {
    fn new(rules: Rules) -> Self {
        let allowances = Allowances::new(ALLOWANCE, 1_024);
        Self { rules, shard: Shard::new(), allowances, waiting: Vec::new(), calls: 0, requests: 0, refused: 0 }
    }

    fn call(&mut self, now: Timestamp) {
        self.calls += 1;
        for (caller, report) in self.waiting.drain(..) {
            self.shard.report(&self.rules, &caller, &report, now);
        }
    }

    fn open(&mut self, caller: Caller, now: Timestamp) -> Meter {
        Meter::new(self.allowances.take(caller.address, now))
    }

    /// One want, with a block and a part of a read.
    fn want(&mut self, caller: Caller, meter: &mut Meter, now: Timestamp, size: u64) {
        self.requests += 1;
        if meter.gate(now) == Gate::Ask {
            let report = meter.report(true);
            self.call(now);
            let verdict = self.shard.report(&self.rules, &caller, &report, now).expect("asked");
            meter.answered(verdict, now);
        }
        match meter.gate(now) {
            Gate::Open(_) => meter.spend(Work { requests: 1, blocks: 1, bytes: size, cost: Money(30) }),
            _ => self.refused += 1,
        }
    }

    fn idle(&mut self, caller: Caller, meter: &mut Meter, now: Timestamp) {
        if meter.due().is_some_and(|due| now >= due) {
            self.tell_later(caller, meter.report(false), now);
        }
    }

    fn close(&mut self, caller: Caller, mut meter: Meter, now: Timestamp) {
        self.allowances.give_back(caller.address, meter.take_allowance(), now);
        self.tell_later(caller, meter.report(false), now);
    }

    fn tell_later(&mut self, caller: Caller, report: Report, now: Timestamp) {
        if !report.is_empty() {
            self.waiting.push((caller, report));
        }
        if self.waiting.len() >= TOGETHER {
            self.call(now);
        }
    }
}

fn generous() -> Rules {
    Rules { address: limits("100GiB/day,20GiB/hour"), ..Rules::unlimited() }
}

#[test]
fn whoever_stays_inside_the_allowance_costs_no_call() {
    let (mut host, now) = (Host::new(generous()), Timestamp(360_000));
    for address in 0..60 {
        let caller = caller(address, address);
        let mut meter = host.open(caller, now);
        for _ in 0..1_000 {
            host.want(caller, &mut meter, now, 200_000);
        }
        host.close(caller, meter, now);
    }
    assert_eq!((host.requests, host.calls, host.refused), (60_000, 0, 0));
    host.call(now);
    assert_eq!(host.shard.total(now).1.requests, 60_000, "and yet all of it is counted");
}

/// A peer that wants a block of `size` every `every` seconds, for a day.
fn a_day(every: u64, at_once: u64, size: u64) -> Host {
    let (mut host, who, begun) = (Host::new(generous()), caller(1, 1), 20_000 * support::DAY);
    let mut meter = host.open(who, Timestamp(begun));
    for second in 0..support::DAY {
        let now = Timestamp(begun + second);
        if second % every == 0 {
            for _ in 0..at_once {
                host.want(who, &mut meter, now, size);
            }
        }
        host.idle(who, &mut meter, now);
    }
    let end = Timestamp(begun + support::DAY - 1);
    host.close(who, meter, end);
    host
}

#[test]
fn beyond_it_at_most_one_request_in_fifty_is_a_call_at_any_pace() {
    for (every, at_once, size) in
        [(1, 1, 1_000), (3, 1, 256 << 10), (10, 1, 256 << 10), (1, 8, 256 << 10), (60, 100, 1 << 20)]
    {
        let host = a_day(every, at_once, size);
        assert!(
            host.calls * 50 <= host.requests,
            "{} calls for {} requests every {every} s",
            host.calls,
            host.requests
        );
    }
}

#[test]
fn near_a_cap_too() {
    let rules = Rules { address: limits("4000requests/hour"), ..Rules::unlimited() };
    let (mut host, who, now) = (Host::new(rules), caller(1, 1), Timestamp(360_000));
    let mut meter = host.open(who, now);
    for _ in 0..10_000 {
        host.want(who, &mut meter, now, 1_000);
    }
    assert_eq!(host.refused, 6_000);
    assert!(host.calls * 50 <= host.requests, "{} calls", host.calls);
}

#[test]
fn the_allowance_passes_a_cap_by_no_more_than_itself() {
    let rules = Rules { address: limits("2000requests/day"), ..Rules::unlimited() };
    let (mut host, now) = (Host::new(rules), Timestamp(20_000 * support::DAY));
    for hour in 0..24 {
        for number in 0..40 {
            let (who, now) = (caller(number, 1), now.plus(hour * 3_600));
            let mut meter = host.open(who, now);
            for _ in 0..200 {
                host.want(who, &mut meter, now, 1_000);
            }
            host.close(who, meter, now);
        }
    }
    let done = host.requests - host.refused;
    // What is done without a call is not seen before it is told: with no others to tell it, 64 sessions later.
    assert!(done <= 2_000 + 24 * 1_024, "{done}");
}
