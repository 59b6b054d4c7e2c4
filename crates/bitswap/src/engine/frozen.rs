//! The engine as stored between two events: everything that matters later, and no more than that.
//! An idle engine takes some twenty bytes, a want about forty.

use std::fmt;

use cid::Cid;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::table::{Queued, Slot, Stage, Want};
use super::{Engine, Limits};
use crate::WantKind;
use crate::message::EncodedCid;

#[derive(Serialize, Deserialize)]
struct Frozen {
    limits: Limits,
    block_estimate: usize,
    /// Kept so that a ticket from before the freeze can never be taken for one from after it.
    serial: u64,
    /// Waiting or looked up, in order of arrival.
    unanswered: Vec<FrozenWant>,
    /// In the order in which they are to be sent.
    answered: Vec<(FrozenWant, Queued)>,
}

#[derive(Serialize, Deserialize)]
struct FrozenWant {
    cid: FrozenCid,
    /// It decides between wants of one priority, also when an answered one comes to wait again.
    arrival: u64,
    priority: i32,
    kind: WantKind,
    send_dont_have: bool,
}

struct FrozenCid(Cid);

impl Engine {
    fn freeze(&self) -> Frozen {
        let frozen = |&slot: &Slot| {
            let want = &self.table[slot];
            FrozenWant {
                cid: FrozenCid(want.cid),
                arrival: want.arrival,
                priority: want.priority,
                kind: want.kind,
                send_dont_have: want.send_dont_have,
            }
        };
        let mut unanswered = self.table.slots();
        unanswered.retain(|slot| !matches!(self.table[*slot].stage, Stage::Answered(..)));
        unanswered.sort_unstable_by_key(|slot| self.table[*slot].arrival);
        let answered = self.presences.values().chain(self.blocks.values());
        let answered = answered.filter_map(|slot| match &self.table[*slot].stage {
            Stage::Answered(_, answer) => Some((frozen(slot), answer.clone())),
            _ => None,
        });
        Frozen {
            limits: self.limits.clone(),
            block_estimate: self.block_estimate,
            serial: self.serial,
            unanswered: unanswered.iter().map(frozen).collect(),
            answered: answered.collect(),
        }
    }

    fn thaw(frozen: Frozen) -> Result<Self, &'static str> {
        let mut engine = Self::new(frozen.limits);
        engine.block_estimate = frozen.block_estimate;
        engine.serial = frozen.serial;
        for (want, answer) in frozen.answered {
            let slot = engine.thaw_want(want)?;
            engine.queue(slot, answer);
        }
        for want in frozen.unanswered {
            engine.thaw_want(want)?;
        }
        Ok(engine)
    }

    fn thaw_want(&mut self, frozen: FrozenWant) -> Result<Slot, &'static str> {
        let FrozenWant { cid: FrozenCid(cid), arrival, priority, kind, send_dont_have } = frozen;
        if self.table.find(&cid).is_some() {
            return Err("a CID is wanted twice");
        }
        let stage = Stage::Waiting;
        let want = Want { cid, arrival, priority, kind, send_dont_have, stage };
        let slot = self.table.insert(want);
        self.wait(slot);
        Ok(slot)
    }
}

impl Serialize for Engine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.freeze().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Engine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::thaw(Frozen::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for FrozenCid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(EncodedCid::new(&self.0).as_slice())
    }
}

impl<'de> Deserialize<'de> for FrozenCid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(CidVisitor)
    }
}

struct CidVisitor;

impl Visitor<'_> for CidVisitor {
    type Value = FrozenCid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a CID")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<FrozenCid, E> {
        Cid::try_from(bytes).map(FrozenCid).map_err(E::custom)
    }
}
