//! The ledger, or the part of it that has some addresses: what was done for each in this hour and this day, and who
//! has how much on lease.
//!
//! ```text
//!   session ──► Meter ──report──► Shard::report ──► counts, settles, grants
//!                 ▲                                     │
//!                 └──────────────verdict────────────────┘
//! ```
//!
//! A lease is taken from the caps when it is granted, in full, and what was not spent is given back when it is
//! settled. So a cap is passed by no lease, but only by what a session spends beyond its lease: the last block that it
//! had begun to read. A holder that dies settles nothing, and its lease counts as spent when it has expired.
//!
//! A shard is a state machine: the same reports at the same times give the same state, so that a host can keep a journal
//! of them and [replay](Shard::replay) it. It says nothing about what is done with wants that come after the cap.

mod leases;
mod sites;
mod stored;
mod top;

use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::limits::Limits;
use crate::meter::Report;
use crate::rules::{Rules, Terms};
use crate::time::{Timestamp, Usage};
use crate::work::Work;

use self::leases::{Leases, Out};
pub use self::sites::{MAX_NETWORKS, MAX_PEERS, MAX_SITES, MAX_SUBRECORDS};
use self::sites::{Sites, Slots};
pub use self::stored::{STATE_VERSION, StateError};
pub use self::top::{Row, Subject};

/// Leases that may be out at a time. While there are as many, nobody is granted another.
pub const MAX_LEASES: usize = 16_384;

/// After a lease has expired it can be settled for so long, in seconds: its holder's report may be on its way.
const GRACE: u64 = 30;

/// Who finds nothing left because others hold it on lease may ask again after this time, in seconds.
const SOON: u64 = 10;

/// The number of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseId(pub(crate) u64);

/// What its holder may spend without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its number.
    pub id: LeaseId,
    /// How much.
    pub amount: Work,
    /// Until when; whatever is spent later is spent without it.
    pub expires: Timestamp,
}

/// Whose cap it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// The peer's.
    Peer,
    /// The address's: of IPv4, or a network of 64 bits.
    Address,
    /// The site's: a network of 48 bits.
    Site,
    /// Of all together.
    Total,
}

impl Scope {
    /// A word for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Address => "address",
            Self::Site => "site",
            Self::Total => "total",
        }
    }
}

/// Why nothing was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whose cap is reached; of several that which stays so longest.
    pub scope: Scope,
    /// When there will be something again, unless the clock jumps or the rules change.
    pub until: Timestamp,
}

/// What comes of a report that asks for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Go on with this.
    Granted(Lease),
    /// Nothing is left.
    Refused(Refusal),
}

/// A ledger of some addresses.
///
/// # Bounds
/// [`MAX_SITES`] sites, with [`MAX_NETWORKS`] networks and [`MAX_PEERS`] peers each that are counted by themselves,
/// [`MAX_SUBRECORDS`] of these in all, and [`MAX_LEASES`] leases: about 60 MB of memory at most. The peers of a site
/// for which there is no room share one record, and so one peer's cap, as do its networks. Where there are more
/// sites in a day than there is room for, those are forgotten that were seen least recently.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Shard {
    total: Usage,
    sites: Sites,
    leases: Leases,
}

impl Shard {
    /// A ledger in which nothing was counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what a session of this caller has done, and grants what it asks for. `None` if it asks for nothing.
    pub fn report(&mut self, rules: &Rules, caller: &Caller, report: &Report, now: Timestamp) -> Option<Verdict> {
        let (terms, slots) = self.take(rules, caller, report, now)?;
        report.asks.then(|| self.grant(rules, &terms, caller, slots, now))
    }

    /// Does again what [`report`](Self::report) did, from a journal: what was granted then is granted now, whatever the
    /// rules have become.
    pub fn replay(&mut self, rules: &Rules, caller: &Caller, report: &Report, granted: Option<Lease>, now: Timestamp) {
        if let Some((terms, slots)) = self.take(rules, caller, report, now)
            && let Some(lease) = granted
        {
            let out =
                Out { caller: *caller, slots, exempt: terms.exempt, amount: lease.amount, expires: lease.expires };
            if self.leases.restore(lease.id, out) {
                self.hold(&out);
            }
        }
    }

    /// Settles and counts. Gives the limits and the records of the caller if any have to be looked at.
    fn take(&mut self, rules: &Rules, caller: &Caller, report: &Report, now: Timestamp) -> Option<(Terms, Slots)> {
        self.expire(rules, now);
        self.total.enter(now);
        if let Some((id, spent)) = report.settled
            && let Some(out) = self.leases.remove(id)
        {
            // Whoever says that it spent more than it had, has spent what it says.
            self.settle(&out, spent, now);
        }
        if report.unleased.is_none() && !report.asks {
            return None;
        }
        let terms = rules.terms(caller);
        let slots = self.sites.enter(caller, now);
        self.total.count(report.unleased);
        self.sites.each(caller, slots, terms.exempt, |_, usage| usage.count(report.unleased));
        Some((terms, slots))
    }

    fn hold(&mut self, out: &Out) {
        self.total.hold(out.amount);
        self.sites.each(&out.caller, out.slots, out.exempt, |_, usage| usage.hold(out.amount));
    }

    fn grant(&mut self, rules: &Rules, terms: &Terms, caller: &Caller, slots: Slots, now: Timestamp) -> Verdict {
        let soon = now.plus(SOON);
        let (mut left, mut cap) = (Work::UNLIMITED, Work::UNLIMITED);
        let mut refusal: Option<Refusal> = None;
        let mut look = |scope, usage: &Usage, limits: &Limits| {
            let here = usage.left(limits);
            left = left.min(here);
            cap = cap.min(limits.hour).min(limits.day);
            if here.lacks_something() {
                let until = usage.renewed(limits, soon);
                if refusal.is_none_or(|refusal| until > refusal.until) {
                    refusal = Some(Refusal { scope, until });
                }
            }
        };
        look(Scope::Total, &self.total, &rules.total);
        self.sites.each(caller, slots, terms.exempt, |scope, usage| match scope {
            // Seen, and not held to anything.
            _ if terms.exempt => {}
            Scope::Peer => look(scope, usage, &terms.peer),
            Scope::Site => look(scope, usage, &terms.site),
            Scope::Address | Scope::Total => look(scope, usage, &terms.address),
        });
        if let Some(refusal) = refusal {
            return Verdict::Refused(refusal);
        }
        let amount = share(left, cap, rules.lease);
        let expires = now.plus(rules.lease_seconds.max(1));
        let out = Out { caller: *caller, slots, exempt: terms.exempt, amount, expires };
        let Some(id) = self.leases.insert(out) else {
            return Verdict::Refused(Refusal { scope: Scope::Total, until: soon });
        };
        self.hold(&out);
        Verdict::Granted(Lease { id, amount, expires })
    }

    /// Ends a lease: what was spent of it counts from now on instead of the whole.
    fn settle(&mut self, out: &Out, spent: Work, now: Timestamp) {
        let count = |usage: &mut Usage| {
            usage.enter(now);
            usage.release(out.amount);
            usage.count(spent);
        };
        count(&mut self.total);
        self.sites.each(&out.caller, out.slots, out.exempt, |_, usage| count(usage));
    }

    /// Counts the leases as spent that expired without a word.
    fn expire(&mut self, rules: &Rules, now: Timestamp) {
        for out in self.leases.take_expired(now, rules.lease_seconds.saturating_add(GRACE)) {
            self.settle(&out, out.amount, now);
        }
    }

    /// Forgets what is over, so that less has to be stored. Nobody gets more by it.
    pub fn prune(&mut self, rules: &Rules, now: Timestamp) {
        self.expire(rules, now);
        self.sites.prune(now);
    }

    /// How many sites, and how many networks and peers of them, are counted by themselves.
    pub fn records(&self) -> (usize, usize) {
        self.sites.records()
    }

    /// What all together have done, in this hour and this day. What is out on lease is not in it.
    pub fn total(&self, now: Timestamp) -> (Work, Work) {
        self.total.used(now)
    }

    /// What was done for those for whom most was done today, by what it cost, then by bytes; `most` rows at most.
    pub fn top(&self, now: Timestamp, most: usize) -> Vec<Row> {
        top::rows(&self.sites, now, most)
    }
}

/// How much of what is left is granted: a quarter, so that others of the same address find something too; but not
/// scraps, for which one would have to ask over and over; and no more than a lease. So a cap is used up in some twenty
/// leases or in whole ones.
fn share(left: Work, cap: Work, lease: Work) -> Work {
    let quarter = left.with(left, |left, _| left.div_ceil(4));
    let least = cap.min(lease).with(cap, |part, _| part.div_ceil(16));
    let share = quarter.with(least, u64::max).min(lease).min(left);
    // A lease of nothing would be asked for again at once.
    share.with(left, |share, left| share.max(left.min(1)))
}

#[cfg(test)]
mod tests;
