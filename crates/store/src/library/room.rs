//! Memory that all readers share: what is in it counts for as long as anybody holds it, in a cache or not.
//!
//! Whoever finds none waits for others to let go of theirs, and holds nothing of the kind meanwhile. Nobody is woken: in
//! a Worker those who hold and those who wait may belong to different requests, and neither may run the other's code. So
//! one who waits looks again after a while, by its own timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long one who found no room waits before it looks again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// So many bytes, or wants, and no more.
#[derive(Debug)]
pub(crate) struct Pool {
    used: AtomicUsize,
    limit: usize,
}

/// A part of a [`Pool`], given back on drop.
#[derive(Debug)]
pub(crate) struct Room {
    pool: Arc<Pool>,
    size: usize,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Nothing of it yet.
    pub(crate) fn room(self: &Arc<Self>) -> Room {
        Room { pool: Arc::clone(self), size: 0 }
    }
}

impl Room {
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Makes it so large, and says whether there is so much.
    pub(crate) fn resize(&mut self, size: usize) -> bool {
        let limit = self.pool.limit;
        self.resize_if(size, |_, all| all <= limit)
    }

    /// The same; and one may have as much as it needs where nobody else has anything, or else what needs more than there
    /// is would never be done.
    pub(crate) fn resize_or_alone(&mut self, size: usize) -> bool {
        let limit = self.pool.limit;
        self.resize_if(size, |others, all| others == 0 || all <= limit)
    }

    /// The same for no more than half of what the others left, so that there is always something for the next one.
    pub(crate) fn resize_to_share(&mut self, size: usize) -> bool {
        let limit = self.pool.limit;
        self.resize_if(size, |others, _| size <= limit.saturating_sub(others) / 2)
    }

    /// `may` is told what others have, and what all will have. Becoming smaller needs no leave.
    fn resize_if(&mut self, size: usize, may: impl Fn(usize, usize) -> bool) -> bool {
        let own = self.size;
        let changed = self.pool.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            // Every room's part is in there.
            let others = used - own;
            let all = others.checked_add(size)?;
            (size <= own || may(others, all)).then_some(all)
        });
        if changed.is_ok() {
            self.size = size;
        }
        changed.is_ok()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_within_the_limit_and_comes_back_on_drop() {
        let pool = Pool::new(10);
        let (mut one, mut two) = (pool.room(), pool.room());
        assert!(one.resize(6) && !two.resize(5) && two.resize(4) && !one.resize(7));
        assert!(one.resize(2) && two.resize(8));
        drop(two);
        assert_eq!((pool.used(), one.size()), (2, 2));
    }

    #[test]
    fn one_who_is_alone_may_have_what_it_needs_and_the_others_wait() {
        let pool = Pool::new(10);
        let (mut one, mut two) = (pool.room(), pool.room());
        assert!(one.resize_or_alone(100) && !two.resize_or_alone(1));
        assert!(one.resize_or_alone(5) && two.resize_or_alone(5) && !two.resize_or_alone(6));
    }

    #[test]
    fn a_share_leaves_something_for_the_next_one() {
        let pool = Pool::new(1000);
        let mut rooms = Vec::new();
        for most in [500, 250, 125, 62, 31] {
            let mut room = pool.room();
            assert!(!room.resize_to_share(most + 1));
            assert!(room.resize_to_share(most));
            rooms.push(room);
        }
        assert!(rooms[0].resize_to_share(10), "less is always granted");
    }
}
