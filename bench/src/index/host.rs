//! What the index asks of its host, and what the system says of this process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_store::index::{Host, Progress};
use hoverboard_store::library::{Observer, Timer};

use super::synthetic::mixed;

/// A host. Its random numbers are the same in every run, and so is what is built.
#[derive(Debug, Default)]
pub(crate) struct Bench(AtomicU64);

impl Timer for Bench {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }
}

impl Host for Bench {
    fn unix_ms(&self) -> u64 {
        SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64)
    }

    fn random(&self) -> [u8; 16] {
        let number = self.0.fetch_add(1, Relaxed);
        (u128::from(mixed(number)) << 64 | u128::from(mixed(!number))).to_le_bytes()
    }
}

/// Counts what is wrong, which nothing here should be.
#[derive(Debug, Default)]
pub(crate) struct Faults(AtomicU64);

impl Faults {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Observer for Faults {
    fn fault(&self, key: &str, what: &dyn fmt::Display) {
        self.0.fetch_add(1, Relaxed);
        eprintln!("{key}: {what}");
    }
}

impl Progress for Faults {
    fn fault(&self, what: &dyn fmt::Display) {
        self.0.fetch_add(1, Relaxed);
        eprintln!("{what}");
    }
}

/// A host that others may share.
pub(crate) fn host() -> Arc<Bench> {
    Arc::default()
}

/// Seconds of CPU that this process has used, in the program and in the kernel. Linux only.
pub(crate) fn cpu_seconds() -> Result<f64> {
    /// The unit of CPU times in `/proc`, fixed by the kernel's interface.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may have spaces; what follows it has none.
    let (_, fields) = stat.rsplit_once(')').context("a strange /proc/self/stat")?;
    let ticks = |n: usize| fields.split_whitespace().nth(n).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("a strange /proc/self/stat")?;
    Ok((user + system) / TICKS_PER_SECOND)
}

/// Runs something, and says how many bytes more than before were allocated at its height.
pub(crate) async fn peak<T>(work: impl Future<Output = T>) -> (T, u64) {
    let before = crate::HEAP.current_usage();
    crate::HEAP.reset_peak_usage();
    let outcome = work.await;
    (outcome, crate::HEAP.peak_usage().saturating_sub(before) as u64)
}
