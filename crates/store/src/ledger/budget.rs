//! How much may be spent, and what work costs: a host's settings.

use std::time::Duration;

/// What one event may spend, and what may be held at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests an event, of all kinds together.
    pub requests: u64,
    /// CPU time an event, as estimated by [`costs`](Self::costs).
    pub cpu: Duration,
    /// Bytes held at a time, read ahead of what peers want.
    pub bytes: usize,
    /// Requests that may wait for the head of their answer at a time; at least one.
    pub waiting: usize,
    /// What work costs.
    pub costs: Costs,
}

impl Budget {
    /// No bounds, for a host that has none.
    pub const UNLIMITED: Self = Self {
        requests: u64::MAX,
        cpu: Duration::MAX,
        bytes: usize::MAX,
        waiting: usize::MAX,
        costs: Costs { handshake: 0, frame: 0, request: 0, sealed: 0, hashed: 0, read: 0 },
    };
}

/// CPU time of work, in nanoseconds: per piece, and per KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A connection accepted: Noise, the check of a signature, identify.
    pub handshake: u32,
    /// A frame sent or received, whatever its length.
    pub frame: u32,
    /// A request, whatever it brings.
    pub request: u32,
    /// A KiB encrypted or decrypted, and moved to or from the socket.
    pub sealed: u32,
    /// A KiB hashed.
    pub hashed: u32,
    /// A KiB that a request brought.
    pub read: u32,
}

impl Default for Costs {
    /// What workerd takes on a server's core, with Node's crypto.
    fn default() -> Self {
        Self { handshake: 10_000_000, frame: 20_000, request: 300_000, sealed: 3_800, hashed: 800, read: 1_100 }
    }
}

/// Counted work, to be charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Connections accepted.
    pub handshakes: u32,
    /// Frames sent and received.
    pub frames: u32,
    /// Requests begun. Those of [`Account::request`](super::Account::request) are charged there.
    pub requests: u32,
    /// Bytes encrypted and decrypted.
    pub sealed: u64,
    /// Bytes hashed.
    pub hashed: u64,
    /// Bytes that requests brought.
    pub read: u64,
}

impl Costs {
    pub(super) fn of(&self, work: &Work) -> Duration {
        let pieces = u64::from(work.handshakes) * u64::from(self.handshake)
            + u64::from(work.frames) * u64::from(self.frame)
            + u64::from(work.requests) * u64::from(self.request);
        let kib = |bytes: u64, cost: u32| (u128::from(bytes) * u128::from(cost) / 1024) as u64;
        let bytes = kib(work.sealed, self.sealed)
            .saturating_add(kib(work.hashed, self.hashed))
            .saturating_add(kib(work.read, self.read));
        Duration::from_nanos(pieces.saturating_add(bytes))
    }
}
