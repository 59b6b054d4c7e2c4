//! `hoverboard import`: CARs into a store, each checked from end to end before anything of it is written, and into its index.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use hoverboard_car::index::SortedIndex;
use hoverboard_store::Bucket;
use hoverboard_store::import::{ImportError, Options, Source, Survey, Surveyed, Watch, import};
use hoverboard_store::index::{self, Importing, Index};
use indicatif::ProgressBar;
use tokio::task::block_in_place;

use crate::catalog::files::open;
use crate::cli::ImportArgs;
use crate::config::ConfigError;
use crate::progress;
use crate::store::{Access, Location};

use super::cars::{counted, find};
use super::working::{self, Process, Stopped, failed};
use super::{Failure, printed};

/// The CAR that is read from stdin.
const STDIN: &str = "-";
/// Bytes read at a time in the first pass.
const CHUNK: usize = 1 << 20;
/// CARs that are imported at once: of small ones the store's answers take most of the time.
const AT_ONCE: usize = 4;
pub(super) fn run(args: ImportArgs) -> Result<(), Failure> {
    working::run(move |stopped| import_all(args, stopped))
}

/// Imports the CARs, several at a time, and names them in order. One that is damaged is named and passed over; a store
/// that fails ends it.
async fn import_all(args: ImportArgs, stopped: Stopped) -> Result<(), Failure> {
    let (cars, mut all_good) = inputs(&args.cars)?;
    let bucket = args.to.open(Access::Write).map_err(ConfigError::from)?;
    let mut indexing = Indexing::begin(&bucket, &stopped).await?;
    let bar = progress::bytes("importing");
    // Every byte is counted when it was checked and when it is in the store.
    bar.set_length(cars.iter().filter_map(|path| Some(2 * path.metadata().ok()?.len())).sum());
    let job = Job { to: args.to, bucket, roots: args.roots, bar: bar.clone(), stopped: stopped.clone() };
    let job = Arc::new(job);
    let mut imports = stream::iter(cars)
        .map(|path| {
            let importing = tokio::spawn(import_one(job.clone(), path.clone()));
            async move { (path, importing.await) }
        })
        .buffered(AT_ONCE);
    let mut ended = Ok(());
    while let Some((path, imported)) = imports.next().await {
        let imported = imported.map_err(|error| Failure::Failed(error.to_string()))?;
        match imported {
            Ok(surveyed) => {
                bar.suspend(|| print(&surveyed))?;
                if let Err(failure) = indexing.push(surveyed).await {
                    stopped.set();
                    ended = ended.and(Err(failure));
                }
            }
            // What stopped the others is said already.
            Err(ImportError::Stopped) if ended.is_err() => {}
            Err(error @ (ImportError::Store { .. } | ImportError::Stopped)) => {
                stopped.set();
                ended = Err(Failure::Failed(format!("{}: {error}", path.display())));
            }
            Err(error) => {
                bar.suspend(|| eprintln!("hoverboard: {}: {error}", path.display()));
                all_good = false;
            }
        }
    }
    bar.finish_and_clear();
    ended?;
    indexing.finish().await?;
    if all_good { Ok(()) } else { Err(Failure::Reported) }
}

/// The index of the store, to which CARs are added in groups as they are imported.
struct Indexing {
    index: Index,
    /// `None`: the store has none.
    importing: Option<Importing>,
    waiting: Vec<Surveyed>,
    blocks: u64,
    since: Instant,
}

async fn begin_importing(index: &Index) -> Result<Option<Importing>, Failure> {
    let begun = Importing::begin(index.clone(), index::Options::default().run_entries).await;
    begun.map_err(|error| failed(&error))
}

/// CARs and blocks that are added by one change of the index, and how long the first of them waits.
const GROUP_CARS: usize = 256;
const GROUP_BLOCKS: u64 = 1 << 17;
const GROUP_TIME: Duration = Duration::from_secs(10);

impl Indexing {
    async fn begin(bucket: &Bucket, stopped: &Stopped) -> Result<Self, Failure> {
        let index = Index::new(bucket.clone(), Process::new(stopped.clone()));
        let importing = begin_importing(&index).await?;
        if importing.is_none() {
            tracing::warn!("the store has CARs and no index: `hoverboard index` makes it");
        }
        Ok(Self { index, importing, waiting: Vec::new(), blocks: 0, since: Instant::now() })
    }

    async fn push(&mut self, surveyed: Surveyed) -> Result<(), Failure> {
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        self.blocks += surveyed.blocks;
        self.waiting.push(surveyed);
        let many = self.waiting.len() >= GROUP_CARS || self.blocks >= GROUP_BLOCKS;
        if many || self.since.elapsed() >= GROUP_TIME { self.add().await } else { Ok(()) }
    }

    async fn add(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        self.blocks = 0;
        if self.importing.is_none() {
            // Somebody may be making one, and have passed these CARs by.
            self.importing = begin_importing(&self.index).await?;
        }
        let Some(importing) = &mut self.importing else { return Ok(()) };
        match importing.add(&waiting).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::Failed(format!(
                "CARs are in the store and not in its index yet: {error}. `hoverboard index` adds them"
            ))),
        }
    }

    async fn finish(mut self) -> Result<(), Failure> {
        self.add().await?;
        match self.importing {
            Some(importing) => importing.finish(&()).await.map_err(|error| failed(&error)),
            None => Ok(()),
        }
    }
}

/// The CARs among what was typed, stdin included, and whether everything could be looked at.
fn inputs(typed: &[PathBuf]) -> Result<(Vec<PathBuf>, bool), Failure> {
    let (stdin, paths): (Vec<PathBuf>, Vec<PathBuf>) = typed.iter().cloned().partition(|path| path == Path::new(STDIN));
    let (mut cars, complete) = if paths.is_empty() { (Vec::new(), true) } else { find(&paths)? };
    cars.extend(stdin.into_iter().take(1));
    Ok((cars, complete))
}

/// What all imports of a run share.
struct Job {
    to: Location,
    bucket: Bucket,
    roots: Vec<Cid>,
    bar: ProgressBar,
    stopped: Stopped,
}

impl Watch for Job {
    fn done(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn stopped(&self) -> bool {
        self.stopped.is_set()
    }
}

async fn import_one(job: Arc<Job>, path: PathBuf) -> Result<Surveyed, ImportError> {
    let (file, surveyed) = block_in_place(|| match path == Path::new(STDIN) {
        true => spool(&job),
        false => survey_file(&job, &path),
    })?;
    block_in_place(|| job.to.clear_leftovers(&surveyed.car));
    let source = Kept(Arc::new(file));
    let imported = import(&job.bucket, &surveyed, &source, &Options::default(), &*job).await?;
    let what = if imported.objects == 0 { "was there already" } else { "imported" };
    tracing::info!(
        car = %surveyed.car, path = %path.display(), blocks = surveyed.blocks,
        written = %counted(imported.objects as u64, "object"), bytes = imported.bytes, "{what}"
    );
    warn_of_roots_elsewhere(&surveyed, &path);
    Ok(surveyed)
}

/// A root may lie in another CAR, where a DAG is spread over several; or it was mistyped.
fn warn_of_roots_elsewhere(surveyed: &Surveyed, path: &Path) {
    let Ok(index) = SortedIndex::open(surveyed.index.clone()) else { return };
    for root in surveyed.roots.iter().filter(|root| index.lookup(root.hash()).next().is_none()) {
        tracing::warn!(path = %path.display(), %root, "the CAR does not hold its root; it is found by it all the same");
    }
}

/// The first pass over a file.
fn survey_file(job: &Job, path: &Path) -> Result<(File, Surveyed), ImportError> {
    let file = open(path)?;
    let surveyed = survey(job, &file, |_| Ok(()))?;
    Ok((file, surveyed))
}

/// The first pass over stdin, which can be read once only: what goes by is kept in a file without a name.
fn spool(job: &Job) -> Result<(File, Surveyed), ImportError> {
    let full = |error: io::Error| {
        let text = format!("cannot keep it among the temporary files: {error}. Set TMPDIR to a folder with room");
        io::Error::new(error.kind(), text)
    };
    let mut file = tempfile::tempfile().map_err(full)?;
    let surveyed = survey(job, io::stdin().lock(), |chunk| {
        job.bar.inc_length(2 * chunk.len() as u64);
        file.write_all(chunk).map_err(full)
    })?;
    Ok((file, surveyed))
}

/// Pushes all that `source` gives to a survey, and hands it on.
fn survey(
    job: &Job,
    mut source: impl Read,
    mut keep: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Surveyed, ImportError> {
    let mut survey = Survey::new(&job.roots);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = source.read(&mut chunk);
        // What fills a pipe may have been stopped with us: its end is none then.
        if job.stopped() {
            return Err(ImportError::Stopped);
        }
        match read {
            Ok(0) => return survey.finish(),
            Ok(read) => {
                keep(&chunk[..read])?;
                survey = survey.push(&chunk[..read])?;
                job.bar.inc(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A line for each root: the CAR and the root.
fn print(surveyed: &Surveyed) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printed(surveyed.roots.iter().try_for_each(|root| writeln!(out, "{} {root}", surveyed.car)))
}

/// A file that was surveyed, for the second pass. It is read by its descriptor, whatever becomes of its path.
struct Kept(Arc<File>);

impl Source for Kept {
    fn read_at(&self, at: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        let file = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at)?;
            Ok(bytes.into())
        });
        read.map(|done| done.unwrap_or_else(|error| Err(io::Error::other(error)))).boxed()
    }
}
