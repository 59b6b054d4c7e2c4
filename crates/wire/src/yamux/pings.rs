//! The pings that a connection sends: their values, the round trip that an answer gives, and how much of what was sent
//! the answers prove to have arrived.
//!
//! A peer that could foresee a value would answer before it has read anything, and take the proof with it. So the values
//! come from a key: the start of SHA-256 over it and a count. 32 bits are what the format has; to hit one of a few that
//! are under way takes gigabytes of guesses.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Limits;

/// The least that may be sent without proof, in bytes. Three quarters of it must be more than the smallest frame that
/// is begun while more waits: a ping goes out behind every quarter, and nothing else moves things on.
const LEAST_UNPROVEN: u64 = 1_024;

/// Pings on their way, and what the answers to earlier ones proved.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Pings {
    key: [u8; 32],
    count: u64,
    outstanding: VecDeque<Ping>,
    rtt: Option<Duration>,
    /// Stream bytes sent: in all, before the last ping, and before the last ping that was answered.
    sent: u64,
    marked: u64,
    proven: u64,
    /// The connection's own bound, in place of [`Limits::unproven`].
    bound: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Ping {
    value: u32,
    sent_at: Duration,
    /// Stream bytes sent before it.
    behind: u64,
}

impl Pings {
    /// `key` is 32 bytes that the peer cannot know.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, count: 0, outstanding: VecDeque::new(), rtt: None, sent: 0, marked: 0, proven: 0, bound: None }
    }

    /// The value of a ping to be sent now.
    pub(super) fn next(&mut self, now: Duration) -> u32 {
        let hash = Sha256::new().chain_update(self.key).chain_update(self.count.to_le_bytes()).finalize();
        let value = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        self.count += 1;
        self.marked = self.sent;
        self.outstanding.push_back(Ping { value, sent_at: now, behind: self.sent });
        value
    }

    /// Takes an answer, and gives the round trip. One to a ping that was never sent is passed over.
    pub(super) fn answered(&mut self, value: u32, now: Duration) -> Option<Duration> {
        // Answers come in order: those between were dropped on the way.
        let at = self.outstanding.iter().position(|ping| ping.value == value)?;
        let ping = self.outstanding.drain(..=at).next_back()?;
        let rtt = now.saturating_sub(ping.sent_at);
        self.rtt = Some(rtt);
        self.proven = ping.behind;
        Some(rtt)
    }

    /// The round trip that was measured last.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Notes that so many stream bytes leave.
    pub(super) fn note_sent(&mut self, n: usize) {
        self.sent += n as u64;
    }

    /// Stream bytes sent and not proven to have arrived.
    pub(super) fn unproven(&self) -> u64 {
        self.sent - self.proven
    }

    pub(super) fn set_bound(&mut self, bytes: u64) {
        self.bound = Some(bytes);
    }

    fn bound(&self, limits: &Limits) -> Option<u64> {
        self.bound.or(limits.unproven).map(|bytes| bytes.max(LEAST_UNPROVEN))
    }

    /// How many more bytes may leave before earlier ones are proven to have arrived.
    pub(super) fn room(&self, limits: &Limits) -> usize {
        self.bound(limits).map_or(usize::MAX, |bound| bound.saturating_sub(self.unproven()) as usize)
    }

    /// Whether enough was sent behind the last ping for the next one. A quarter of the bound at a time keeps the pipe
    /// full while the answers are on their way.
    pub(super) fn is_due(&self, limits: &Limits) -> bool {
        self.bound(limits).is_some_and(|bound| self.sent - self.marked >= bound / 4)
    }
}

impl fmt::Debug for Pings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pings").field("rtt", &self.rtt).field("unproven", &self.unproven()).finish_non_exhaustive()
    }
}
