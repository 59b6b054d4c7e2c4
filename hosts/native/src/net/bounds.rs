//! What all connections together may hold: bytes not sent yet, and messages not received whole.
//!
//! A peer may have 1 MiB unsent while others hold little. The more is held in all, the less each may add, down to
//! 64 KiB, so that peers that do not read cannot use up what the others need. The documented bound is
//! [`MAX_UNSENT`], and 64 KiB or one block for each connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be unsent to all peers together before each is held to its least.
pub const MAX_UNSENT: usize = 256 * 1024 * 1024;

/// Bytes that may be unsent to one peer.
pub const MAX_ALLOWANCE: usize = 1024 * 1024;

/// Bytes that may be unsent to one peer, whatever the others hold.
pub const MIN_ALLOWANCE: usize = 64 * 1024;

/// Bytes of unfinished messages of all peers together; the connection that would exceed it is closed.
pub const MAX_UNFINISHED: usize = 256 * 1024 * 1024;

/// The share of what is left that one peer may take.
const SHARE: usize = 8;

/// The sums over all connections of a process.
#[derive(Debug, Default)]
pub struct Bounds {
    unsent: AtomicUsize,
    unfinished: AtomicUsize,
}

impl Bounds {
    /// How many bytes one peer may have unsent now.
    fn allowance(&self) -> usize {
        let left = MAX_UNSENT.saturating_sub(self.unsent.load(Ordering::Relaxed));
        (left / SHARE).clamp(MIN_ALLOWANCE, MAX_ALLOWANCE)
    }
}

/// One connection's part of the sums; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    bounds: Arc<Bounds>,
    unsent: usize,
    unfinished: usize,
}

impl Held {
    /// A connection that holds nothing.
    pub fn new(bounds: Arc<Bounds>) -> Self {
        Self { bounds, unsent: 0, unfinished: 0 }
    }

    /// Notes what the connection holds now. `false` if it must be closed.
    pub fn update(&mut self, unsent: usize, unfinished: usize) -> bool {
        change(&self.bounds.unsent, &mut self.unsent, unsent);
        let grew = unfinished > self.unfinished;
        let sum = change(&self.bounds.unfinished, &mut self.unfinished, unfinished);
        !grew || sum <= MAX_UNFINISHED
    }

    /// How many bytes the connection may have unsent now.
    pub fn allowance(&self) -> usize {
        self.bounds.allowance()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.update(0, 0);
    }
}

/// Replaces one connection's part of a sum, and gives the sum.
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

    #[test]
    fn the_more_is_held_the_less_each_may_add_and_never_nothing() {
        let bounds = Arc::new(Bounds::default());
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
    fn the_message_that_is_too_much_closes_its_own_connection_only() {
        let bounds = Arc::new(Bounds::default());
        let (mut first, mut second) = (Held::new(bounds.clone()), Held::new(bounds));
        assert!(first.update(0, MAX_UNFINISHED));
        assert!(second.update(5, 0));
        assert!(first.update(5, MAX_UNFINISHED));
        assert!(!second.update(0, 1));
    }
}
