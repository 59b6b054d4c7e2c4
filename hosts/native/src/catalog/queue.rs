//! CARs that wait to be indexed, and the threads that take them.
//!
//! The shortest goes first: one that takes minutes keeps nobody else waiting, not even behind others of its size, as
//! long as small ones are soon done.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use parking_lot::{Condvar, Mutex};

use super::refresh::Job;

/// Jobs for any number of threads.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: BinaryHeap<Reverse<BySize>>,
    closed: bool,
}

#[derive(Debug)]
struct BySize(Job);

impl Queue {
    /// Lets a job be done. A closed queue drops it.
    pub(crate) fn push(&self, job: Job) {
        let mut state = self.state.lock();
        if !state.closed {
            state.jobs.push(Reverse(BySize(job)));
            self.changed.notify_one();
        }
    }

    /// The next job, once there is one. `None`: the queue is closed.
    pub(crate) fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(Reverse(BySize(job))) = state.jobs.pop() {
                return Some(job);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Sends every thread home that asks for a job.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.jobs.clear();
        self.changed.notify_all();
    }
}

impl Ord for BySize {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.stamp.size.cmp(&other.0.stamp.size)
    }
}

impl PartialOrd for BySize {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for BySize {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for BySize {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::refresh::Task;
    use super::super::stamp::Stamp;
    use super::*;

    fn job(size: u64) -> Job {
        let stamp = Stamp { dev: 1, ino: size, size, mtime: (0, 0), ctime: (0, 0) };
        Job { path: format!("{size}.car").into(), stamp, old: None, task: Task::Index { trust_others: true } }
    }

    #[test]
    fn the_shortest_goes_first_and_closing_sends_everybody_home() {
        let queue = Arc::new(Queue::default());
        for size in [500, 3, 20] {
            queue.push(job(size));
        }
        let next = || queue.next().map(|job| job.stamp.size);
        assert_eq!([next(), next(), next()], [Some(3), Some(20), Some(500)]);
        let waiting = std::thread::spawn({
            let queue = queue.clone();
            move || queue.next().is_none()
        });
        queue.close();
        assert!(waiting.join().expect("ended"));
        queue.push(job(1));
        assert!(queue.next().is_none());
    }
}
