//! The leases that are out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::time::Timestamp;
use crate::work::Work;

use super::sites::Slots;
use super::{LeaseId, MAX_LEASES};

/// A lease as the ledger has it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Out {
    pub(super) caller: Caller,
    /// The records that it was taken from: it goes back to the same ones.
    pub(super) slots: Slots,
    pub(super) exempt: bool,
    pub(super) amount: Work,
    pub(super) expires: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Leases {
    out: BTreeMap<LeaseId, Out>,
    next: u64,
    /// When they were looked through.
    looked: Timestamp,
}

impl Leases {
    /// `None` while there are too many.
    pub(super) fn insert(&mut self, out: Out) -> Option<LeaseId> {
        if self.out.len() >= MAX_LEASES {
            return None;
        }
        let id = LeaseId(self.next);
        self.next = self.next.wrapping_add(1);
        self.out.insert(id, out);
        Some(id)
    }

    /// Takes up a lease that was granted before, if there is room and it is not there.
    pub(super) fn restore(&mut self, id: LeaseId, out: Out) -> bool {
        if self.out.len() >= MAX_LEASES || self.out.contains_key(&id) {
            return false;
        }
        self.out.insert(id, out);
        self.next = self.next.max(id.0.wrapping_add(1));
        true
    }

    pub(super) fn remove(&mut self, id: LeaseId) -> Option<Out> {
        self.out.remove(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Those that expired, and were not settled in the time of grace after it. They are looked for once a second. One
    /// that seems to be good for more than `longest` seconds was granted before the clock jumped back.
    pub(super) fn take_expired(&mut self, now: Timestamp, longest: u64) -> Vec<Out> {
        if now == self.looked {
            return Vec::new();
        }
        self.looked = now;
        let mut expired = Vec::new();
        self.out.retain(|_, out| {
            out.expires = out.expires.min(now.plus(longest));
            let good = now <= out.expires.plus(super::GRACE);
            if !good {
                expired.push(*out);
            }
            good
        });
        expired
    }
}
