//! A session's side of the ledger: what it may still do, what it has done, and when it has to ask.
//!
//! Before it begins anything, a host looks at the [gate](Meter::gate), and after each piece of work it
//! [spends](Meter::spend). A [report](Meter::report) goes to the shard that has the caller's address; its verdict comes
//! back by [`answered`](Meter::answered). It is plain data and freezes with its session.

use serde::{Deserialize, Serialize};

use crate::shard::{Lease, LeaseId, Refusal, Verdict};
use crate::time::Timestamp;
use crate::work::Work;

/// Whoever is at a cap asks again after this time at the latest, in seconds: the rules may have changed, or the clock.
pub const ASK_AGAIN: u64 = 60;

/// A lease that seems to be good for longer than this, in seconds, was granted before the clock jumped back.
const LONGEST_LEASE: u64 = 24 * 3_600;

/// What a session tells the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// A lease that has ended, and what was spent of it.
    pub settled: Option<(LeaseId, Work)>,
    /// What was done without a lease.
    pub unleased: Work,
    /// Whether a lease is asked for.
    pub asks: bool,
}

impl Report {
    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether work may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// As much as this, at least one of each part. What is begun may pass it by the last block.
    Open(Work),
    /// The ledger has to be asked first: carry a [report](Meter::report).
    Ask,
    /// The ledger was asked and has not answered.
    Waiting,
    /// A cap is reached.
    Shut(Refusal),
}

/// What a session may do and has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// What may be done without a lease, of what was given for that.
    allowance: Work,
    lease: Option<Lease>,
    /// What was spent of the lease.
    leased: Work,
    /// What was done without one, and is not reported.
    unleased: Work,
    refusal: Option<Refusal>,
    /// When the refusal came.
    refused_at: Timestamp,
    waiting: bool,
}

impl Meter {
    /// The meter of a session that may do so much without asking.
    pub fn new(allowance: Work) -> Self {
        Self { allowance, ..Self::default() }
    }

    /// Whether, and how much, work may be begun now.
    pub fn gate(&self, now: Timestamp) -> Gate {
        if self.waiting {
            return Gate::Waiting;
        }
        if let Some(refusal) = self.refusal
            && now < refusal.until
            && self.refused_at <= now
            && now < self.refused_at.plus(ASK_AGAIN)
        {
            return Gate::Shut(refusal);
        }
        let left = match &self.lease {
            Some(lease) if is_good(lease, now) => lease.amount.minus(self.leased),
            Some(_) => Work::NONE,
            None => self.allowance,
        };
        if left.lacks_something() { Gate::Ask } else { Gate::Open(left) }
    }

    /// Notes work that was done.
    pub fn spend(&mut self, work: Work) {
        let Some(lease) = &self.lease else {
            self.allowance = self.allowance.minus(work);
            self.unleased = self.unleased.plus(work);
            return;
        };
        // What goes beyond the lease is reported apart from it: the ledger may have closed it by then.
        let leased = self.leased.plus(work).min(lease.amount);
        let beyond = work.minus(leased.minus(self.leased));
        self.leased = leased;
        self.unleased = self.unleased.plus(beyond);
    }

    /// What there is to tell the ledger, asking for a lease or not. From now on it is the host's to deliver: it goes to
    /// the ledger as it is, or back to [`undelivered`](Self::undelivered).
    pub fn report(&mut self, asks: bool) -> Report {
        let settled = self.lease.take().map(|lease| (lease.id, std::mem::take(&mut self.leased)));
        self.refusal = None;
        self.waiting = asks;
        Report { settled, unleased: std::mem::take(&mut self.unleased), asks }
    }

    /// What the ledger said to a report that asked for a lease.
    pub fn answered(&mut self, verdict: Verdict, now: Timestamp) {
        self.waiting = false;
        match verdict {
            Verdict::Granted(lease) => (self.lease, self.leased) = (Some(lease), Work::NONE),
            Verdict::Refused(refusal) => (self.refusal, self.refused_at) = (Some(refusal), now),
        }
    }

    /// Takes back a report that may not have come to the ledger. What was spent of a lease counts as done without one: if
    /// the report did come, it counts twice, and the lease itself is closed by the ledger in full. Errors are to the
    /// disadvantage of whoever asks, never to that of whoever pays.
    pub fn undelivered(&mut self, report: Report) {
        self.waiting = false;
        self.unleased = self.unleased.plus(report.unleased);
        if let Some((_, spent)) = report.settled {
            self.unleased = self.unleased.plus(spent);
        }
    }

    /// When a lease ends that should be settled then, if the session does nothing until then: an idle session must not
    /// be charged with all of it.
    pub fn due(&self) -> Option<Timestamp> {
        self.lease.map(|lease| lease.expires)
    }

    /// What of the allowance is left, which it gives up.
    pub fn take_allowance(&mut self) -> Work {
        std::mem::take(&mut self.allowance)
    }
}

fn is_good(lease: &Lease, now: Timestamp) -> bool {
    now < lease.expires && lease.expires <= now.plus(LONGEST_LEASE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Scope;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn bytes(bytes: u64) -> Work {
        Work { bytes, ..Work::UNLIMITED }
    }

    fn spent(bytes: u64) -> Work {
        Work { bytes, ..Work::NONE }
    }

    fn leased(amount: u64) -> Meter {
        let mut meter = Meter::new(Work::NONE);
        meter.report(true);
        let lease = Lease { id: LeaseId(7), amount: bytes(amount), expires: NOW.plus(60) };
        meter.answered(Verdict::Granted(lease), NOW);
        meter
    }

    #[test]
    fn the_allowance_needs_no_call_and_is_reported_with_the_first() {
        let mut meter = Meter::new(bytes(10));
        assert_eq!(meter.gate(NOW), Gate::Open(bytes(10)));
        meter.spend(spent(4));
        assert_eq!(meter.gate(NOW), Gate::Open(bytes(6)));
        meter.spend(spent(9));
        assert_eq!(meter.gate(NOW), Gate::Ask);
        assert_eq!(meter.report(true), Report { settled: None, unleased: spent(13), asks: true });
        assert_eq!(meter.gate(NOW), Gate::Waiting);
    }

    #[test]
    fn what_goes_beyond_a_lease_is_reported_apart() {
        let mut meter = leased(10);
        assert_eq!(meter.gate(NOW), Gate::Open(bytes(10)));
        meter.spend(spent(8));
        meter.spend(spent(5));
        assert_eq!(meter.gate(NOW), Gate::Ask);
        let report = meter.report(false);
        assert_eq!(report, Report { settled: Some((LeaseId(7), spent(10))), unleased: spent(3), asks: false });
        assert!(meter.report(false).is_empty());
    }

    #[test]
    fn a_lease_ends_and_a_clock_that_jumps_back_ends_it_too() {
        let meter = leased(10);
        assert_eq!(meter.due(), Some(NOW.plus(60)));
        assert_eq!(meter.gate(NOW.plus(60)), Gate::Ask);
        assert_eq!(meter.gate(Timestamp(0)), Gate::Ask);
    }

    #[test]
    fn a_refusal_holds_until_it_is_over_a_minute_has_passed_or_the_clock_jumped_back() {
        let refused = |until| {
            let mut meter = Meter::new(Work::NONE);
            meter.report(true);
            meter.answered(Verdict::Refused(Refusal { scope: Scope::Peer, until }), NOW);
            meter
        };
        let meter = refused(NOW.plus(10));
        assert!(matches!(meter.gate(NOW.plus(9)), Gate::Shut(_)));
        assert_eq!(meter.gate(NOW.plus(10)), Gate::Ask);
        let meter = refused(NOW.plus(100_000));
        assert!(matches!(meter.gate(NOW.plus(ASK_AGAIN - 1)), Gate::Shut(_)));
        assert_eq!(meter.gate(NOW.plus(ASK_AGAIN)), Gate::Ask);
        assert_eq!(meter.gate(Timestamp(NOW.0 - 1)), Gate::Ask);
    }

    #[test]
    fn a_report_that_was_lost_is_told_again() {
        let mut meter = leased(10);
        meter.spend(spent(4));
        let report = meter.report(true);
        meter.undelivered(report);
        assert_eq!(meter.gate(NOW), Gate::Ask);
        assert_eq!(meter.report(true), Report { settled: None, unleased: spent(4), asks: true });
    }
}
