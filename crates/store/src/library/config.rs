//! What a host sets, and what it brings: a timer, a hash function, and somebody to tell about faults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hoverboard_dag::Sha256;

use super::Failure;
use crate::plan::Tuning;

/// Waiting, as the host can.
pub trait Timer: Send + Sync {
    /// Is ready when so much time has passed. Dropping it ends the timer.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Is told about objects that are not what they should be. Each fault cost a read, and no wrong byte was given out.
pub trait Observer: Send + Sync {
    /// The object of this key is wrong, and how: a CAR that is missing or was replaced, an index that lies, bytes that do
    /// not match.
    fn fault(&self, key: &str, what: &dyn fmt::Display);
}

/// Nobody is told.
impl Observer for () {
    fn fault(&self, _key: &str, _what: &dyn fmt::Display) {}
}

/// When a read is tried again, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often a read is tried, the first time included.
    pub tries: u32,
    /// The wait before the second try; it doubles each time.
    pub first_wait: Duration,
    /// A read that brings nothing for so long, and at most twice as long, has failed.
    pub stalled: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 3, first_wait: Duration::from_millis(200), stalled: Duration::from_secs(10) }
    }
}

impl Retry {
    /// The wait after so many failures, at most 64 times the first.
    pub(crate) fn wait(&self, failures: u32) -> Duration {
        self.first_wait * (1 << failures.saturating_sub(1).min(6))
    }

    /// Reads until it works, as often as this says, and as long as it fails for reasons that `may_pass`.
    pub(crate) async fn run<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        timer: &dyn Timer,
        may_pass: impl Fn(&Failure) -> bool,
        mut read: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let mut failures = 0;
        loop {
            let failure = match read().await {
                Ok(read) => return Ok(read),
                Err(failure) => failure,
            };
            failures += 1;
            if failures >= self.tries || !may_pass(&failure) {
                return Err(failure);
            }
            timer.sleep(self.wait(failures)).await;
        }
    }
}

/// Settings of a [`Library`](super::Library) and of the readers over it.
#[derive(Clone)]
pub struct Config {
    /// SHA2-256, the host's fastest.
    pub sha256: Arc<dyn Sha256 + Send + Sync>,
    /// The host's timers.
    pub timer: Arc<dyn Timer>,
    /// Who is told about faults.
    pub observer: Arc<dyn Observer>,
    /// Memory for indexes, in bytes, those being read included: 16 MiB. A reader that needs another one waits until there
    /// is room for it; where none is held, one is read however large.
    pub index_bytes: usize,
    /// An index up to this length is held whole, in bytes: 4 MiB. A longer one is searched by ranged reads.
    pub whole_index: u64,
    /// Memory for CARs that are held whole, in bytes, those being read and given out included: 8 MiB.
    pub car_bytes: usize,
    /// Memory for sections that are being received, of all readers and in bytes: 16 MiB. Up to 64 KiB of each range are not
    /// counted. A range that needs more waits until there is room; where none is held, one section is received however
    /// long.
    pub section_bytes: usize,
    /// Wants that all readers may have, each of which takes up to 1 KiB: 16,384. One reader has no more than half of what
    /// the others left, and may always have 16 more: see [`Reader::is_full`](crate::reader::Reader::is_full).
    pub wants: usize,
    /// A CAR up to this length may be read whole when several of its blocks are wanted, in bytes: 8 MiB.
    pub whole_car: u64,
    /// How long a listing is believed, an empty one too, and a CAR held whole or found gone: 10 s.
    pub listing_life: Duration,
    /// Memory for what a reader has read ahead of the wants, in bytes and for each stream: 1 MiB. One block comes on top.
    pub window: usize,
    /// Ranges that one reader reads at a time: 2.
    pub runs: usize,
    /// Listings that one reader makes at a time: 4, once the first ones found nothing.
    pub listings: usize,
    /// Listings that find nothing which one reader may make in one [`listing_life`](Self::listing_life): 256. Wants
    /// that would need another one are then unknown, not missing.
    pub vain_listings: u32,
    /// How reads are joined.
    pub tuning: Tuning,
    /// When reads are tried again.
    pub retry: Retry,
}

impl Config {
    /// The settings for a bucket behind HTTP.
    pub fn new(sha256: Arc<dyn Sha256 + Send + Sync>, timer: Arc<dyn Timer>, observer: Arc<dyn Observer>) -> Self {
        Self {
            sha256,
            timer,
            observer,
            index_bytes: 16 << 20,
            whole_index: 4 << 20,
            car_bytes: 8 << 20,
            section_bytes: 16 << 20,
            wants: 16 << 10,
            whole_car: 8 << 20,
            listing_life: Duration::from_secs(10),
            window: 1 << 20,
            runs: 2,
            listings: 4,
            vain_listings: 256,
            tuning: Tuning::default(),
            retry: Retry::default(),
        }
    }
}
