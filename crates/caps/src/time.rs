//! The hours and days that work is counted by: those of UTC, by a clock that the host reads.
//!
//! A clock may jump. When it jumps forwards, the windows that it passed over are over, and new ones begin: whoever was at
//! a cap gets it anew, once. When it jumps back, what was counted stays counted until the window that the clock is in now
//! is over. So no jump lets anybody have more than a cap for each window that begins, and none locks anybody out for longer than a window.

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::work::Work;

/// Seconds of an hour.
const HOUR: u64 = 3_600;
/// Seconds of a day.
const DAY: u64 = 24 * HOUR;

/// A moment: seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// So many seconds later.
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// The hour that it is in, counted from 1970.
    pub(crate) fn hour(self) -> u64 {
        self.0 / HOUR
    }

    fn day(self) -> u64 {
        self.0 / DAY
    }
}

/// What was counted in one hour or day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    number: u64,
    used: Work,
}

impl Window {
    fn enter(&mut self, number: u64) {
        if number > self.number {
            self.used = Work::NONE;
        }
        self.number = number;
    }
}

/// What was counted of one peer, address or deployment in the hour and the day, and what is out on lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    hour: Window,
    day: Window,
    /// The sum of the leases that are out. It counts in every window until they are settled.
    held: Work,
}

impl Usage {
    /// Begins the windows that this moment is in, if they are new.
    pub(crate) fn enter(&mut self, now: Timestamp) {
        self.hour.enter(now.hour());
        self.day.enter(now.day());
    }

    /// Counts work in the windows that were [entered](Self::enter).
    pub(crate) fn count(&mut self, work: Work) {
        self.hour.used = self.hour.used.plus(work);
        self.day.used = self.day.used.plus(work);
    }

    pub(crate) fn hold(&mut self, amount: Work) {
        self.held = self.held.plus(amount);
    }

    pub(crate) fn release(&mut self, amount: Work) {
        self.held = self.held.minus(amount);
    }

    /// What may still be leased.
    pub(crate) fn left(&self, limits: &Limits) -> Work {
        let left = |limit: Work, window: &Window| limit.minus(window.used.plus(self.held));
        left(limits.hour, &self.hour).min(left(limits.day, &self.day))
    }

    /// When something is left again of what there is nothing left of: at the end of a window, or, where only leases take
    /// it up, `soon`.
    pub(crate) fn renewed(&self, limits: &Limits, soon: Timestamp) -> Timestamp {
        let windows = [(limits.hour, &self.hour, HOUR), (limits.day, &self.day, DAY)];
        let over = windows.into_iter().filter(|(limit, window, _)| limit.minus(window.used).lacks_something());
        over.map(|(_, window, length)| Timestamp(window.number.saturating_add(1).saturating_mul(length)))
            .max()
            .unwrap_or(soon)
    }

    /// Whether it can be forgotten without anybody getting more by it.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.held.is_none() && (self.day.used.is_none() || self.day.number < now.day())
    }

    /// Whether nothing of it is out on lease.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.held.is_none()
    }

    /// What was counted in this moment's hour and day; leases that are out do not count.
    pub(crate) fn used(&self, now: Timestamp) -> (Work, Work) {
        let mut usage = *self;
        usage.enter(now);
        (usage.hour.used, usage.day.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(bytes: u64) -> Work {
        Work { bytes, ..Work::NONE }
    }

    fn limits(hour: u64, day: u64) -> Limits {
        let bytes = |bytes| Work { bytes, ..Work::UNLIMITED };
        Limits { hour: bytes(hour), day: bytes(day) }
    }

    #[test]
    fn an_hour_ends_and_the_day_goes_on() {
        let (limits, mut usage, noon) = (limits(10, 15), Usage::default(), Timestamp(12 * HOUR));
        usage.enter(noon);
        usage.count(bytes(10));
        assert_eq!(usage.left(&limits).bytes, 0);
        assert_eq!(usage.renewed(&limits, noon), noon.plus(HOUR));
        usage.enter(noon.plus(HOUR));
        assert_eq!(usage.left(&limits).bytes, 5);
        usage.count(bytes(5));
        assert_eq!(usage.renewed(&limits, noon), Timestamp(DAY));
        usage.enter(Timestamp(DAY));
        assert_eq!(usage.left(&limits).bytes, 10);
    }

    #[test]
    fn leases_count_in_the_next_window_too_and_are_waited_for_a_moment() {
        let (limits, mut usage, now) = (limits(10, 100), Usage::default(), Timestamp(HOUR));
        usage.enter(now);
        usage.hold(bytes(10));
        assert_eq!(usage.renewed(&limits, now.plus(5)), now.plus(5));
        usage.enter(now.plus(HOUR));
        assert_eq!(usage.left(&limits).bytes, 0);
        usage.release(bytes(10));
        assert_eq!(usage.left(&limits).bytes, 10);
    }

    #[test]
    fn a_clock_that_jumps_back_gives_nothing_and_takes_a_window_at_most() {
        let (limits, mut usage, late) = (limits(10, 10), Usage::default(), Timestamp(1_000 * DAY));
        usage.enter(late);
        usage.count(bytes(10));
        let early = Timestamp(DAY);
        usage.enter(early);
        assert_eq!(usage.left(&limits).bytes, 0);
        assert_eq!(usage.renewed(&limits, early), early.plus(DAY));
        usage.enter(early.plus(DAY));
        assert_eq!(usage.left(&limits).bytes, 10);
    }

    #[test]
    fn it_is_over_when_its_day_is_and_nothing_is_out() {
        let mut usage = Usage::default();
        usage.enter(Timestamp(5));
        assert!(usage.is_over(Timestamp(5)));
        usage.count(bytes(1));
        assert!(!usage.is_over(Timestamp(DAY - 1)));
        assert!(usage.is_over(Timestamp(DAY)));
        usage.hold(bytes(1));
        assert!(!usage.is_over(Timestamp(DAY)));
    }
}
