//! Whether what is not found is definitely not here.
//!
//! Doubt is raised at once and by anybody; it goes when all that is served was looked over and gave no reason for it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// One answer for the whole catalog: a block that one CAR hides could be any block.
#[derive(Debug, Default)]
pub(crate) struct Certainty {
    unsure: AtomicBool,
    /// How often doubt was raised, so that none is lost that comes while it is weighed
    raised: Mutex<u64>,
}

impl Certainty {
    /// Whether no miss is definite now.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure.load(Ordering::Acquire)
    }

    /// From now on no miss is definite.
    pub(crate) fn raise_doubt(&self) {
        let mut raised = self.raised.lock();
        *raised += 1;
        self.unsure.store(true, Ordering::Release);
    }

    /// Finds out anew from `is_reason`, which looks at all there is. Doubt that is raised meanwhile stands.
    pub(crate) fn weigh(&self, is_reason: impl FnOnce() -> bool) {
        let before = *self.raised.lock();
        let unsure = is_reason();
        let raised = self.raised.lock();
        if unsure || *raised == before {
            self.unsure.store(unsure, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_raised_while_it_is_weighed_is_not_lost() {
        let certainty = Certainty::default();
        assert!(!certainty.is_unsure());
        certainty.raise_doubt();
        certainty.weigh(|| false);
        assert!(!certainty.is_unsure());
        certainty.weigh(|| {
            certainty.raise_doubt();
            false
        });
        assert!(certainty.is_unsure());
        certainty.weigh(|| true);
        assert!(certainty.is_unsure());
    }
}
