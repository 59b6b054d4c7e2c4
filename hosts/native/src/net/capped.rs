//! The caps in front of one peer's lookups: nothing is looked up that the peer may not have, and what it got is noted. At
//! a cap its wants are answered as the policy says, and nothing is read for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::Context;

use hoverboard_caps::{Address, Caller, Policy, Refusal, Work};
use hoverboard_peer::wire::PeerId;
use hoverboard_peer::{Answer, Session};

use crate::caps::{Caps, Tab};
use crate::metrics::Metrics;

/// The caps, as one peer meets them.
pub(super) struct Capped {
    caps: Arc<Caps>,
    address: Address,
    /// Once it is known who it is; before that it wants nothing.
    tab: Option<Tab>,
    /// The requests to the store that are noted.
    asked: (u64, u64),
    /// What was said last of a cap, so that it is logged once.
    refusal: Option<Refusal>,
    metrics: Arc<Metrics>,
}

impl Capped {
    pub(super) fn new(caps: Arc<Caps>, ip: IpAddr, metrics: Arc<Metrics>) -> Self {
        Self { caps, address: ip.into(), tab: None, asked: (0, 0), refusal: None, metrics }
    }

    /// The peer proved who it is.
    pub(super) fn connected(&mut self, peer: PeerId) {
        self.tab = Some(Tab::new(self.caps.clone(), Caller { peer, address: self.address }));
    }

    /// How much may be begun now, at least one of everything. `None` if a cap is reached. To be asked only where there
    /// is something to begin: it may take a lease for it.
    pub(super) fn room(&mut self) -> Option<Work> {
        let Some(tab) = &mut self.tab else { return Some(Work::UNLIMITED) };
        match tab.room() {
            Ok(room) => {
                self.refusal = None;
                Some(room)
            }
            Err(refusal) => {
                if self.refusal.replace(refusal).is_none() {
                    let caller = tab.caller();
                    tracing::info!(
                        peer = %caller.peer, address = %caller.address, cap = refusal.scope.name(), until = refusal.until.0,
                        "a cap is reached"
                    );
                }
                None
            }
        }
    }

    /// Notes what a lookup came to.
    pub(super) fn answered(&mut self, answer: &Answer) {
        if let Some(tab) = &mut self.tab {
            tab.answered(match answer {
                Answer::Block(bytes) => Some(bytes.len()),
                Answer::Have { .. } | Answer::Missing | Answer::Unknown => None,
            });
        }
    }

    /// Notes how many requests the store was sent for the peer so far: reads, and listings.
    pub(super) fn asked_store(&mut self, (reads, lists): (u64, u64)) {
        if let Some(tab) = &mut self.tab {
            tab.asked_store(reads - self.asked.0, lists - self.asked.1);
            self.asked = (reads, lists);
        }
    }

    /// Answers all that waits to be looked up as the policy says, as far as there is room for answers, and says whether
    /// there was anything. What is being looked up is another matter.
    pub(super) fn turn_away(&mut self, session: &mut Session, allowance: usize) -> bool {
        let mut turned_away = 0;
        while let Some(lookup) = session.next_lookup(allowance) {
            let answer = match self.caps.policy() {
                Policy::DontHave => Answer::Missing,
                Policy::Silent | Policy::Close => Answer::Unknown,
            };
            session.answer(lookup.ticket, answer);
            turned_away += 1;
        }
        self.metrics.caps.wants.inc_by(turned_away);
        turned_away > 0
    }

    /// Whether a connection ends at a cap.
    pub(super) fn closes(&self) -> bool {
        self.caps.policy() == Policy::Close
    }

    /// Gives back what an idle session has on lease. To be polled with the session.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) {
        if let Some(tab) = &mut self.tab {
            tab.poll_due(cx);
        }
    }
}
