//! Runs stay few, and an entry is seldom written again.

use hoverboard_index::cars::MAX_SEGMENT_CARS;
use hoverboard_index::run::MAX_ENTRIES;
use hoverboard_index::tiers;

/// Commits of so many entries each until there are `until`, merging at once whenever the tiers ask for it. The most runs
/// that were read by pages at any time, and how often an entry was written on average.
fn simulate(commit: u64, until: u64) -> (usize, f64) {
    let mut runs: Vec<u64> = Vec::new();
    let (mut most, mut written) = (0, 0.0);
    for _ in 0..until / commit {
        runs.push(commit);
        written += commit as f64;
        if let Some(merge) = tiers::plan(&runs) {
            let sum: u64 = runs.drain(merge).sum();
            runs.push(sum);
            written += sum as f64;
        }
        most = most.max(tiers::resident(&runs).start);
    }
    (most, written / until as f64)
}

#[test]
fn tiers_keep_runs_few_and_writes_few() {
    // 10^8 in 10^4 CARs, one commit each; 10^9 in 10^5 CARs, ten a commit; 10^9 by an importer, in large commits.
    for (commit, until, most, writes) in
        [(10_000, 100_000_000, 3, 60.0), (100_000, 1_000_000_000, 4, 60.0), (1 << 22, 1_000_000_000, 3, 27.0)]
    {
        let (runs, written) = simulate(commit, until);
        println!("{until} by {commit}: {runs} runs, written {written:.1} times");
        assert!(runs <= most, "{runs} runs of {commit}");
        assert!(written <= writes, "{written} times, commits of {commit}");
    }
}

#[test]
fn every_run_is_resident_while_they_are_small() {
    assert_eq!(tiers::resident(&[]), 0..0);
    assert_eq!(tiers::resident(&[100, 10]), 0..2);
    assert_eq!(tiers::resident(&[1 << 20, 1 << 17]), 1..2);
    assert_eq!(tiers::resident(&[1 << 20, 1, 1 << 17]), 2..3);
    assert_eq!(tiers::resident(&[u64::MAX, u64::MAX]), 2..2);
}

#[test]
fn a_plan_covers_all_that_is_too_large_for_what_is_before_it() {
    assert_eq!(tiers::plan(&[]), None);
    assert_eq!(tiers::plan(&[5]), None);
    assert_eq!(tiers::plan(&[160, 10]), None);
    assert_eq!(tiers::plan(&[159, 10]), Some(0..2));
    assert_eq!(tiers::plan(&[1 << 30, 10, 10, 10]), Some(1..4));
    assert_eq!(tiers::plan(&[1 << 30, 1, 1 << 29, 1]), Some(0..4));
    // What no run can hold is not asked for.
    assert_eq!(tiers::plan(&[MAX_ENTRIES, MAX_ENTRIES, 1]), None);
    assert_eq!(tiers::plan(&[MAX_ENTRIES - 20, 10, 10, 10]), Some(1..4));
    assert_eq!(tiers::plan(&[u64::MAX; 3]), None);
}

#[test]
fn pieces_of_the_car_table_are_joined_when_they_are_many() {
    assert_eq!(tiers::plan_segments(&[1; 64]), None);
    assert_eq!(tiers::plan_segments(&[1; 65]), Some(0..65));
    let mut mixed = vec![1000];
    mixed.extend([1; 64]);
    assert_eq!(tiers::plan_segments(&mixed), Some(1..65));
    // A small youngest one does not keep the others apart.
    assert_eq!(tiers::plan_segments(&[vec![105; 95], vec![25]].concat()), Some(0..96));
    // Full pieces stay.
    let mut cars = vec![MAX_SEGMENT_CARS; 70];
    cars.extend([1; 2]);
    assert_eq!(tiers::plan_segments(&cars), Some(70..72));
}
