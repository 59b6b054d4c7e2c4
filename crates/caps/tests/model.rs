//! Whatever sessions, clocks and crashes do: no cap is passed by more than is said, nobody is locked out for good, and what
//! was stored goes on as if nothing had been.

mod support;

use std::collections::HashMap;

use hoverboard_caps::meter::Report;
use hoverboard_caps::{Caller, Gate, Meter, Rules, Scope, Shard, Timestamp, Verdict, Work};
use proptest::prelude::*;

use support::{DAY, bytes, caller, caller6, rules};

/// The largest piece of work that is begun at once.
const BLOCK: u64 = 40;

#[derive(Clone, Debug)]
enum Step {
    /// A session does a piece of work, if it may.
    Work { session: usize, bytes: u64 },
    /// A session ends and another one of the same caller begins.
    Reconnect(usize),
    /// The host of a session dies: what was done without a lease is not known to anybody, and nothing is settled.
    Crash(usize),
    /// Time passes.
    Wait(u64),
    /// The clock is set.
    Jump(i64),
    /// The shard is stored and read again.
    Restart,
}

fn step(sessions: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..sessions, 1..=BLOCK).prop_map(|(session, bytes)| Step::Work { session, bytes }),
        1 => (0..sessions).prop_map(Step::Reconnect),
        1 => (0..sessions).prop_map(Step::Crash),
        2 => (0..400_u64).prop_map(Step::Wait),
        1 => (-3 * DAY as i64..3 * DAY as i64).prop_map(Step::Jump),
        1 => Just(Step::Restart),
    ]
}

struct World {
    rules: Rules,
    shard: Shard,
    now: Timestamp,
    sessions: Vec<(Caller, Meter)>,
    /// What was really done.
    done: HashMap<Key, u64>,
    /// Days that have begun, by the clock.
    days: u64,
}

#[derive(PartialEq, Eq, Hash, Debug)]
enum Key {
    Peer(Caller),
    Address(hoverboard_caps::Address),
    Site(hoverboard_caps::Site),
    All,
}

impl World {
    fn new(rules: Rules, callers: impl IntoIterator<Item = Caller>) -> Self {
        let sessions = callers.into_iter().map(|caller| (caller, Meter::new(Work::NONE))).collect();
        let now = Timestamp(20_000 * DAY + DAY / 2);
        Self { rules, shard: Shard::new(), now, sessions, done: HashMap::new(), days: 1 }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Work { session, bytes } => drop(self.work(session, bytes)),
            Step::Reconnect(session) => {
                let (caller, meter) = &mut self.sessions[session];
                self.shard.report(&self.rules, caller, &meter.report(false), self.now);
                *meter = Meter::new(Work::NONE);
            }
            Step::Crash(session) => self.sessions[session].1 = Meter::new(Work::NONE),
            Step::Wait(seconds) => self.set(self.now.plus(seconds)),
            Step::Jump(seconds) => self.set(Timestamp(self.now.0.saturating_add_signed(seconds))),
            Step::Restart => self.shard = Shard::decode(&self.shard.encode()).expect("what was stored"),
        }
    }

    fn set(&mut self, now: Timestamp) {
        if now.0 / DAY > self.now.0 / DAY {
            self.days += 1;
        }
        self.now = now;
    }

    /// Whether it was done.
    fn work(&mut self, session: usize, amount: u64) -> bool {
        let (caller, meter) = &mut self.sessions[session];
        if meter.gate(self.now) == Gate::Ask {
            let verdict = self.shard.report(&self.rules, caller, &meter.report(true), self.now).expect("asked");
            meter.answered(verdict, self.now);
        }
        match meter.gate(self.now) {
            Gate::Open(room) => assert!(!room.lacks_something()),
            Gate::Shut(_) => return false,
            other => panic!("{other:?} after an answer"),
        }
        meter.spend(bytes(amount));
        for key in [Key::Peer(*caller), Key::Address(caller.address), Key::Site(caller.address.site()), Key::All] {
            *self.done.entry(key).or_default() += amount;
        }
        true
    }

    /// How much may have been done at most, with a cap of so much a day.
    fn most(&self, cap: u64, sessions: usize, crashes: u64) -> u64 {
        // Each session may pass it by the end of its last block, and again after each crash that made this forgotten.
        self.days * (cap + (sessions as u64 + crashes) * BLOCK)
    }
}

fn callers() -> Vec<Caller> {
    // Two peers of one address, one of them at another one, a third in two networks of a site.
    vec![caller(1, 1), caller(2, 1), caller(1, 2), caller6(3, 1, 1), caller6(3, 1, 2), caller(1, 1)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_cap_is_passed_by_more_than_a_block_a_session_whatever_happens(
        steps in prop::collection::vec(step(6), 1..300),
    ) {
        let mut world = World::new(rules("300B/day", "500B/day", "1500B/day"), callers());
        let crashes = steps.iter().filter(|step| matches!(step, Step::Crash(_))).count() as u64;
        steps.into_iter().for_each(|step| world.take(step));
        for (key, done) in &world.done {
            let cap = match key {
                Key::Peer(_) => 300,
                Key::Address(_) => 500,
                Key::Site(site) if site.ip().is_ipv6() => 8_000,
                Key::Site(_) => 500,
                Key::All => 1_500,
            };
            let most = world.most(cap, 6, crashes);
            prop_assert!(*done <= most, "{key:?} got {done}, more than {most}");
        }
    }

    #[test]
    fn nobody_is_locked_out_for_good_whatever_happened(steps in prop::collection::vec(step(6), 1..200)) {
        let mut world = World::new(rules("300B/day", "500B/day", "15000B/day"), callers());
        steps.into_iter().for_each(|step| world.take(step));
        // The day in which the clock is now may have been used up before it jumped back to it, and so may the next.
        // Leases of holders that died count when they expire, also those from before a jump.
        for _ in 0..2 {
            for wait in [200, DAY] {
                (0..6).for_each(|session| _ = world.work(session, 1));
                (0..6).for_each(|session| world.take(Step::Reconnect(session)));
                world.set(world.now.plus(wait));
            }
        }
        prop_assert!((0..6).all(|session| world.work(session, 1)));
    }

    #[test]
    fn a_shard_that_was_stored_gives_the_same_verdicts(
        before in prop::collection::vec(step(6), 0..150), after in prop::collection::vec((0..6_usize, 1..=BLOCK), 1..80),
    ) {
        let mut world = World::new(rules("300B/day", "500B/day", "1500B/day"), callers());
        before.into_iter().for_each(|step| world.take(step));
        let mut stored = Shard::decode(&world.shard.encode()).expect("what was stored");
        for (number, (session, amount)) in after.into_iter().enumerate() {
            let now = world.now.plus(number as u64 * 20);
            let caller = world.sessions[session].0;
            let report = Report { unleased: bytes(amount), asks: true, ..Report::default() };
            let verdict = world.shard.report(&world.rules, &caller, &report, now);
            prop_assert_eq!(stored.report(&world.rules, &caller, &report, now), verdict);
        }
    }

    #[test]
    fn a_journal_that_is_replayed_gives_the_same_shard_under_any_rules(
        steps in prop::collection::vec((0..6_usize, 1..=BLOCK, 0..200_u64, any::<bool>()), 1..100),
    ) {
        let (all, others) = (rules("300B/day", "500B/day", "1500B/day"), rules("1B/day", "unlimited", "unlimited"));
        let (mut first, mut second) = (Shard::new(), Shard::new());
        let mut meters = vec![Meter::new(Work::NONE); 6];
        let mut now = Timestamp(DAY);
        for (session, amount, wait, asks) in steps {
            now = now.plus(wait);
            let caller = callers()[session];
            meters[session].spend(bytes(amount));
            let report = meters[session].report(asks);
            let verdict = first.report(&all, &caller, &report, now);
            if let Some(verdict) = verdict {
                meters[session].answered(verdict, now);
            }
            let granted = match verdict {
                Some(Verdict::Granted(lease)) => Some(lease),
                _ => None,
            };
            second.replay(&others, &caller, &report, granted, now);
        }
        first.prune(&all, now.plus(1));
        second.prune(&others, now.plus(1));
        prop_assert_eq!(first.encode(), second.encode());
    }

    #[test]
    fn a_stored_shard_that_is_cut_short_is_refused_and_no_bytes_panic(
        steps in prop::collection::vec(step(6), 1..60), cut in any::<prop::sample::Index>(), flip in any::<(prop::sample::Index, u8)>(),
    ) {
        let mut world = World::new(rules("300B/day", "500B/day", "1500B/day"), callers());
        steps.into_iter().for_each(|step| world.take(step));
        let mut stored = world.shard.encode();
        prop_assert!(Shard::decode(&stored[..cut.index(stored.len())]).is_err());
        let (place, bits) = flip;
        let place = place.index(stored.len());
        stored[place] ^= bits;
        if let Ok(mut shard) = Shard::decode(&stored) {
            let asks = Report { asks: true, ..Report::default() };
            shard.report(&world.rules, &caller(1, 1), &asks, world.now);
            shard.top(world.now, 5);
            shard.prune(&world.rules, world.now);
        }
    }
}

#[test]
fn a_clock_that_goes_to_and_fro_gives_a_cap_for_each_day_that_begins_and_no_more() {
    let mut world = World::new(rules("unlimited", "100B/day", "unlimited"), [caller(1, 1)]);
    let mut taken = 0;
    for round in 0..20 {
        world.take(Step::Reconnect(0));
        while world.work(0, 1) {
            taken += 1;
        }
        world.set(if round % 2 == 0 { world.now.plus(DAY) } else { Timestamp(world.now.0 - DAY) });
    }
    // Ten times it went forwards; what it went back to had been used up.
    assert_eq!(taken, 100 * 11);
}

#[test]
fn a_refusal_names_the_cap_that_lasts_longest() {
    let all = rules("10B/hour", "10B/day", "unlimited");
    let (mut shard, now) = (Shard::new(), Timestamp(20_000 * DAY));
    let report = Report { unleased: bytes(10), asks: true, ..Report::default() };
    match shard.report(&all, &caller(1, 1), &report, now) {
        Some(Verdict::Refused(refusal)) => assert_eq!((refusal.scope, refusal.until), (Scope::Address, now.plus(DAY))),
        other => panic!("{other:?}"),
    }
}
