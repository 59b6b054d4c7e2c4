//! What work on the index needs in a Worker: the bucket, a clock, and the bounds that fit beside everything else in the 128 MB
//! of an isolate.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hoverboard_store::import;
use hoverboard_store::index::lookup::{self, Runs};
use hoverboard_store::index::{Host as IndexHost, Index, Piece, Portion};
use hoverboard_store::ledger::{Account, Ledger};
use hoverboard_store::library::{self, Timer};
use worker::Env;

use crate::host::{Host, Log, now, random};
use crate::{bucket, crypto, timer};

/// Blocks of a CAR that are indexed here, at some two hundred bytes while it is read: 32 GiB in blocks of 256 KiB. It bounds
/// the CAR's index, too.
pub(crate) const MAX_BLOCKS: usize = 1 << 17;

/// The longest index of a CAR that is read, in bytes: that of [`MAX_BLOCKS`] with digests of 32 bytes has five million.
pub(crate) const MAX_INDEX_BYTES: u64 = 8 << 20;

/// Entries of a run of one commit.
const RUN_ENTRIES: usize = MAX_BLOCKS;

/// Bytes of a CAR that are read and checked in a millisecond of CPU time, by a careful estimate: each is hashed twice.
const BYTES_A_MS: u64 = 20 << 10;

/// Bytes that are read in one go at the least.
const LEAST_BYTES: u64 = 256 << 10;

/// How indexes are uploaded: they have a few MB.
const UPLOAD: import::Options = import::Options { part_size: 5 << 20, concurrency: 1 };

/// The tools of an event, or of the object of all commits.
pub(crate) struct Workshop {
    pub(crate) index: Index,
    pub(crate) runs: Runs,
    /// Requests that an event may make.
    pub(crate) requests: u64,
    ledger: Ledger,
}

impl Workshop {
    pub(crate) fn new(host: &Host, env: &Env) -> worker::Result<Self> {
        let bucket = bucket::open(env, &host.config)?;
        let config = library::Config::new(crypto::sha256(), timer::timer(), Arc::new(Log));
        // What is done rests on what is the newest now.
        let settings = lookup::Settings { life: Duration::ZERO, ..lookup::Settings::of(&config) };
        let runs = Runs::new(bucket.clone(), settings);
        let budget = host.config.budget();
        let (requests, ledger) = (budget.requests, Ledger::new(budget));
        Ok(Self { index: Index::new(bucket, Arc::new(Platform)), runs, requests, ledger })
    }

    /// The account of an event that begins.
    pub(crate) fn begin_event(&self) -> Account {
        library::Locator::set_now(&self.runs, now());
        self.ledger.begin_event();
        self.ledger.account()
    }
}

/// What is committed at a time.
pub(crate) const PORTION: Portion = Portion { run_entries: RUN_ENTRIES, index_bytes: MAX_INDEX_BYTES };

/// What one event reads of CARs.
pub(crate) fn piece(host: &Host) -> Piece {
    let bytes = (host.config.budget().cpu.as_millis() as u64).saturating_mul(BYTES_A_MS).max(LEAST_BYTES);
    Piece { bytes, blocks: MAX_BLOCKS, import: UPLOAD }
}

/// The platform's clock and randomness.
struct Platform;

impl Timer for Platform {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        timer::timer().sleep(time)
    }
}

impl IndexHost for Platform {
    fn unix_ms(&self) -> u64 {
        now().as_millis() as u64
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&random()[..16]);
        bytes
    }
}
