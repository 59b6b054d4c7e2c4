//! The catalog: which blocks the given CAR files hold, and their bytes, checked.
//!
//! CARs are served where they lie and never copied. For each, an index over its sections is held in memory (about 40
//! bytes a block), and one hash table over all of them (about 12 bytes a block) answers whether a block is here and
//! where.
//!
//! What it promises:
//! - No byte leaves that was not hashed against its multihash, in private memory, since the file last changed.
//! - [`Found::Missing`] is definite: the block is in no CAR. What could not be found out is [`Found::Unknown`], and while
//!   a CAR may hold blocks that are not in its index, so is all that is not found.
//! - Files may be added, replaced, truncated or removed at any time. Nothing is mapped into memory, so no signal can
//!   come of it.
//!
//! Functions here block on the disk: call them from threads that may.

mod bitmap;
mod car;
mod certainty;
pub(crate) mod discover;
pub(crate) mod files;
pub(crate) mod foreign;
mod index_file;
mod load;
mod pass;
mod pool;
mod queue;
mod read;
mod refresh;
mod refusal;
pub(crate) mod stamp;
mod state;
mod survey;
mod table;
mod watch;
mod window;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use bytes::Bytes;
use indicatif::ProgressBar;
use multihash::Multihash;
use parking_lot::Mutex;

use crate::metrics::Metrics;

use self::certainty::Certainty;
use self::files::Files;
use self::index_file::IndexFolder;
use self::load::Loader;
use self::pool::Pool;
use self::state::State;

pub use self::watch::Watcher;

/// How a catalog is to be made.
#[derive(Debug, Clone, Default)]
pub struct CatalogOptions {
    /// CAR files, and folders that are searched for `*.car`
    pub paths: Vec<PathBuf>,
    /// Where indexes are kept; `None` keeps none
    pub state: Option<PathBuf>,
    /// Hash a block every time it is read, not once
    pub always_verify: bool,
    /// Refuse to start over a CAR that is damaged or cannot be read
    pub strict: bool,
}

/// Blocks in CAR files. Shared by all connections.
#[derive(Debug)]
pub struct Catalog {
    options: CatalogOptions,
    metrics: Arc<Metrics>,
    folder: Option<IndexFolder>,
    state: State,
    files: Files,
    pool: Pool,
    /// Something of what was given cannot be read, lies behind a fault, or was indexed by another program and has not
    /// been compared yet, so that no miss is definite
    certainty: Certainty,
    memory: Mutex<refresh::Memory>,
    alarm: watch::Alarm,
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The block. Its codec does not matter.
    pub multihash: Multihash<64>,
    /// What is asked of it
    pub want: Want,
}

/// What is asked of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Its bytes
    Block,
    /// Whether it is there; its bytes if they are no more than this
    Have {
        /// In bytes
        inline_limit: usize,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The block's bytes, checked
    Block(Bytes),
    /// It is there and has this many bytes; they have not been read
    Have {
        /// In bytes
        size: u64,
    },
    /// It is definitely in no CAR
    Missing,
    /// It could not be found out, or the block is damaged
    Unknown,
    /// Its bytes were not to be had from the page cache and the disk was not to be waited for, or there was no room for
    /// it
    Later,
}

/// A catalog that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// With `--strict`: a CAR that is damaged or cannot be read
    #[error("{}: {what} (--strict)", path.display())]
    Strict {
        /// The file
        path: PathBuf,
        /// What is wrong, and at which byte
        what: String,
    },
    /// The folder for indexes cannot be made
    #[error("cannot keep indexes in {}: {error}. Give another folder with --state DIR", path.display())]
    State {
        /// The state folder
        path: PathBuf,
        /// Why not
        error: io::Error,
    },
}

impl Catalog {
    /// Indexes what there is, on as many threads as there are cores. `progress` counts the bytes of the CARs that are
    /// done.
    ///
    /// # Errors
    /// The state folder cannot be used; with [`CatalogOptions::strict`], the first CAR that is damaged or cannot be
    /// read.
    pub fn open(
        mut options: CatalogOptions,
        metrics: Arc<Metrics>,
        progress: &ProgressBar,
    ) -> Result<Self, CatalogError> {
        // Stored indexes go by path, which must mean the same from wherever the next start is made.
        for path in &mut options.paths {
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
        let folder = match &options.state {
            Some(path) => {
                Some(IndexFolder::open(path).map_err(|error| CatalogError::State { path: path.clone(), error })?)
            }
            None => None,
        };
        let catalog = Self {
            options,
            metrics,
            folder,
            state: State::new(),
            files: Files::new(),
            pool: Pool::default(),
            certainty: Certainty::default(),
            memory: Mutex::default(),
            alarm: watch::Alarm::default(),
        };
        catalog.load_all(progress)?;
        Ok(catalog)
    }

    /// How many CARs are served, and how many index records they have.
    pub fn size(&self) -> (usize, usize) {
        let cars = self.state.cars();
        (cars.len(), cars.iter().map(|car| car.index.len()).sum())
    }

    fn load_all(&self, progress: &ProgressBar) -> Result<(), CatalogError> {
        let mut listing = discover::list(&self.options.paths);
        progress.set_length(listing.cars.iter().map(|(_, stamp)| stamp.size).sum());
        let jobs = Mutex::new(std::mem::take(&mut listing.cars).into_iter());
        let failures = Mutex::new(Vec::new());
        let strict_fault = Mutex::new(None);
        let work = || {
            loop {
                let Some((path, _)) = jobs.lock().next() else { return };
                // A strict start looks at the CARs themselves, whatever other programs' indexes say of them.
                match self.loader(progress).load(&path, !self.options.strict) {
                    Ok(car) => match &car.summary.fault {
                        Some(fault) if self.options.strict => {
                            strict_fault.lock().get_or_insert((path, fault.what.clone()));
                            return;
                        }
                        _ => self.state.insert(Arc::new(car)),
                    },
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => failures.lock().push((path, error)),
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        if let Some((path, what)) = strict_fault.into_inner() {
            return Err(CatalogError::Strict { path, what });
        }
        let failures = failures.into_inner();
        if self.options.strict
            && let Some((path, error)) = listing.unreadable.iter().chain(&failures).last()
        {
            return Err(CatalogError::Strict { path: path.clone(), what: error.to_string() });
        }
        let mut memory = self.memory.lock();
        memory.note_start(listing.unreadable, failures);
        self.note(&mut memory);
        Ok(())
    }

    fn loader<'a>(&'a self, progress: &'a ProgressBar) -> Loader<'a> {
        Loader { folder: self.folder.as_ref(), metrics: &self.metrics.catalog, progress }
    }

    /// Removes stored indexes that are of no use to anybody.
    fn sweep(&self) {
        let Some(folder) = &self.folder else { return };
        match folder.sweep(SystemTime::now()) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "stored indexes of CARs that are gone"),
            Err(error) => tracing::debug!(%error, "cannot look through the stored indexes"),
        }
    }
}
