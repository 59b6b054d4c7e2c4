//! Answering a batch of queries: where each block may be, in which order to try, and what the outcome means.
//!
//! The reading and checking of one CAR's sections is in [`super::pass`].

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use multihash::Multihash;

use super::files::Reach;
use super::pass::{Pass, Tried};
use super::state::Candidate;
use super::{Catalog, Found, Query};

/// Places of one block that are tried before it is given up as unknown.
const MAX_PLACES: usize = 8;
/// How long to wait before what the storage failed to give is asked for again, each time. A batch waits as one.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(80)];

/// A candidate for a query.
#[derive(Debug)]
pub(crate) struct Step {
    /// Number of the query
    pub(crate) query: usize,
    pub(crate) candidate: Candidate,
}

impl Catalog {
    /// Whether an index says that the block is in a CAR.
    pub fn may_hold(&self, multihash: &Multihash<64>) -> bool {
        self.state.lock().candidates(multihash.code(), multihash.digest()).next().is_some()
    }

    /// Whether there may be blocks that nobody can find just now, so that none is certainly missing. To be asked before
    /// [`may_hold`](Self::may_hold) as well as after.
    pub fn is_unsure(&self) -> bool {
        self.certainty.is_unsure()
    }

    /// Answers queries, in their order. Blocks that lie near each other in a CAR are read together, so large batches
    /// are cheaper; all the blocks of a batch are in memory at once.
    ///
    /// It blocks on the disk, and a tenth of a second more if that fails; it never panics or waits for an index to be
    /// built. No answer is [`Found::Later`].
    pub fn read(&self, queries: &[Query]) -> Vec<Found> {
        self.read_within(Reach::Disk, usize::MAX, queries)
    }

    /// The same, until large blocks of about `room` bytes are read: those that come after are [`Found::Later`]. At least
    /// one is read.
    pub fn read_some(&self, room: usize, queries: &[Query]) -> Vec<Found> {
        self.read_within(Reach::Disk, room, queries)
    }

    /// The same, without waiting for the disk: what is not in the page cache, or cannot be read, is [`Found::Later`] too.
    pub fn read_cached(&self, room: usize, queries: &[Query]) -> Vec<Found> {
        self.read_within(Reach::Cache, room, queries)
    }

    fn read_within(&self, reach: Reach, room: usize, queries: &[Query]) -> Vec<Found> {
        // Before the table is asked as well as after: what cannot be read may come to be indexed in between.
        let unsure = self.certainty.is_unsure();
        let room = Cell::new(room.max(1));
        let metrics = &self.metrics.catalog;
        let mut answers = vec![Found::Missing; queries.len()];
        let mut unread = self.attempt(reach, &room, queries, (0..queries.len()).collect(), &mut answers);
        for pause in RETRY_AFTER {
            if unread.is_empty() {
                break;
            }
            thread::sleep(pause);
            unread = self.attempt(reach, &room, queries, unread, &mut answers);
        }
        if unsure || self.certainty.is_unsure() {
            answers.iter_mut().filter(|answer| **answer == Found::Missing).for_each(|answer| *answer = Found::Unknown);
        }
        let count = |of: &Found| answers.iter().filter(|answer| *answer == of).count() as u64;
        // What comes later is counted then.
        metrics.lookups.inc_by(queries.len() as u64 - count(&Found::Later));
        metrics.missing.inc_by(count(&Found::Missing));
        metrics.unknown.inc_by(count(&Found::Unknown));
        answers
    }

    /// Answers the queries that are open, place after place, and says for which the storage failed and nothing else
    /// was found.
    fn attempt(
        &self,
        reach: Reach,
        room: &Cell<usize>,
        queries: &[Query],
        mut open: Vec<usize>,
        answers: &mut [Found],
    ) -> Vec<usize> {
        open.iter().for_each(|&query| answers[query] = Found::Missing);
        let mut unread = Vec::new();
        for round in 0..MAX_PLACES {
            let steps = self.plan(queries, &open, round);
            open.clear();
            for group in steps.chunk_by(|a, b| a.candidate.car.serial == b.candidate.car.serial) {
                Pass::run(self, reach, room, queries, group, |query, tried| {
                    if matches!(tried, Tried::Unread) {
                        unread.push(query);
                    }
                    match tried {
                        Tried::Found(found) => answers[query] = found,
                        Tried::Later => answers[query] = Found::Later,
                        Tried::NotThere => open.push(query),
                        Tried::Failed | Tried::Unread => {
                            answers[query] = Found::Unknown;
                            open.push(query);
                        }
                    }
                });
            }
            if open.is_empty() {
                break;
            }
        }
        // Whoever is still open has more places than are tried.
        for query in open {
            answers[query] = Found::Unknown;
        }
        unread.sort_unstable();
        unread.dedup();
        unread.retain(|&query| answers[query] == Found::Unknown);
        unread
    }

    /// The `round`th place of each open query that has so many, in the order of CARs and offsets.
    fn plan(&self, queries: &[Query], open: &[usize], round: usize) -> Vec<Step> {
        let state = self.state.lock();
        let candidate = |query: usize| {
            let multihash = &queries[query].multihash;
            state.candidates(multihash.code(), multihash.digest()).nth(round)
        };
        let mut steps: Vec<Step> =
            open.iter().filter_map(|&query| Some(Step { query, candidate: candidate(query)? })).collect();
        drop(state);
        steps.sort_unstable_by_key(|step| (step.candidate.car.serial, step.candidate.offset));
        steps
    }
}
