//! One yamux stream: what may be sent, what waits to be sent, what the peer may still send.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};

use super::frame::{ACK, SYN};

/// Both windows of a new stream, by the specification.
pub(crate) const INITIAL_WINDOW: u32 = 256 * 1024;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// Flags that the next frame of this stream carries: SYN or ACK, once.
    pub(super) opening: u16,
    pub(super) send_window: u32,
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queued: usize,
    pub(super) fin_queued: bool,
    pub(super) fin_sent: bool,
    pub(super) fin_received: bool,
    /// How much the peer may still send.
    pub(super) receive_window: u32,
    /// What `receive_window` is filled up to.
    pub(super) receive_target: u32,
    /// Received bytes that were used up and not yet credited.
    pub(super) consumed: u32,
    pub(super) credited_at: Duration,
    /// Whether the stream is in the list of those with something to send.
    pub(super) ready: bool,
}

impl Stream {
    pub(super) fn dialled(now: Duration) -> Self {
        Self::new(SYN, now)
    }

    pub(super) fn accepted(now: Duration) -> Self {
        Self::new(ACK, now)
    }

    fn new(opening: u16, now: Duration) -> Self {
        Self {
            opening,
            send_window: INITIAL_WINDOW,
            queue: VecDeque::new(),
            queued: 0,
            fin_queued: false,
            fin_sent: false,
            fin_received: false,
            receive_window: INITIAL_WINDOW,
            receive_target: INITIAL_WINDOW,
            consumed: 0,
            credited_at: now,
            ready: false,
        }
    }

    /// Whether a data frame could be sent now: bytes that fit the window, or the end of the stream.
    pub(super) fn sendable(&self) -> bool {
        (self.queued > 0 && self.send_window > 0) || (self.queued == 0 && self.fin_queued && !self.fin_sent)
    }

    pub(super) fn is_over(&self) -> bool {
        self.fin_sent && self.fin_received
    }

    /// Moves the first `n` queued bytes to the end of `out`.
    pub(super) fn take(&mut self, mut n: usize, out: &mut Vec<u8>) {
        self.queued -= n;
        self.send_window -= n as u32;
        while n > 0 {
            let Some(front) = self.queue.front_mut() else {
                return;
            };
            let part = n.min(front.len());
            out.extend_from_slice(&front[..part]);
            front.advance(part);
            n -= part;
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
    }

    /// How much to credit now: nothing until half the window is used up. The window doubles when it was used up
    /// faster than four round trips, as the path then holds more than it.
    pub(super) fn credit(&mut self, now: Duration, rtt: Option<Duration>, max_window: u32) -> Option<u32> {
        if self.fin_received || self.consumed < self.receive_target / 2 {
            return None;
        }
        let mut credit = std::mem::take(&mut self.consumed);
        let took = now.saturating_sub(self.credited_at);
        self.credited_at = now;
        if rtt.is_some_and(|rtt| took < 4 * rtt) && self.receive_target < max_window {
            let grown = self.receive_target.saturating_mul(2).min(max_window);
            credit += grown - self.receive_target;
            self.receive_target = grown;
        }
        self.receive_window += credit;
        Some(credit)
    }
}
