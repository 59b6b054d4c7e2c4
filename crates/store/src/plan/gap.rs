//! How large a gap is read over rather than spend another request.

use super::{Place, Plan};

/// With very many wants, one request for so many is few enough.
const WANTS_A_REQUEST: usize = 10;

impl Plan {
    /// The gap to be read over in this CAR: the least, between [`gap`](super::Tuning::gap) and
    /// [`max_gap`](super::Tuning::max_gap), by which its queue takes no more requests than it should.
    pub(super) fn gap_in(&self, car: u32) -> u64 {
        let wants = self.wants.range(Place { car, offset: 0 }..=Place { car, offset: u64::MAX });
        let mut end = None;
        let mut count = 0;
        let mut gaps = Vec::new();
        for (place, wanted) in wants {
            count += 1;
            let gap = end.map_or(0, |end| place.offset.saturating_sub(end));
            if gap > self.tuning.gap {
                gaps.push(gap);
            }
            end = end.max(Some(wanted.end));
        }
        let requests = self.tuning.requests.max(count / WANTS_A_REQUEST).max(1);
        if gaps.len() < requests {
            return self.tuning.gap;
        }
        // All but the largest gaps are read over, and a queue with one gap less than requests takes just these.
        let place = gaps.len() - requests;
        let (_, gap, _) = gaps.select_nth_unstable(place);
        (*gap).min(self.tuning.max_gap)
    }
}
