//! How large a gap is read over rather than spend another request.
//!
//! A CAR has a *credit* of requests for wants that lie far apart. Each request takes one off it, and every so many wants
//! that were served give one back. So a queue that is emptied by and by takes no more requests than one that was read at
//! a stroke, and one that is filled by and by no more than one that was full at once: it is all that was wanted of the
//! CAR that counts, and not how much of it is in the queue just now.

use super::{Place, Plan};

/// One request for so many wants is few enough, beside the credit.
const WANTS_A_REQUEST: i64 = 16;

/// So many CARs' credits are known; one that was not read for long begins anew.
const CARS: usize = 8;

/// The credit of one CAR.
#[derive(Debug)]
pub(super) struct Credit {
    car: u32,
    /// In wants, of which [`WANTS_A_REQUEST`] are a request. Below zero only by what open runs have not served yet.
    left: i64,
}

impl Plan {
    /// The gap to be read over in this CAR: the least, between [`gap`](super::Tuning::gap) and
    /// [`max_gap`](super::Tuning::max_gap), by which its queue takes no more requests than it should.
    pub(super) fn gap_in(&self, car: u32) -> u64 {
        let wants = self.wants.range(Place { car, offset: 0 }..=Place { car, offset: u64::MAX });
        let mut end = None;
        let mut count: i64 = 0;
        let mut gaps = Vec::new();
        for (place, wanted) in wants {
            count += 1;
            let gap = end.map_or(0, |end| place.offset.saturating_sub(end));
            if gap > self.tuning.gap {
                gaps.push(gap);
            }
            end = end.max(Some(wanted.end));
        }
        let credit =
            self.credits.iter().find(|credit| credit.car == car).map_or(self.full_credit(), |credit| credit.left);
        let requests = (credit.saturating_add(count) / WANTS_A_REQUEST).max(1) as usize;
        if gaps.len() < requests {
            return self.tuning.gap;
        }
        // All but the largest gaps are read over, and a queue with one gap less than requests takes just these.
        let place = gaps.len() - requests;
        let (_, gap, _) = gaps.select_nth_unstable(place);
        (*gap).min(self.tuning.max_gap)
    }

    fn full_credit(&self) -> i64 {
        i64::try_from(self.tuning.requests).unwrap_or(i64::MAX).saturating_mul(WANTS_A_REQUEST)
    }

    /// A request was made.
    pub(super) fn charge_request(&mut self, car: u32) {
        let mut credit = match self.credits.iter().position(|credit| credit.car == car) {
            Some(place) => self.credits.remove(place),
            None => Credit { car, left: self.full_credit() },
        };
        credit.left = (credit.left - WANTS_A_REQUEST).max(-(super::TRAILS as i64) * WANTS_A_REQUEST);
        if self.credits.len() == CARS {
            self.credits.remove(0);
        }
        self.credits.push(credit);
    }

    /// A want was served.
    pub(super) fn refund_want(&mut self, car: u32) {
        let full = self.full_credit();
        if let Some(credit) = self.credits.iter_mut().find(|credit| credit.car == car) {
            credit.left = credit.left.saturating_add(1).min(full);
        }
    }
}
