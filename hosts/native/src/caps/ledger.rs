//! The ledger of this process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hoverboard_caps::shard::Row;
use hoverboard_caps::{Caller, Policy, Report, Shard, Timestamp, Verdict, Work};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

use super::Settings;
use super::journal::{Entry, Journal, Opened};

/// How often it is looked whether the journal is worth a new state.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// A journal is worth it when it has so many bytes: some 10,000 entries, which are read in a moment.
const WORTH_SAVING: u64 = 1 << 20;

/// Why there is no ledger.
#[derive(Debug, thiserror::Error)]
pub enum CapsError {
    /// Its files cannot be used
    #[error("cannot use {}: {error}. Give another state folder with --state DIR", path.display())]
    Files {
        /// The folder
        path: PathBuf,
        /// Why not
        error: io::Error,
    },
    /// Two ledgers would each allow what the caps allow
    #[error(
        "{} is in use by another process, and caps that two of them count each for itself are none: stop it, or give \
         another state folder with --state DIR", path.display()
    )]
    InUse {
        /// The folder
        path: PathBuf,
    },
}

/// What was done for whom, and who may have how much.
#[derive(Debug)]
pub struct Caps {
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    shard: Shard,
    /// None for a ledger that is kept in memory alone.
    journal: Option<Journal>,
    /// A write failed, and was logged.
    failing: bool,
}

impl Caps {
    /// The ledger of a state folder. One without caps goes without files while another process has them.
    pub fn open(state: &Path, settings: Settings, metrics: Arc<Metrics>) -> Result<Self, CapsError> {
        let path = state.join("caps");
        match Journal::open(&path, &settings.rules) {
            Ok(Some(Opened { journal, shard, is_news })) => {
                let caps = Self::new(settings, metrics, shard, Some(journal));
                if is_news {
                    caps.save();
                }
                Ok(caps)
            }
            Ok(None) if settings.rules.are_limits() => Err(CapsError::InUse { path }),
            Ok(None) => {
                tracing::info!(path = %path.display(), "in use by another process: what peers get is counted in memory only");
                Ok(Self::in_memory(settings, metrics))
            }
            Err(error) => Err(CapsError::Files { path, error }),
        }
    }

    /// A ledger that a restart forgets.
    pub fn in_memory(settings: Settings, metrics: Arc<Metrics>) -> Self {
        Self::new(settings, metrics, Shard::new(), None)
    }

    fn new(settings: Settings, metrics: Arc<Metrics>, shard: Shard, journal: Option<Journal>) -> Self {
        let caps = Self { settings, metrics, books: Mutex::new(Books { shard, journal, failing: false }) };
        caps.count(&caps.books.lock(), now());
        caps
    }

    /// What is done with the wants of those who are at a cap.
    pub(crate) fn policy(&self) -> Policy {
        self.settings.policy
    }

    /// Takes a report, and gives the verdict if it asks for one.
    pub(super) fn report(&self, caller: &Caller, report: &Report, now: Timestamp) -> Option<Verdict> {
        let mut books = self.books.lock();
        let verdict = books.shard.report(&self.settings.rules, caller, report, now);
        let granted = match verdict {
            Some(Verdict::Granted(lease)) => Some(lease),
            Some(Verdict::Refused(refusal)) => {
                self.metrics.caps.refusals.with_label_values(&[refusal.scope.name()]).inc();
                None
            }
            None => None,
        };
        // What changes nothing need not be done again.
        if granted.is_some() || report.settled.is_some() || !report.unleased.is_none() {
            books.note(&Entry { now, caller: *caller, report: *report, granted });
        }
        self.count(&books, now);
        verdict
    }

    /// Those for whom most was done today.
    pub(super) fn top(&self, most: usize) -> (Vec<Row>, [Work; 2]) {
        let (books, now) = (self.books.lock(), now());
        let (hour, day) = books.shard.total(now);
        (books.shard.top(now, most), [hour, day])
    }

    /// Writes the state down whenever the journal has grown, until it is cancelled.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(SAVE_EVERY)).await.is_some() {
            let caps = Arc::clone(&self);
            if caps.books.lock().journal.as_ref().is_some_and(|journal| journal.len() >= WORTH_SAVING) {
                // A thread that died has saved nothing, and the journal goes on.
                let _ = tokio::task::spawn_blocking(move || caps.save()).await;
            }
        }
    }

    /// Writes the state down. What cannot be written is in the journals all the same.
    pub fn save(&self) {
        let snapshot = {
            let mut books = self.books.lock();
            let Books { shard, journal: Some(journal), .. } = &mut *books else { return };
            shard.prune(&self.settings.rules, now());
            journal.rotate(shard)
        };
        if let Err(error) = snapshot.and_then(|snapshot| snapshot.save()) {
            tracing::warn!(%error, "cannot write the ledger of what peers got");
        }
    }

    fn count(&self, books: &Books, now: Timestamp) {
        let metrics = &self.metrics.caps;
        let (sites, others) = books.shard.records();
        let (_, day) = books.shard.total(now);
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        metrics.records.set(gauge((sites + others) as u64));
        metrics.day_bytes.set(gauge(day.bytes));
        metrics.day_cost.set(gauge(day.cost.0 / 1_000));
    }
}

impl Books {
    fn note(&mut self, entry: &Entry) {
        let Some(journal) = &mut self.journal else { return };
        match journal.append(entry) {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "cannot write the journal of what peers got: a restart will forget it");
                }
            }
        }
    }
}

/// What time it is.
pub(super) fn now() -> Timestamp {
    // Before 1970 no cap was reached.
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hoverboard_caps::{Address, Meter};
    use libp2p_identity::PeerId;

    use super::*;

    fn caller() -> Caller {
        let address: std::net::IpAddr = [192, 0, 2, 1].into();
        Caller { peer: PeerId::random(), address: Address::from(address) }
    }

    fn settings(address: &str) -> Settings {
        let mut settings = Settings::unlimited();
        settings.rules.address = address.parse().expect("limits");
        settings
    }

    fn open(state: &Path, address: &str) -> Caps {
        Caps::open(state, settings(address), Arc::new(Metrics::new())).expect("opened")
    }

    fn bytes(bytes: u64) -> Work {
        Work { bytes, ..Work::NONE }
    }

    fn done(caps: &Caps, caller: &Caller, work: u64) {
        caps.report(caller, &Report { unleased: bytes(work), ..Report::default() }, now());
    }

    fn today(caps: &Caps) -> u64 {
        caps.top(1).1[1].bytes
    }

    #[test]
    fn nothing_is_forgotten_by_a_process_that_is_killed_or_stopped_wherever_it_is() {
        let state = tempfile::tempdir().expect("a folder");
        let who = caller();
        let mut due = 0;
        for round in 0..6 {
            // Dropped without a word, it leaves what a killed process leaves.
            let caps = open(state.path(), "unlimited");
            assert_eq!(today(&caps), due, "round {round}");
            done(&caps, &who, 10);
            if round % 2 == 1 {
                caps.save();
            }
            done(&caps, &who, 3);
            due += 13;
        }
    }

    #[test]
    fn a_state_that_was_not_written_is_made_up_for_by_two_journals() {
        let state = tempfile::tempdir().expect("a folder");
        let (caps, who) = (open(state.path(), "unlimited"), caller());
        done(&caps, &who, 10);
        {
            let mut books = caps.books.lock();
            let Books { shard, journal: Some(journal), .. } = &mut *books else { panic!("no journal") };
            drop(journal.rotate(shard).expect("rotated"));
        }
        done(&caps, &who, 5);
        drop(caps);
        assert_eq!(today(&open(state.path(), "unlimited")), 15);
    }

    #[test]
    fn what_was_out_on_lease_counts_after_a_kill() {
        let state = tempfile::tempdir().expect("a folder");
        let (caps, who) = (open(state.path(), "1000B/day"), caller());
        let (mut meter, time) = (Meter::new(Work::NONE), now());
        let verdict = caps.report(&who, &meter.report(true), time).expect("asked");
        let Verdict::Granted(lease) = verdict else { panic!("refused") };
        meter.answered(verdict, time);
        drop(caps);
        // Also under other rules.
        let caps = open(state.path(), "2000B/day");
        let later = time.plus(3_600);
        caps.report(&who, &Report { unleased: bytes(1), ..Report::default() }, later);
        let books = caps.books.lock();
        assert_eq!(books.shard.total(later).1.bytes.max(books.shard.total(later).0.bytes), lease.amount.bytes + 1);
    }

    #[test]
    fn half_an_entry_at_the_end_is_passed_over_and_not_written_on() {
        let state = tempfile::tempdir().expect("a folder");
        let who = caller();
        let caps = open(state.path(), "unlimited");
        done(&caps, &who, 10);
        done(&caps, &who, 10);
        drop(caps);
        let journal = state.path().join("caps/journal-0");
        let bytes = fs::read(&journal).expect("there");
        fs::write(&journal, &bytes[..bytes.len() - 3]).expect("written");
        let caps = open(state.path(), "unlimited");
        assert_eq!(today(&caps), 10);
        done(&caps, &who, 1);
        drop(caps);
        assert_eq!(today(&open(state.path(), "unlimited")), 11);
    }

    #[test]
    fn a_damaged_ledger_is_put_aside_and_the_server_starts() {
        let state = tempfile::tempdir().expect("a folder");
        let caps = open(state.path(), "unlimited");
        done(&caps, &caller(), 10);
        caps.save();
        drop(caps);
        let ledger = state.path().join("caps/ledger");
        let mut bytes = fs::read(&ledger).expect("there");
        *bytes.last_mut().expect("some") ^= 1;
        fs::write(&ledger, bytes).expect("written");
        assert_eq!(today(&open(state.path(), "unlimited")), 0);
        assert!(state.path().join("caps/ledger.bad").exists());
    }

    #[test]
    fn two_processes_do_not_count_the_same_caps() {
        let state = tempfile::tempdir().expect("a folder");
        let _first = open(state.path(), "unlimited");
        let second = |limits| Caps::open(state.path(), settings(limits), Arc::new(Metrics::new()));
        assert!(second("unlimited").is_ok());
        let error = second("1B/day").expect_err("in use").to_string();
        assert!(error.contains("--state"), "{error}");
    }
}
