//! What commands share that work on a store: they are asked to stop, and leave things in good order.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_store::CarCid;
use hoverboard_store::index::{Host, IndexError, Progress};
use hoverboard_store::library::Timer;
use indicatif::ProgressBar;
use parking_lot::Mutex;

use super::stop::Stop;
use super::{Failure, LAST_WAIT, runtime};

/// How long a stop waits for what was begun to be left in good order.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Whether a command was asked to stop.
#[derive(Clone, Default)]
pub(super) struct Stopped(Arc<AtomicBool>);

impl Stopped {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a command to its end. When it is asked to stop, the command is told and has a few seconds to do so.
pub(super) fn run<F>(command: impl FnOnce(Stopped) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut stop = Stop::new()?;
        let stopped = Stopped::default();
        let mut working = tokio::spawn(command(stopped.clone()));
        let signal = tokio::select! {
            ended = &mut working => return ended.unwrap_or_else(|error| Err(Failure::Failed(error.to_string()))),
            signal = stop.asked() => signal,
        };
        stopped.set();
        tokio::select! {
            ended = working => match ended {
                // It had just come to its end.
                Ok(Ok(())) => Ok(()),
                _ => Err(Failure::Stopped(signal)),
            },
            _ = stop.asked() => Err(Failure::Stopped(signal)),
            () = tokio::time::sleep(GIVE_UP) => Err(Failure::Stopped(signal)),
        }
    });
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

/// What work on an index needs of this process.
pub(super) struct Process {
    stopped: Stopped,
}

impl Process {
    pub(super) fn new(stopped: Stopped) -> Arc<Self> {
        Arc::new(Self { stopped })
    }
}

impl Timer for Process {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }
}

impl Host for Process {
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        // The system has random bytes, or no command of this program works.
        #[expect(clippy::expect_used, reason = "without random bytes nothing is secret")]
        getrandom::fill(&mut bytes).expect("random bytes");
        bytes
    }

    fn stopped(&self) -> bool {
        self.stopped.is_set()
    }
}

/// Shows how work on an index goes on, on stderr.
pub(super) struct Shown {
    pub(super) bar: ProgressBar,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    cars: u64,
    blocks: u64,
}

impl Shown {
    pub(super) fn new(bar: ProgressBar) -> Self {
        Self { bar, counts: Mutex::default() }
    }
}

impl Progress for Shown {
    fn indexed(&self, car: &CarCid, size: u64, blocks: u64) {
        let mut counts = self.counts.lock();
        counts.cars += 1;
        counts.blocks += blocks;
        self.bar.set_prefix(format!("{} CARs, {} blocks", counts.cars, counts.blocks));
        self.bar.inc(size);
        tracing::debug!(%car, blocks, "indexed");
    }

    fn committed(&self, generation: u64) {
        tracing::debug!(generation, "the index has a new generation");
    }

    fn fault(&self, what: &dyn fmt::Display) {
        self.bar.suspend(|| eprintln!("hoverboard: {what}"));
    }

    fn step(&self, done: u64, of: u64) {
        self.bar.set_prefix(format!("part {done} of {of}"));
    }
}

/// What is said when work on an index failed.
pub(super) fn failed(error: &IndexError) -> Failure {
    let advice = if error.is_damage() { ". `hoverboard index check --mend` mends the index" } else { "" };
    Failure::Failed(format!("{error}{advice}"))
}
