//! The engine against a model that is too simple to be wrong: a list of wants, searched from end
//! to end. Whatever is received, cancelled, answered, frozen and sent in whatever order, every
//! want is answered once, unless it was withdrawn or could not be found out, and DONT_HAVE is
//! said only to who asked.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]

mod support;

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Answer, Engine, Entry, Limits, LookupKind, Presence, Protocol, Ticket, WantKind, Wantlist};
use multihash::Multihash;
use proptest::collection::vec;
use proptest::prelude::*;
use support::{decoded, thawed};

const INLINE_LIMIT: usize = 4;

/// The codec tells the CIDs apart, so that a block in a message tells whose it is.
fn cid(codec: u64) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(0x12, &[7; 32]).unwrap())
}

#[derive(Clone, Debug)]
enum Step {
    Receive { entries: Vec<Entry>, full: bool },
    Withdraw { entries: Vec<Entry>, full: bool },
    LookUp,
    LookAhead,
    Answer { which: prop::sample::Index, answer: Answer },
    Send,
    Freeze,
    Requeue,
    Clear,
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![Just(WantKind::Block), Just(WantKind::Have)];
    (0..12_u64, -1..3, prop::bool::weighted(0.2), kind, any::<bool>()).prop_map(
        |(codec, priority, cancel, kind, send_dont_have)| Entry {
            cid: cid(codec),
            priority,
            cancel,
            kind,
            send_dont_have,
        },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => (0..9_usize).prop_map(|len| Answer::Block(Bytes::from(vec![7; len]))),
        2 => (0..9_u64).prop_map(|size| Answer::Have { size }),
        2 => Just(Answer::Missing),
        1 => Just(Answer::Unknown),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let list = || (vec(entry(), 0..6), prop::bool::weighted(0.1));
    let receive = list().prop_map(|(entries, full)| Step::Receive { entries, full });
    let withdraw = list().prop_map(|(entries, full)| Step::Withdraw { entries, full });
    let answer = (any::<prop::sample::Index>(), answer()).prop_map(|(which, answer)| Step::Answer { which, answer });
    prop_oneof![
        4 => receive,
        1 => withdraw,
        4 => Just(Step::LookUp),
        4 => Just(Step::LookAhead),
        6 => answer,
        2 => Just(Step::Send),
        1 => Just(Step::Freeze),
        1 => Just(Step::Requeue),
        1 => Just(Step::Clear),
    ]
}

/// What an answer says, once it is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Block(Bytes),
    Presence(Presence),
}

#[derive(Clone, Debug)]
enum Stage {
    Waiting,
    LookedUp(Ticket, LookupKind),
    Answered(Said),
}

#[derive(Clone, Debug)]
struct Want {
    entry: Entry,
    stage: Stage,
}

/// The wants in order of arrival.
#[derive(Default)]
struct Model {
    wants: Vec<Want>,
    /// Every ticket ever handed out, void or not.
    tickets: Vec<Ticket>,
}

impl Model {
    fn withdraw(&mut self, entries: &[Entry], full: bool) {
        if full {
            let named = |cid| entries.iter().any(|entry| entry.cid == cid);
            self.wants.retain(|want| named(want.entry.cid));
        }
        let cancelled = |cid| entries.iter().any(|entry| entry.cid == cid && entry.cancel);
        self.wants.retain(|want| !cancelled(want.entry.cid));
    }

    fn receive(&mut self, entries: &[Entry], full: bool) {
        if full {
            let named = |cid| entries.iter().any(|entry| entry.cid == cid && !entry.cancel);
            self.wants.retain(|want| named(want.entry.cid));
        }
        for entry in entries {
            let found = self.wants.iter_mut().find(|want| want.entry.cid == entry.cid);
            match found {
                _ if entry.cancel => self.wants.retain(|want| want.entry.cid != entry.cid),
                None => self.wants.push(Want { entry: *entry, stage: Stage::Waiting }),
                Some(want) => {
                    want.entry.send_dont_have |= entry.send_dont_have;
                    let upgraded = entry.kind == WantKind::Block && want.entry.kind == WantKind::Have;
                    if upgraded || entry.kind == want.entry.kind {
                        want.entry.kind = entry.kind;
                        want.entry.priority = entry.priority;
                    }
                    let have = Said::Presence(Presence::Have);
                    if upgraded && matches!(&want.stage, Stage::Answered(said) if *said == have) {
                        want.stage = Stage::Waiting;
                    }
                }
            }
        }
    }

    /// The first of the highest priority.
    fn next_waiting(&mut self) -> Option<&mut Want> {
        let waiting = self.wants.iter_mut().filter(|want| matches!(want.stage, Stage::Waiting));
        waiting.reduce(|best, want| if want.entry.priority > best.entry.priority { want } else { best })
    }

    /// `is_full`: as many answers wait as may.
    fn answer(&mut self, ticket: Ticket, answer: Answer, is_full: bool) {
        let looked_up = |want: &Want| match want.stage {
            Stage::LookedUp(held, asked) if held == ticket => Some(asked),
            _ => None,
        };
        let found = self.wants.iter().position(|want| looked_up(want).is_some());
        let Some(at) = found else { return };
        let want = &mut self.wants[at];
        let asked = looked_up(want);
        let have_will_do = want.entry.kind == WantKind::Have;
        let stage = match answer {
            Answer::Block(data) if have_will_do && data.len() > INLINE_LIMIT => {
                Some(Stage::Answered(Said::Presence(Presence::Have)))
            }
            Answer::Block(_) if is_full => Some(Stage::Waiting),
            Answer::Block(data) => Some(Stage::Answered(Said::Block(data))),
            Answer::Have { .. } if asked == Some(LookupKind::Block) => None,
            Answer::Have { size } if have_will_do && size > INLINE_LIMIT as u64 => {
                Some(Stage::Answered(Said::Presence(Presence::Have)))
            }
            Answer::Have { .. } => {
                want.entry.kind = WantKind::Block;
                Some(Stage::Waiting)
            }
            Answer::Missing if want.entry.send_dont_have => Some(Stage::Answered(Said::Presence(Presence::DontHave))),
            Answer::Missing | Answer::Unknown => None,
        };
        match stage {
            Some(stage) => want.stage = stage,
            None => {
                self.wants.remove(at);
            }
        }
    }

    fn requeue(&mut self) {
        for want in &mut self.wants {
            if matches!(want.stage, Stage::LookedUp(..)) {
                want.stage = Stage::Waiting;
            }
        }
    }

    /// Takes out everything that is answered, sorted by CID.
    fn send(&mut self) -> Vec<(Cid, Said)> {
        let mut said = Vec::new();
        self.wants.retain(|want| match &want.stage {
            Stage::Answered(answer) => {
                said.push((want.entry.cid, answer.clone()));
                false
            }
            _ => true,
        });
        said.sort_by_key(|(cid, _)| *cid);
        said
    }

    fn count(&self, stage: fn(&Stage) -> bool) -> usize {
        self.wants.iter().filter(|want| stage(&want.stage)).count()
    }
}

fn sent(engine: &mut Engine) -> Vec<(Cid, Said)> {
    let mut said = Vec::new();
    while let Some(outgoing) = engine.next_message(Protocol::V1_2_0) {
        let message = decoded(&outgoing);
        assert!(outgoing.blocks + outgoing.presences > 0);
        let presences = message.presences.into_iter();
        said.extend(presences.map(|(cid, presence)| (cid, Said::Presence(presence))));
        said.extend(
            message.blocks.into_iter().map(|block| (cid(block.prefix.unwrap().codec), Said::Block(block.data))),
        );
    }
    said.sort_by_key(|(cid, _)| *cid);
    said
}

fn check_counts(engine: &Engine, model: &Model) {
    assert_eq!(engine.wants(), model.wants.len());
    assert_eq!(engine.waiting(), model.count(|stage| matches!(stage, Stage::Waiting)));
    assert_eq!(engine.outstanding(), model.count(|stage| matches!(stage, Stage::LookedUp(..))));
    let answered = model.count(|stage| matches!(stage, Stage::Answered(_)));
    assert!(answered > 0 || engine.queued_bytes() == 0);
    assert_eq!(engine.room(), engine.limits().max_queued.saturating_sub(engine.queued_bytes()));
    for ticket in &model.tickets {
        let is_open = |want: &Want| matches!(&want.stage, Stage::LookedUp(held, _) if held == ticket);
        assert_eq!(engine.is_open(*ticket), model.wants.iter().any(is_open));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_want_is_answered_once_and_as_it_asked(
        steps in vec(step(), 0..80),
        table_key: u64,
        message_target in 0..40_usize,
        max_queued in prop_oneof![Just(1 << 40), 0..12_usize],
        max_outstanding in 0..6_usize,
    ) {
        let limits = Limits {
            inline_limit: INLINE_LIMIT,
            max_queued,
            max_outstanding,
            message_target,
            table_key,
            ..Limits::default()
        };
        let (mut engine, mut model) = (Engine::new(limits), Model::default());
        for step in steps {
            match step {
                Step::Receive { entries, full } => {
                    model.receive(&entries, full);
                    engine.receive(Wantlist { entries, full }, Protocol::V1_2_0);
                }
                Step::Withdraw { entries, full } => {
                    let wants = model.wants.len();
                    model.withdraw(&entries, full);
                    let dropped = engine.withdraw(&Wantlist { entries, full });
                    prop_assert_eq!(dropped, wants - model.wants.len());
                }
                Step::LookUp | Step::LookAhead => {
                    let ahead = matches!(step, Step::LookAhead);
                    let lookup = if ahead { engine.look_ahead() } else { engine.next_lookup() };
                    let outstanding = model.count(|stage| matches!(stage, Stage::LookedUp(..)));
                    let may_look = outstanding < max_outstanding.max(1);
                    // How much is expected to fit is the engine's to judge; with nothing under way it must look.
                    let must_look = may_look && (ahead || (outstanding == 0 && engine.queued_bytes() == 0));
                    match (lookup, model.next_waiting()) {
                        (None, want) => prop_assert!(want.is_none() || !must_look),
                        (Some(lookup), Some(want)) => {
                            prop_assert!(may_look);
                            prop_assert_eq!(lookup.cid, want.entry.cid);
                            let block = lookup.kind == LookupKind::Block;
                            prop_assert_eq!(block, want.entry.kind == WantKind::Block);
                            want.stage = Stage::LookedUp(lookup.ticket, lookup.kind);
                            prop_assert!(!model.tickets.contains(&lookup.ticket));
                            model.tickets.push(lookup.ticket);
                        }
                        (Some(lookup), None) => prop_assert!(false, "{lookup:?}, which nobody wants"),
                    }
                }
                Step::Answer { which, answer } => {
                    if !model.tickets.is_empty() {
                        let ticket = *which.get(&model.tickets);
                        let is_full = engine.queued_bytes() > 0 && engine.room() == 0;
                        model.answer(ticket, answer.clone(), is_full);
                        engine.answer(ticket, answer);
                    }
                }
                Step::Send => prop_assert_eq!(sent(&mut engine), model.send()),
                Step::Freeze => {
                    engine = thawed(&engine);
                    model.requeue();
                }
                Step::Requeue => {
                    engine.requeue_outstanding();
                    model.requeue();
                }
                Step::Clear => {
                    engine.clear();
                    model.wants.clear();
                }
            }
            check_counts(&engine, &model);
        }
        prop_assert_eq!(sent(&mut engine), model.send());
    }
}
