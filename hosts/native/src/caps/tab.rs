//! One session's account with the ledger: it asks before work is begun, notes what was done, and settles at the end,
//! however that comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use hoverboard_caps::{Caller, Gate, Meter, Money, Refusal, Timestamp, Work};
use tokio::time::Sleep;

use super::Caps;
use super::ledger::now;

/// The account of one connection.
pub(crate) struct Tab {
    caps: Arc<Caps>,
    caller: Caller,
    meter: Meter,
    /// When a lease that is not used up is given back: one that ends then by the clock.
    timer: Option<(Timestamp, Pin<Box<Sleep>>)>,
}

impl Tab {
    pub(crate) fn new(caps: Arc<Caps>, caller: Caller) -> Self {
        Self { caps, caller, meter: Meter::default(), timer: None }
    }

    /// How much work may be begun now: at least one of everything, or nothing.
    pub(crate) fn room(&mut self) -> Result<Work, Refusal> {
        let time = now();
        if self.meter.gate(time) == Gate::Ask {
            let report = self.meter.report(true);
            if let Some(verdict) = self.caps.report(&self.caller, &report, time) {
                self.meter.answered(verdict, time);
            }
        }
        match self.meter.gate(time) {
            Gate::Open(room) => Ok(room),
            Gate::Shut(refusal) => Err(refusal),
            // Not to be: what was granted or refused now is good now.
            Gate::Ask | Gate::Waiting => Ok(Work { requests: 1, blocks: 1, bytes: 1, cost: Money(1) }),
        }
    }

    /// Notes an answer: a block of so many bytes, or another one.
    pub(crate) fn answered(&mut self, block: Option<usize>) {
        let bytes = block.unwrap_or(0) as u64;
        let cost = self.caps.settings.prices.of(0, 0, bytes);
        self.meter.spend(Work { requests: 1, blocks: u64::from(block.is_some()), bytes, cost });
    }

    /// Notes requests to the store: reads, and listings or writes.
    pub(crate) fn asked_store(&mut self, reads: u64, lists: u64) {
        if reads + lists > 0 {
            let cost = self.caps.settings.prices.of(reads, lists, 0);
            self.meter.spend(Work { cost, ..Work::NONE });
        }
    }

    /// Whose account it is.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Gives a lease back that has ended while the session was idle. To be polled with the session.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) {
        let Some(due) = self.meter.due() else {
            self.timer = None;
            return;
        };
        if self.timer.as_ref().is_none_or(|(at, _)| *at != due) {
            // Whatever the clock does meanwhile, it is not held for longer than it was good for.
            let wait = due.0.saturating_sub(now().0).min(self.caps.settings.rules.lease_seconds);
            self.timer = Some((due, Box::pin(tokio::time::sleep(Duration::from_secs(wait)))));
        }
        if let Some((_, timer)) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            self.timer = None;
            self.settle();
        }
    }

    fn settle(&mut self) {
        let report = self.meter.report(false);
        if !report.is_empty() {
            self.caps.report(&self.caller, &report, now());
        }
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.settle();
    }
}
