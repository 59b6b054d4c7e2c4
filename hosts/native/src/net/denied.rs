//! The denylist in front of one peer's lookups. A denied block is answered as one that is not there, before any index, cache
//! or file is looked at; and what was being looked up while the lists changed is checked once more before it is answered.

use std::sync::Arc;

use hoverboard_peer::{Answer, Lookup, Session};

use crate::denylist::Denylists;
use crate::metrics::Metrics;

/// The denylists, as one peer meets them.
pub(super) struct Denied {
    lists: Arc<Denylists>,
    /// Of the lists by which the open lookups were checked.
    generation: u64,
    /// Some of them may have been checked by older lists.
    mixed: bool,
    metrics: Arc<Metrics>,
}

impl Denied {
    pub(super) fn new(lists: Arc<Denylists>, metrics: Arc<Metrics>) -> Self {
        Self { generation: lists.generation(), lists, mixed: false, metrics }
    }

    /// The next lookup that `take` gets from the session whose block is not denied; the others are answered.
    pub(super) fn next(
        &mut self,
        session: &mut Session,
        take: impl Fn(&mut Session) -> Option<Lookup>,
    ) -> Option<Lookup> {
        self.note_changes(session);
        loop {
            let lookup = take(session)?;
            if !self.denies(&lookup) {
                return Some(lookup);
            }
            session.answer(lookup.ticket, Answer::Missing);
        }
    }

    /// The answer to a lookup that was [let through](Self::next), if its block is not denied by now.
    pub(super) fn checked(&mut self, session: &Session, lookup: &Lookup, answer: Answer) -> Answer {
        self.note_changes(session);
        match answer {
            Answer::Block(_) | Answer::Have { .. } if self.mixed && self.denies(lookup) => Answer::Missing,
            answer => answer,
        }
    }

    fn denies(&self, lookup: &Lookup) -> bool {
        let denied = self.lists.is_denied(&lookup.cid);
        if denied {
            self.metrics.denylist.denied.inc();
        }
        denied
    }

    fn note_changes(&mut self, session: &Session) {
        let generation = self.lists.generation();
        self.mixed |= generation != self.generation;
        self.generation = generation;
        // With nothing wanted nothing is open.
        self.mixed &= session.wants() > 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cid::Cid;
    use hoverboard_peer::{Event, WantKind};
    use libp2p_identity::Keypair;

    use super::super::{random, session_config};
    use super::*;

    const NOW: Duration = Duration::from_secs(1);
    const ROOM: usize = 65_536;

    /// A peer and its server, which hear each other at once.
    struct Pair {
        client: Session,
        server: Session,
        denied: Denied,
    }

    impl Pair {
        fn new(lists: &Arc<Denylists>) -> Self {
            let config = |serve| {
                let config = session_config(&Keypair::generate_ed25519(), Vec::new(), serve, |_| {}).expect("a key");
                Arc::new(config)
            };
            let server = Session::accept(config(true), None, random(), NOW).expect("begun");
            let client = Session::dial(config(false), None, None, random(), NOW).expect("begun");
            Self { client, server, denied: Denied::new(lists.clone(), Arc::new(Metrics::new())) }
        }

        fn want(&mut self, cid: Cid) {
            self.client.want([(cid, WantKind::Block)]);
            self.talk();
        }

        fn talk(&mut self) {
            loop {
                let (mut there, mut back) = (Vec::new(), Vec::new());
                self.client.transmit(&mut there, ROOM, NOW).expect("sent");
                self.server.receive(&mut there, NOW).expect("received");
                self.server.transmit(&mut back, ROOM, NOW).expect("sent");
                self.client.receive(&mut back, NOW).expect("received");
                if there.is_empty() && back.is_empty() {
                    return;
                }
            }
        }

        fn next(&mut self) -> Option<Lookup> {
            self.denied.next(&mut self.server, Session::look_ahead)
        }

        fn is_told_no(&mut self, cid: Cid) -> bool {
            self.talk();
            std::iter::from_fn(|| self.client.next_event())
                .any(|event| matches!(event, Event::DontHave(no) if no == cid))
        }
    }

    fn cid(seed: u8) -> Cid {
        Cid::new_v1(0x55, hoverboard_dag::multihash(0x12, 32, &[seed]).expect("supported"))
    }

    #[test]
    fn a_denied_block_is_never_looked_up_and_the_others_are() {
        let lists = Arc::new(Denylists::default());
        lists.put(&format!("/ipfs/{}", cid(1)));
        let mut pair = Pair::new(&lists);
        pair.want(cid(1));
        pair.want(cid(2));
        assert_eq!(pair.next().map(|lookup| lookup.cid), Some(cid(2)));
        assert!(pair.next().is_none());
        assert!(pair.is_told_no(cid(1)));
    }

    #[test]
    fn what_is_denied_while_it_is_looked_up_is_not_answered_with_the_block() {
        let lists = Arc::new(Denylists::default());
        let mut pair = Pair::new(&lists);
        pair.want(cid(1));
        pair.want(cid(2));
        let lookups = [pair.next().expect("wanted"), pair.next().expect("wanted")];
        lists.put(&format!("/ipfs/{}", cid(1)));
        for lookup in lookups {
            let answer = pair.denied.checked(&pair.server, &lookup, Answer::Have { size: 1 });
            assert_eq!(matches!(answer, Answer::Missing), lookup.cid == cid(1));
        }
    }
}
