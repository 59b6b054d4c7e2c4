//! Keeping up with files that change under a running server: what a look at the paths finds to do, and doing it.
//!
//! A file that is new or changed is indexed when two looks in a row saw it the same, so that a CAR that is still being
//! copied is not read over and over. Until then its old index serves, with nothing remembered as checked: what
//! matches its hash is sent, and what does not is not known. What is gone is forgotten in the look itself; what takes
//! time is a [`Job`], so that nothing waits for it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use indicatif::ProgressBar;
use parking_lot::Mutex;

use super::car::Car;
use super::load::Examined;
use super::stamp::Stamp;
use super::{Catalog, discover};

/// Something to be done about a CAR that takes reading it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) path: PathBuf,
    /// As it was seen
    pub(crate) stamp: Stamp,
    /// As it is served until that is done
    pub(crate) old: Option<Arc<Car>>,
    pub(crate) task: Task,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Make an index, or find one
    Index {
        /// Whether another program's will do
        trust_others: bool,
    },
    /// Compare another program's index with the section heads
    Examine,
}

/// What one look leaves for the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Files seen changed, and how
    changing: HashMap<PathBuf, Stamp>,
    /// Files with a job that is not done, as they were seen
    busy: HashMap<PathBuf, Stamp>,
    /// Files and folders that the last look could not look at
    unseen: Vec<(PathBuf, io::Error)>,
    /// CARs whose job failed
    failed: HashMap<PathBuf, io::Error>,
    /// Paths whose unreadability was logged
    logged: HashSet<PathBuf>,
}

impl Memory {
    /// Takes over what the first look and its jobs could not read.
    pub(super) fn note_start(&mut self, unseen: Vec<(PathBuf, io::Error)>, failed: Vec<(PathBuf, io::Error)>) {
        self.unseen = unseen;
        self.failed = failed.into_iter().collect();
    }

    fn unreadable(&self) -> impl Iterator<Item = (&PathBuf, &io::Error)> {
        self.unseen.iter().map(|(path, error)| (path, error)).chain(&self.failed)
    }

    /// Logs what cannot be read, each path once until it can be read again.
    fn log_unreadable(&mut self) {
        for (path, error) in self.unreadable() {
            if !self.logged.contains(path) {
                let path = path.display();
                tracing::error!(%path, %error, "cannot be read: until it can, nobody is told DONT_HAVE");
            }
        }
        self.logged = self.unreadable().map(|(path, _)| path.clone()).collect();
    }
}

impl Catalog {
    /// Looks at the paths once and brings the catalog up to date: all that is found to do is done when this returns.
    /// The [`Watcher`](super::Watcher) does the same and waits for nothing.
    pub fn refresh(&self) {
        let jobs = Mutex::new(self.look().into_iter());
        let work = || {
            loop {
                let Some(job) = jobs.lock().next() else { return };
                self.run(job);
            }
        };
        thread::scope(|scope| {
            for _ in 1..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
            work();
        });
    }

    /// Looks at the paths, forgets what is gone, and says what else there is to do. Nothing has two jobs at a time.
    pub(super) fn look(&self) -> Vec<Job> {
        let mut memory = self.memory.lock();
        let mut listing = discover::list(&self.options.paths);
        let mut served: HashMap<PathBuf, Arc<Car>> =
            self.state.cars().into_iter().map(|car| (car.path.clone(), car)).collect();
        let mut jobs = Vec::new();
        let mut changing = HashMap::new();
        let now = SystemTime::now();
        let mut failed = std::mem::take(&mut memory.failed);

        for (path, stamp) in std::mem::take(&mut listing.cars) {
            let old = served.remove(&path);
            if let Some(failure) = failed.remove_entry(&path) {
                memory.failed.extend([failure]);
            }
            if memory.busy.contains_key(&path) {
                continue;
            }
            let task = match &old {
                Some(car) if car.summary.stamp == stamp => match another_look(car, now) {
                    Some(task) => task,
                    None => continue,
                },
                _ if memory.changing.get(&path) == Some(&stamp) || memory.logged.contains(&path) => {
                    Task::Index { trust_others: true }
                }
                _ => {
                    changing.insert(path, stamp);
                    continue;
                }
            };
            memory.busy.insert(path.clone(), stamp);
            jobs.push(Job { path, stamp, old, task });
        }
        // A file that was moved is still there, and is served from where it was until it is indexed anew.
        let moved = |car: &Car| {
            changing.values().chain(memory.busy.values()).any(|stamp| stamp.is_of_same_file(&car.summary.stamp))
        };
        for (path, car) in served {
            if !listing.is_unsure_of(&path) && !moved(&car) {
                tracing::info!(path = %path.display(), "CAR gone");
                self.forget(&car);
                if let Some(folder) = &self.folder {
                    folder.remove(&path);
                }
            }
        }
        memory.changing = changing;
        memory.unseen = listing.unreadable;
        self.note(&mut memory);
        self.pool.trim();
        jobs
    }

    /// Does a job. It may take as long as reading the whole CAR.
    pub(super) fn run(&self, job: Job) {
        let done = match job.task {
            Task::Index { trust_others } => self.index(&job, trust_others),
            Task::Examine => self.examine(&job),
        };
        let mut memory = self.memory.lock();
        memory.busy.remove(&job.path);
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                memory.failed.insert(job.path, error);
                self.certainty.raise_doubt();
            }
            _ => drop(memory.failed.remove(&job.path)),
        }
        if memory.busy.is_empty() {
            self.note(&mut memory);
        }
    }

    fn index(&self, job: &Job, trust_others: bool) -> io::Result<()> {
        let car = self.loader(&ProgressBar::hidden()).load(&job.path, trust_others)?;
        let what = if job.old.is_some() { "indexed again" } else { "added" };
        tracing::info!(path = %job.path.display(), blocks = car.index.len(), "CAR {what}");
        self.serve(Arc::new(car), job.old.as_deref());
        Ok(())
    }

    fn examine(&self, job: &Job) -> io::Result<()> {
        let Some(old) = job.old.as_deref().filter(|old| !old.is_retired()) else { return Ok(()) };
        let path = job.path.display();
        match self.loader(&ProgressBar::hidden()).examine(old)? {
            Examined::Confirmed => {
                tracing::info!(%path, "the index that came with the CAR is right");
                old.confirm();
            }
            Examined::Replaced(car) => {
                let (had, blocks) = (old.index.len(), car.index.len());
                tracing::info!(%path, had, blocks, "the index that came with the CAR is replaced");
                self.serve(car, Some(old));
            }
        }
        Ok(())
    }

    /// Serves a CAR, then lets go of what it was before.
    fn serve(&self, car: Arc<Car>, old: Option<&Car>) {
        let may_hide_blocks = car.may_hide_blocks();
        self.state.insert(car);
        // While the old one is still there, so that nothing that was found is missing meanwhile.
        if may_hide_blocks {
            self.certainty.raise_doubt();
        }
        if let Some(old) = old {
            self.forget(old);
        }
    }

    fn forget(&self, car: &Car) {
        self.state.remove(car);
        car.retire();
        self.files.close(car);
    }

    /// Takes note of what cannot be read, and brings certainty and the gauges up to date.
    pub(super) fn note(&self, memory: &mut Memory) {
        memory.log_unreadable();
        let unreadable = memory.unreadable().count();
        // All that is served by then: of a CAR that comes later the doubt is raised later.
        self.certainty.weigh(|| unreadable > 0 || self.state.cars().iter().any(|car| car.may_hide_blocks()));
        let cars = self.state.cars();
        let gauges = &self.metrics.catalog;
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        gauges.cars.set(count(cars.len()));
        gauges.records.set(count(cars.iter().map(|car| car.index.len()).sum()));
        gauges.damaged_cars.set(count(cars.iter().filter(|car| car.summary.fault.is_some()).count()));
        gauges.unreadable.set(count(unreadable));
    }
}

/// What is to be done about a CAR though its stamp is the same. Another program's index is compared as soon as a later
/// change of the file would show, or at once when it was caught out. Our own is made again if it was made so soon
/// after the file changed that a later change would not show.
fn another_look(car: &Car, now: SystemTime) -> Option<Task> {
    let is_settled = car.summary.stamp.is_settled(now);
    if !car.is_confirmed() {
        (is_settled || car.is_doubted()).then_some(Task::Examine)
    } else {
        (is_settled && !car.was_settled).then_some(Task::Index { trust_others: false })
    }
}
