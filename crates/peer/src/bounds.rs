//! What all sessions of a host together may hold: bytes not sent yet, and messages not received whole.
//!
//! A peer may have [`MAX_ALLOWANCE`] unsent while others hold little. The more is held in all, the less each may add, down to
//! [`MIN_ALLOWANCE`], so that peers that do not read cannot use up what the others need. What is held in all is at most the
//! host's bound, and [`MIN_ALLOWANCE`] or one block for each session.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be unsent to one peer, at most.
pub const MAX_ALLOWANCE: usize = 1024 * 1024;

/// Bytes that may be unsent to one peer, whatever the others hold.
pub const MIN_ALLOWANCE: usize = 64 * 1024;

/// The share of what is left that one peer may take.
const SHARE: usize = 8;

/// The sums over all sessions of a host, and their bounds.
#[derive(Debug)]
pub struct Bounds {
    max_unsent: usize,
    max_unfinished: usize,
    unsent: AtomicUsize,
    unfinished: AtomicUsize,
}

impl Bounds {
    /// Bounds in bytes: what may be unsent to all peers before each is held to its least, and the sum of all messages that
    /// are not received whole.
    pub fn new(max_unsent: usize, max_unfinished: usize) -> Self {
        Self { max_unsent, max_unfinished, unsent: AtomicUsize::new(0), unfinished: AtomicUsize::new(0) }
    }

    /// How many bytes one peer may have unsent now.
    fn allowance(&self) -> usize {
        let left = self.max_unsent.saturating_sub(self.unsent.load(Ordering::Relaxed));
        (left / SHARE).clamp(MIN_ALLOWANCE, MAX_ALLOWANCE)
    }
}

/// One session's part of the sums; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    bounds: Arc<Bounds>,
    unsent: usize,
    unfinished: usize,
}

impl Held {
    /// A session that holds nothing.
    pub fn new(bounds: Arc<Bounds>) -> Self {
        Self { bounds, unsent: 0, unfinished: 0 }
    }

    /// Notes what the session holds now, in bytes. `false` if it must be closed: it has begun messages that are too much.
    pub fn update(&mut self, unsent: usize, unfinished: usize) -> bool {
        change(&self.bounds.unsent, &mut self.unsent, unsent);
        let grew = unfinished > self.unfinished;
        let sum = change(&self.bounds.unfinished, &mut self.unfinished, unfinished);
        !grew || sum <= self.bounds.max_unfinished
    }

    /// How many bytes may be unsent to its peer now.
    pub fn allowance(&self) -> usize {
        self.bounds.allowance()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.update(0, 0);
    }
}

/// Replaces one session's part of a sum, and gives the sum.
fn change(sum: &AtomicUsize, part: &mut usize, new: usize) -> usize {
    let old = std::mem::replace(part, new);
    if old == new {
        return sum.load(Ordering::Relaxed);
    }
    // Parts come and go on many threads; together they never go below zero, so wrapping is exact.
    sum.fetch_add(new.wrapping_sub(old), Ordering::Relaxed).wrapping_add(new.wrapping_sub(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_UNSENT: usize = 256 * 1024 * 1024;
    const MAX_UNFINISHED: usize = 256 * 1024 * 1024;

    #[test]
    fn the_more_is_held_the_less_each_may_add_and_never_nothing() {
        let bounds = Arc::new(Bounds::new(MAX_UNSENT, 0));
        let mut all: Vec<Held> = (0..2000).map(|_| Held::new(bounds.clone())).collect();
        assert_eq!(all[0].allowance(), MAX_ALLOWANCE);
        for held in &mut all {
            let allowance = held.allowance();
            assert!(held.update(allowance, 0));
        }
        assert_eq!(all[0].allowance(), MIN_ALLOWANCE);
        assert!(bounds.unsent.load(Ordering::Relaxed) <= MAX_UNSENT + 2000 * MIN_ALLOWANCE);
        drop(all);
        assert_eq!(bounds.unsent.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_message_that_is_too_much_closes_its_own_session_only() {
        let bounds = Arc::new(Bounds::new(MAX_UNSENT, MAX_UNFINISHED));
        let (mut first, mut second) = (Held::new(bounds.clone()), Held::new(bounds));
        assert!(first.update(0, MAX_UNFINISHED));
        assert!(second.update(5, 0));
        assert!(first.update(5, MAX_UNFINISHED));
        assert!(!second.update(0, 1));
    }
}
