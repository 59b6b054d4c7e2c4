//! When to merge runs, and which of them to keep in memory.
//!
//! A run is left alone while it has at least [`RATIO`] times the entries of all younger runs together. So there are
//! never more than a few, and each entry is written again only a few times in the life of a bucket. What is younger than
//! the large runs is small, and is read whole.

use std::ops::Range;

use crate::cars::MAX_SEGMENT_CARS;
use crate::run::MAX_ENTRIES;

/// How many times larger than all that is younger a run is, or else it is merged with that.
pub const RATIO: u64 = 16;
/// Entries of the youngest runs that are kept in memory, all together: about 4.3 MiB.
pub const RESIDENT_ENTRIES: u64 = 1 << 17;
/// Pieces of the CAR table that are left alone.
pub const SEGMENTS: usize = 64;

/// Which runs to merge into one, given the entries of each, oldest first. `None`: none for now.
pub fn plan(entries: &[u64]) -> Option<Range<usize>> {
    let mut younger = 0_u64;
    let mut from = entries.len();
    for (number, entries) in entries.iter().enumerate().rev() {
        // What would be too large for one run stays as it is.
        let with = younger.saturating_add(*entries);
        if with > MAX_ENTRIES {
            break;
        }
        if *entries < younger.saturating_mul(RATIO) {
            from = number;
        }
        younger = with;
    }
    (from < entries.len()).then_some(from..entries.len())
}

/// Which runs to keep in memory: the youngest, while they have [`RESIDENT_ENTRIES`] at most.
pub fn resident(entries: &[u64]) -> Range<usize> {
    let mut sum = 0_u64;
    let fits = entries.iter().rev().take_while(|entries| {
        sum = sum.saturating_add(**entries);
        sum <= RESIDENT_ENTRIES
    });
    entries.len() - fits.count()..entries.len()
}

/// Which pieces of the CAR table to join, given the CARs of each. `None`: none for now.
///
/// The youngest, and of the older ones those that are smaller than twice what is joined already, so that a record is
/// copied a logarithmic number of times.
pub fn plan_segments(cars: &[u32]) -> Option<Range<usize>> {
    if cars.len() <= SEGMENTS {
        return None;
    }
    let mut sum = 0_u64;
    let mut from = cars.len();
    for (number, cars) in cars.iter().enumerate().rev() {
        let cars = u64::from(*cars);
        if sum + cars > u64::from(MAX_SEGMENT_CARS) {
            break;
        }
        // A small one at the end must not keep the many before it from being joined.
        if cars <= 2 * sum {
            from = number;
        }
        sum += cars;
    }
    (from < cars.len()).then_some(from..cars.len())
}
