//! The threads that keep a catalog up to date while it is served.
//!
//! One looks at the paths every so often, and at once when a reader stumbles over a change; it reads no CAR. A few
//! index what it finds, and one compares other programs' indexes with their CARs, so that neither waits for the other.
//! What they do is in [`super::refresh`].

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Catalog;
use super::queue::Queue;
use super::refresh::Task;

/// At most this share of one core goes into looking at paths.
const MAX_SHARE: u32 = 20;
/// CARs that are indexed at a time: one that is long takes one thread.
const INDEXERS: usize = 3;

/// Wakes the watching thread.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<AlarmState>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct AlarmState {
    changed: bool,
    stopped: bool,
}

impl Alarm {
    /// Something has changed: look now.
    pub(crate) fn ring(&self) {
        self.state.lock().changed = true;
        self.rung.notify_all();
    }

    fn stop(&self) {
        self.state.lock().stopped = true;
        self.rung.notify_all();
    }

    /// Waits for the time or a ring; false when it is time to end. Rings are heard only after the first tenth of the
    /// time.
    fn wait(&self, time: Duration) -> bool {
        let start = Instant::now();
        let mut state = self.state.lock();
        loop {
            let passed = start.elapsed();
            let due = if state.changed { time / 10 } else { time };
            if state.stopped {
                return false;
            }
            if passed >= due {
                state.changed = false;
                return true;
            }
            self.rung.wait_for(&mut state, due - passed);
        }
    }
}

/// The threads that keep a catalog up to date.
#[derive(Debug)]
pub struct Watcher {
    catalog: Arc<Catalog>,
    queues: Arc<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    index: Queue,
    examine: Queue,
}

impl Watcher {
    /// Looks at the paths now and then every `interval`, or less often if a look takes long.
    ///
    /// # Errors
    /// The system has no threads for it.
    pub fn start(catalog: Arc<Catalog>, interval: Duration) -> io::Result<Self> {
        let watcher = Self { catalog, queues: Arc::default() };
        let started = watcher.spawn_all(interval);
        if started.is_err() {
            watcher.end();
        }
        started.map(|()| watcher)
    }

    fn spawn_all(&self, interval: Duration) -> io::Result<()> {
        for _ in 0..INDEXERS {
            self.spawn("index", |catalog, queues| work(catalog, &queues.index))?;
        }
        self.spawn("examine", |catalog, queues| work(catalog, &queues.examine))?;
        self.spawn("watch", move |catalog, queues| watch(catalog, queues, interval))
    }

    fn spawn(&self, name: &str, run: impl FnOnce(&Catalog, &Queues) + Send + 'static) -> io::Result<()> {
        let (catalog, queues) = (self.catalog.clone(), self.queues.clone());
        thread::Builder::new().name(name.into()).spawn(move || run(&catalog, &queues)).map(drop)
    }

    /// Ends the threads. An index that is being built is not waited for.
    pub fn stop(self) {
        self.end();
    }

    fn end(&self) {
        self.catalog.alarm.stop();
        self.queues.index.close();
        self.queues.examine.close();
    }
}

fn watch(catalog: &Catalog, queues: &Queues, interval: Duration) {
    catalog.sweep();
    loop {
        let start = Instant::now();
        for job in catalog.look() {
            match job.task {
                Task::Index { .. } => queues.index.push(job),
                Task::Examine => queues.examine.push(job),
            }
        }
        if !catalog.alarm.wait(interval.max(start.elapsed() * MAX_SHARE)) {
            return;
        }
    }
}

fn work(catalog: &Catalog, queue: &Queue) {
    while let Some(job) = queue.next() {
        catalog.run(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_shortens_the_wait_and_a_stop_ends_it() {
        let alarm = Alarm::default();
        alarm.ring();
        let start = Instant::now();
        assert!(alarm.wait(Duration::from_secs(1)));
        let rung = start.elapsed();
        assert!(rung >= Duration::from_millis(100) && rung < Duration::from_millis(900), "{rung:?}");
        assert!(alarm.wait(Duration::from_millis(5)));
        alarm.stop();
        assert!(!alarm.wait(Duration::from_secs(60)));
    }
}
