use proptest::prelude::*;

use super::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn plan(tuning: Tuning, wants: impl IntoIterator<Item = (u64, u64)>) -> Plan {
    let mut plan = Plan::new(tuning);
    for (number, (offset, len)) in wants.into_iter().enumerate() {
        plan.insert(Place { car: 0, offset }, offset + len, number as u64);
    }
    plan
}

/// Sections begin who knows where.
fn anywhere(place: Place) -> u64 {
    place.offset
}

/// Reads whole runs one after another, and says how many there were and how many bytes they had.
fn read_all(plan: &mut Plan) -> (usize, u64) {
    let (mut runs, mut bytes) = (0, 0);
    while let Some(run) = plan.next_run(&[], |_| true, anywhere) {
        runs += 1;
        bytes += run.end - run.start;
        let places: Vec<Place> = plan.all_in(run.car, run.start..run.end).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|place| drop(plan.take(place)));
    }
    assert!(plan.is_empty());
    (runs, bytes)
}

#[test]
fn neighbours_are_one_run_and_distant_wants_are_not() {
    let mut near = plan(Tuning::default(), (0..100).map(|n| (n * 400 * KIB, KIB)));
    assert_eq!(read_all(&mut near).0, 2, "a run is at most 32 MiB");
    let mut far = plan(Tuning::default(), (0..10).map(|n| (n * 700 * KIB, KIB)));
    assert_eq!(read_all(&mut far), (10, 10 * KIB));
}

#[test]
fn where_many_requests_would_be_needed_the_gap_grows_as_far_as_it_may() {
    // The wider gaps are the later ones.
    let offsets = |step: u64| (0..64u64).map(move |n| (n * step + n * n * KIB, KIB));
    assert_eq!(read_all(&mut plan(Tuning { requests: 64, ..Tuning::default() }, offsets(700 * KIB))).0, 64);
    let joined = read_all(&mut plan(Tuning { requests: 8, ..Tuning::default() }, offsets(700 * KIB))).0;
    assert!(joined <= 16, "{joined}");
    let too_far = Tuning { requests: 8, max_gap: MIB, ..Tuning::default() };
    assert_eq!(read_all(&mut plan(too_far, offsets(2 * MIB))).0, 64);
}

#[test]
fn a_run_that_follows_another_reads_twice_as_far() {
    let mut plan = Plan::new(Tuning::default());
    let mut at = 0;
    let mut lens = Vec::new();
    for key in 0..8 {
        plan.insert(Place { car: 0, offset: at }, at + 256 * KIB, key);
        let run = plan.next_run(&[], |_| true, anywhere).unwrap();
        lens.push((run.end - run.start) / KIB);
        plan.take(Place { car: 0, offset: at });
        plan.served(Place { car: 0, offset: at }, run.end - run.start);
        at = run.end;
    }
    assert_eq!(lens, [256, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 64 << 10, 64 << 10]);
    // What follows a run that was given up does so with less.
    plan.insert(Place { car: 0, offset: at }, at + KIB, 0);
    let run = plan.next_run(&[], |_| true, anywhere).unwrap();
    plan.take(Place { car: 0, offset: at });
    plan.served(Place { car: 0, offset: at }, MIB);
    plan.closed(&run, at + MIB);
    plan.insert(Place { car: 0, offset: at + MIB }, at + MIB + KIB, 0);
    let run = plan.next_run(&[], |_| true, anywhere).unwrap();
    assert_eq!((run.sequential, run.end - run.start), (true, 32 * MIB));
}

#[test]
fn reading_ahead_ends_between_two_sections() {
    let mut plan = Plan::new(Tuning::default());
    let hundreds = |place: Place| place.offset.next_multiple_of(100_000);
    let mut at = 0;
    for key in 0..3 {
        plan.insert(Place { car: 0, offset: at }, at + 100_000, key);
        let run = plan.next_run(&[], |_| true, hundreds).unwrap();
        plan.take(Place { car: 0, offset: at });
        plan.served(Place { car: 0, offset: at }, run.end - run.start);
        assert_eq!(run.end % 100_000, 0);
        at = run.end;
    }
    assert!(at > 12 * MIB);
}

#[test]
fn a_run_that_nobody_wanted_much_of_is_not_followed() {
    let mut plan = plan(Tuning::default(), [(0, KIB), (400 * KIB, KIB)]);
    let first = plan.next_run(&[], |_| true, anywhere).unwrap();
    plan.take(Place { car: 0, offset: 0 });
    plan.take(Place { car: 0, offset: 400 * KIB });
    plan.served(Place { car: 0, offset: 0 }, 2 * KIB);
    plan.insert(Place { car: 0, offset: first.end }, first.end + KIB, 9);
    assert_eq!(plan.next_run(&[], |_| true, anywhere).unwrap().end - first.end, KIB);
}

#[test]
fn what_an_open_run_will_pass_is_left_to_it_and_its_successor_waits() {
    let mut plan = plan(Tuning::default(), [(MIB, KIB), (10 * MIB, KIB), (20 * MIB, KIB)]);
    let run = Run { car: 0, start: 0, end: 10 * MIB, sequential: true };
    let early = [Span { run, at: 0 }];
    assert_eq!(plan.next_run(&early, |_| true, anywhere).unwrap().start, 20 * MIB);
    plan.take(Place { car: 0, offset: 20 * MIB });
    assert_eq!(plan.next_run(&early, |_| true, anywhere), None);
    let late = [Span { run, at: 9 * MIB }];
    assert_eq!(
        plan.next_run(&late, |_| true, anywhere).unwrap().start,
        MIB,
        "the open run is past it, and the sweep goes round"
    );
    plan.take(Place { car: 0, offset: MIB });
    assert_eq!(plan.next_run(&late, |_| true, anywhere).unwrap().start, 10 * MIB);
}

#[test]
fn a_run_ends_where_an_open_one_goes_on() {
    let mut plan = plan(Tuning::default(), [(0, KIB), (2 * KIB, KIB), (8 * KIB, KIB)]);
    let run = Run { car: 0, start: 0, end: 20 * KIB, sequential: false };
    let next = plan.next_run(&[Span { run, at: 5 * KIB }], |_| true, anywhere).unwrap();
    assert_eq!((next.start, next.end), (0, 3 * KIB));
}

#[test]
fn a_car_that_is_not_ready_is_passed_over() {
    let mut plan = Plan::new(Tuning::default());
    plan.insert(Place { car: 1, offset: 0 }, 10, 1);
    plan.insert(Place { car: 2, offset: 0 }, 10, 2);
    assert_eq!(plan.next_run(&[], |car| car != 1, anywhere).unwrap().car, 2);
    plan.take(Place { car: 2, offset: 0 });
    assert_eq!(plan.next_run(&[], |car| car != 1, anywhere), None);
    assert_eq!(plan.next_run(&[], |_| true, anywhere).unwrap().car, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is wanted, with whatever tuning and order of runs: every want is in some run, runs begin at wants and
    /// do not overlap open ones, and reading ends.
    #[test]
    fn every_want_comes_to_be_read(
        wants in prop::collection::btree_map((0u32..3, 0u64..100_000), 1u64..500, 1..80),
        gap in 0u64..5_000, more in 0u64..20_000, requests in 0usize..10, max_run in 0u64..50_000,
        ahead in 0u64..4_000, lead in 0u64..4_000,
        steps in prop::collection::vec(0usize..3, 1..50),
    ) {
        let tuning = Tuning {
            gap, max_gap: gap + more, requests, max_run, first_ahead: ahead, max_ahead: 8 * ahead, lead,
        };
        let mut plan = Plan::new(tuning);
        for (number, ((car, offset), len)) in wants.iter().enumerate() {
            plan.insert(Place { car: *car, offset: *offset }, offset + len, number as u64);
        }
        let mut open: Vec<Span> = Vec::new();
        let mut served = vec![];
        for step in steps.iter().cycle().take(2_000) {
            if *step == 0 && open.len() < 3 {
                let Some(run) = plan.next_run(&open, |_| true, anywhere) else { continue };
                prop_assert!(run.end > run.start);
                prop_assert_eq!(plan.first_in(run.car, run.start..run.end), Some(run.start));
                for span in &open {
                    let overlap = run.start.max(span.at) < run.end.min(span.run.end);
                    prop_assert!(span.run.car != run.car || !overlap || run.start < span.at, "{run:?} {span:?}");
                }
                open.push(Span { run, at: run.start });
            } else if let Some(span) = open.first_mut() {
                // A third of what is left is read.
                let at = span.at + (span.run.end - span.at).div_ceil(3);
                let places: Vec<Place> = plan.all_in(span.run.car, span.at..at).collect();
                for place in places {
                    served.extend(plan.take(place));
                }
                span.at = at;
                if at == span.run.end {
                    open.remove(0);
                } else {
                    open.rotate_left(1);
                }
            }
        }
        while let Some(span) = open.pop() {
            let places: Vec<Place> = plan.all_in(span.run.car, span.at..span.run.end).collect();
            places.into_iter().for_each(|place| served.extend(plan.take(place)));
        }
        while let Some(run) = plan.next_run(&[], |_| true, anywhere) {
            let places: Vec<Place> = plan.all_in(run.car, run.start..run.end).collect();
            prop_assert!(!places.is_empty());
            places.into_iter().for_each(|place| served.extend(plan.take(place)));
        }
        served.sort_unstable();
        prop_assert_eq!(served, (0..wants.len() as u64).collect::<Vec<_>>());
    }
}
