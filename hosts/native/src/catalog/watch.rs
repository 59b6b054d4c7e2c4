//! Keeping up with files that change under a running server.
//!
//! The paths are looked at every so often, and at once when a reader stumbles over a change. A file that is new or
//! changed is indexed when two looks in a row saw it the same, so that a CAR that is still being copied is not
//! scanned over and over. Until then its old index serves, with nothing remembered as checked: what matches its hash
//! is sent, and what does not is not known.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use indicatif::ProgressBar;
use parking_lot::{Condvar, Mutex};

use super::car::Car;
use super::stamp::Stamp;
use super::{Catalog, discover};

/// At most this share of one core goes into looking at paths.
const MAX_SHARE: u32 = 20;

/// What one look leaves for the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Files seen changed, and how
    changing: HashMap<PathBuf, Stamp>,
    /// Paths whose unreadability was logged
    unreadable: HashSet<PathBuf>,
}

impl Memory {
    /// Logs what cannot be read, each path once until it can be read again.
    pub(crate) fn note_unreadable(&mut self, unreadable: &[(PathBuf, io::Error)]) {
        for (path, error) in unreadable {
            if !self.unreadable.contains(path) {
                let path = path.display();
                tracing::error!(%path, %error, "cannot be read: until it can, nobody is told DONT_HAVE");
            }
        }
        self.unreadable = unreadable.iter().map(|(path, _)| path.clone()).collect();
    }
}

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

/// The thread that keeps a catalog up to date.
#[derive(Debug)]
pub struct Watcher {
    catalog: Arc<Catalog>,
    thread: thread::JoinHandle<()>,
}

impl Watcher {
    /// Looks at the paths every `interval`, or less often if a look takes long.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(catalog: Arc<Catalog>, interval: Duration) -> io::Result<Self> {
        let watched = catalog.clone();
        let thread = thread::Builder::new().name("watch".into()).spawn(move || {
            let mut time = interval;
            while watched.alarm.wait(time) {
                let start = Instant::now();
                watched.refresh();
                time = interval.max(start.elapsed() * MAX_SHARE);
            }
        })?;
        Ok(Self { catalog, thread })
    }

    /// Ends the thread. An index that is being built is not waited for.
    pub fn stop(self) {
        self.catalog.alarm.stop();
        drop(self.thread);
    }
}

impl Catalog {
    /// Looks at the paths once and brings the catalog up to date. The [`Watcher`] calls it.
    pub fn refresh(&self) {
        let mut memory = self.watch.lock();
        let mut listing = discover::list(&self.options.paths);
        let mut served: HashMap<PathBuf, Arc<Car>> =
            self.state.cars().into_iter().map(|car| (car.path.clone(), car)).collect();
        let mut changing = HashMap::new();
        let now = SystemTime::now();

        for (path, stamp) in std::mem::take(&mut listing.cars) {
            let old = served.remove(&path);
            let unchanged = old.as_ref().filter(|car| car.summary.stamp == stamp);
            if unchanged.is_some_and(|car| !needs_another_look(car, &stamp, now)) {
                continue;
            }
            let seen_so_before = memory.changing.get(&path) == Some(&stamp) || memory.unreadable.contains(&path);
            if unchanged.is_none() && !seen_so_before {
                changing.insert(path, stamp);
                continue;
            }
            if let Err(error) = self.replace(old.as_deref(), &path)
                && error.kind() != io::ErrorKind::NotFound
            {
                listing.unreadable.push((path, error));
            }
        }
        // A file that was moved is still there, and is served from where it was until it is indexed anew.
        let moved = |car: &Car| changing.values().any(|stamp| stamp.is_of_same_file(&car.summary.stamp));
        for (path, car) in served {
            if !listing.is_unsure_of(&path) && !moved(&car) {
                tracing::info!(path = %path.display(), "CAR gone");
                self.forget(&car);
                self.drop_stored(&path);
            }
        }
        memory.changing = changing;
        self.note(&mut memory, &listing.unreadable);
        self.pool.trim();
    }

    /// Serves a file anew, then lets go of what it was before.
    fn replace(&self, old: Option<&Car>, path: &Path) -> io::Result<()> {
        let trust_others = !old.is_some_and(Car::is_doubted);
        let car = self.loader(&ProgressBar::hidden()).load(path, trust_others)?;
        let what = if old.is_some() { "indexed again" } else { "added" };
        tracing::info!(path = %path.display(), blocks = car.index.len(), "CAR {what}");
        self.state.insert(Arc::new(car));
        if let Some(old) = old {
            self.forget(old);
        }
        Ok(())
    }
}

/// Whether a file is to be indexed again though its stamp is the same: its index was caught out, or was made so soon
/// after the file changed that a later change would not show.
fn needs_another_look(car: &Car, stamp: &Stamp, now: SystemTime) -> bool {
    car.is_doubted() || (!car.was_settled && stamp.is_settled(now))
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
