//! An index to work on: a bucket, and what the host brings along.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::Error;

use super::IndexError;
use super::backoff::Backoff;
use crate::Bucket;
use crate::library::Timer;

/// What whoever works on an index brings along.
pub trait Host: Timer {
    /// Milliseconds since 1970. A manifest says when it was made, for people to read: nothing depends on it.
    fn unix_ms(&self) -> u64;

    /// Random bytes, for the key of a new index and for waits that are not to fall on one moment.
    fn random(&self) -> [u8; 16];

    /// Whether to stop. It is asked before each piece of work.
    fn stopped(&self) -> bool {
        false
    }
}

/// The index of a bucket, to work on. Cloning shares everything.
#[derive(Clone)]
pub struct Index {
    pub(super) bucket: Bucket,
    pub(super) host: Arc<dyn Host>,
}

impl Index {
    /// The index of this bucket, whether there is one or not.
    pub fn new(bucket: Bucket, host: Arc<dyn Host>) -> Self {
        Self { bucket, host }
    }

    pub(super) fn check_stopped(&self) -> Result<(), IndexError> {
        match self.host.stopped() {
            true => Err(IndexError::Stopped),
            false => Ok(()),
        }
    }

    /// Asks the store until it answers with something that will not pass.
    pub(super) async fn retrying<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> object_store::Result<T> {
        let mut backoff = Backoff::new(self.host.random(), TRIES, LONGEST);
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match backoff.next() {
                Some(wait) if may_pass(&error) => self.host.sleep(wait).await,
                _ => return Err(error),
            }
        }
    }
}

/// How often one request is made: for some two seconds, since stores say of what is wrong for good that it failed, too.
const TRIES: u32 = 6;
/// The longest wait between two of them.
const LONGEST: Duration = Duration::from_secs(2);

/// Whether a store that says this may say something else next time: it is busy, or the way to it is disturbed.
pub(super) fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Generic { .. }) && crate::ledger::Spent::of(error).is_none()
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
