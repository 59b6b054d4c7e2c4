//! The little that an address gets without a call to the ledger: for a host that the ledger is far from.
//!
//! Most who come want a few blocks and go. An allowance is given out once an hour for each address, whatever its peers
//! call themselves, and what is done with it is told to the ledger later, with others' reports. It is the one thing by which a cap
//! is passed: by an allowance of each host that serves the address, so that a host should have the address to itself.

use std::collections::BTreeMap;

use crate::caller::Address;
use crate::time::Timestamp;
use crate::work::Work;

/// What is left of the allowances of this hour.
///
/// # Bounds
/// So many addresses as it was made for; where there are more in an hour, the others get none and have to ask. So the
/// ceiling of the deployment is passed by that many allowances at most; whoever hears that it is reached [shuts](Self::shut) them.
#[derive(Debug)]
pub struct Allowances {
    each: Work,
    addresses: usize,
    hour: u64,
    left: BTreeMap<Address, Work>,
    shut_until: Timestamp,
}

impl Allowances {
    /// An allowance for each of so many addresses.
    pub fn new(each: Work, addresses: usize) -> Self {
        Self { each, addresses, hour: 0, left: BTreeMap::new(), shut_until: Timestamp(0) }
    }

    /// What the address may still do in this hour. It is given to one session, with all that is left of it; others of
    /// the address have to ask.
    pub fn take(&mut self, address: Address, now: Timestamp) -> Work {
        self.enter(now);
        if now < self.shut_until {
            return Work::NONE;
        }
        if let Some(left) = self.left.get_mut(&address) {
            return std::mem::take(left);
        }
        if self.left.len() >= self.addresses {
            return Work::NONE;
        }
        self.left.insert(address, Work::NONE);
        self.each
    }

    /// Takes back what a session has not used. It is passed over if it is of another hour, or of an address that is not
    /// known.
    pub fn give_back(&mut self, address: Address, rest: Work, now: Timestamp) {
        self.enter(now);
        if let Some(left) = self.left.get_mut(&address) {
            *left = left.plus(rest).min(self.each);
        }
    }

    /// Gives no more until then, or an hour from now: the ceiling is reached.
    pub fn shut(&mut self, until: Timestamp, now: Timestamp) {
        self.enter(now);
        self.shut_until = until.min(now.plus(3_600));
    }

    /// A clock that jumps back does not begin the hour anew: it lasts until the clock has gone on for an hour at most.
    fn enter(&mut self, now: Timestamp) {
        if now.hour() > self.hour {
            self.left.clear();
        }
        self.hour = now.hour();
        self.shut_until = self.shut_until.min(now.plus(3_600));
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;

    const EACH: Work = Work { bytes: 10, ..Work::UNLIMITED };

    fn address(last: u8) -> Address {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)).into()
    }

    #[test]
    fn an_address_gets_it_once_an_hour_and_again_what_it_did_not_use() {
        let (mut all, now) = (Allowances::new(EACH, 8), Timestamp(36_000));
        assert_eq!(all.take(address(1), now), EACH);
        assert_eq!(all.take(address(1), now), Work::NONE);
        let rest = Work { bytes: 4, ..Work::UNLIMITED };
        all.give_back(address(1), rest, now);
        assert_eq!(all.take(address(1), now), rest);
        assert_eq!(all.take(address(1), now.plus(3_600)), EACH);
        // Nobody gets two by giving back what is of the hour before.
        all.give_back(address(1), rest, now.plus(3_600));
        all.give_back(address(1), EACH, now.plus(3_600));
        assert_eq!(all.take(address(1), now.plus(3_600)), EACH);
    }

    #[test]
    fn there_are_only_so_many_and_none_at_the_ceiling() {
        let (mut all, now) = (Allowances::new(EACH, 2), Timestamp(36_000));
        assert_eq!([1, 2, 3].map(|last| all.take(address(last), now).bytes), [10, 10, 0]);
        let later = now.plus(3_600);
        all.shut(later.plus(100_000), later);
        assert_eq!(all.take(address(4), later), Work::NONE);
        assert_eq!(all.take(address(4), later.plus(3_600)), EACH);
    }

    #[test]
    fn a_clock_that_jumps_back_gives_no_second_one_and_shuts_nobody_out_for_good() {
        let (mut all, late) = (Allowances::new(EACH, 8), Timestamp(1_000_000_000));
        assert_eq!(all.take(address(1), late), EACH);
        all.shut(late.plus(10), late);
        let early = Timestamp(36_000);
        assert_eq!(all.take(address(1), early), Work::NONE);
        assert_eq!(all.take(address(1), early.plus(3_600)), EACH);
    }
}
