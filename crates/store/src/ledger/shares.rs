//! How the requests of an event are shared by the accounts: pure counting.
//!
//! Two things are promised. Every account that is open, however late it wakes, gets its *floor*: an eighth of the
//! budget is kept for the floors of all. And accounts that have asked for something in this event get equal *shares* of
//! the rest; what one does not use, another borrows, but only what no share still has a claim on.

use std::collections::BTreeMap;

/// This part of the budget is kept for floors.
const KEPT: u64 = 8;

#[derive(Debug)]
pub(super) struct Shares {
    budget: u64,
    drawn: u64,
    accounts: BTreeMap<u64, Drawn>,
}

/// What one account has drawn in this event, and what it holds.
#[derive(Debug, Default, Clone, Copy)]
struct Drawn {
    requests: u64,
    bytes: usize,
    /// Requests that wait for the head of their answer.
    waiting: usize,
}

impl Shares {
    pub(super) fn new(budget: u64) -> Self {
        Self { budget, drawn: 0, accounts: BTreeMap::new() }
    }

    pub(super) fn open(&mut self, account: u64) {
        self.accounts.insert(account, Drawn::default());
    }

    /// What a closed account drew stays drawn.
    pub(super) fn close(&mut self, account: u64) {
        self.accounts.remove(&account);
    }

    pub(super) fn begin(&mut self) {
        self.drawn = 0;
        self.accounts.values_mut().for_each(|account| account.requests = 0);
    }

    pub(super) fn left(&self) -> u64 {
        self.budget - self.drawn
    }

    /// The requests that an account gets whatever the others do.
    pub(super) fn floor(&self) -> u64 {
        self.budget / (KEPT * self.accounts.len().max(1) as u64)
    }

    /// Whether an account may draw one request.
    pub(super) fn may_draw(&self, account: u64) -> bool {
        let Some(own) = self.accounts.get(&account) else { return false };
        let left = self.left();
        let floor = self.floor();
        if own.requests < floor {
            return left > 0;
        }
        let active = 1 + self.others(account).filter(|other| other.requests > 0).count() as u64;
        let idle = self.accounts.len() as u64 - active;
        let share = (self.budget - floor.saturating_mul(idle)) / active;
        // Who is below its share leaves the others their floors; who borrows leaves them their shares.
        let claimed = self.others(account).fold(0u64, |claimed, other| {
            let due = if own.requests >= share && other.requests > 0 { share } else { floor };
            claimed.saturating_add(due.saturating_sub(other.requests))
        });
        left > claimed
    }

    fn others(&self, account: u64) -> impl Iterator<Item = &Drawn> {
        self.accounts.iter().filter(move |(id, _)| **id != account).map(|(_, drawn)| drawn)
    }

    /// Draws one request, which [`may_draw`](Self::may_draw) allowed.
    pub(super) fn draw(&mut self, account: u64) {
        if let Some(own) = self.accounts.get_mut(&account) {
            own.requests += 1;
            self.drawn += 1;
        }
    }

    pub(super) fn bytes(&self, account: u64) -> usize {
        self.accounts.get(&account).map_or(0, |own| own.bytes)
    }

    pub(super) fn hold(&mut self, account: u64, bytes: usize) {
        if let Some(own) = self.accounts.get_mut(&account) {
            own.bytes += bytes;
        }
    }

    pub(super) fn release(&mut self, account: u64, bytes: usize) {
        if let Some(own) = self.accounts.get_mut(&account) {
            own.bytes -= bytes;
        }
    }

    pub(super) fn waiting(&self, account: u64) -> usize {
        self.accounts.get(&account).map_or(0, |own| own.waiting)
    }

    pub(super) fn wait(&mut self, account: u64) {
        if let Some(own) = self.accounts.get_mut(&account) {
            own.waiting += 1;
        }
    }

    pub(super) fn waited(&mut self, account: u64) {
        if let Some(own) = self.accounts.get_mut(&account) {
            own.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_account_alone_gets_everything() {
        let mut shares = Shares::new(1000);
        shares.open(7);
        while shares.may_draw(7) {
            shares.draw(7);
        }
        assert_eq!(shares.left(), 0);
    }

    #[test]
    fn two_busy_accounts_get_half_each_and_idle_ones_keep_their_floor() {
        let mut shares = Shares::new(1000);
        (0..10).for_each(|id| shares.open(id));
        // The first one starts early and takes what it can; the second one comes when half is gone.
        for _ in 0..400 {
            assert!(shares.may_draw(0));
            shares.draw(0);
        }
        let mut drawn = [400u64, 0];
        loop {
            let before = drawn;
            for id in [0, 1] {
                if shares.may_draw(id) {
                    shares.draw(id);
                    drawn[id as usize] += 1;
                }
            }
            if drawn == before {
                break;
            }
        }
        assert!(drawn[0].abs_diff(drawn[1]) <= 1, "{drawn:?}");
        assert_eq!(shares.left(), 8 * shares.floor());
        assert_eq!(shares.floor(), 12);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nobody_passes_the_budget_and_everybody_gets_the_floor(
            budget in 1u64..500,
            accounts in 1u64..20,
            asked in prop::collection::vec(0u64..20, 0..1000),
        ) {
            let mut shares = Shares::new(budget);
            (0..accounts).for_each(|id| shares.open(id));
            let mut drawn = 0;
            for id in asked {
                if shares.may_draw(id) {
                    shares.draw(id);
                    drawn += 1;
                }
                prop_assert!(drawn <= budget);
                prop_assert_eq!(shares.left(), budget - drawn);
            }
            for id in 0..accounts {
                while shares.accounts[&id].requests < shares.floor() {
                    prop_assert!(shares.may_draw(id), "account {id} has {:?}", shares.accounts[&id]);
                    shares.draw(id);
                }
            }
        }
    }
}
