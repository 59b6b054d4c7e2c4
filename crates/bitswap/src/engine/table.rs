//! The wants of one peer, found by CID or by slot. It keeps no order: the engine's queues do.

use std::hash::BuildHasher;
use std::ops::{Index, IndexMut};

use bytes::Bytes;
use cid::Cid;
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use slab::Slab;

use super::LookupKind;
use crate::{Presence, WantKind};

/// Where a want lies in the table, while it lies there.
pub(super) type Slot = u32;

/// One want, and how far it has come.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) cid: Cid,
    /// Later wants have greater numbers.
    pub(super) arrival: u64,
    pub(super) priority: i32,
    pub(super) kind: WantKind,
    pub(super) send_dont_have: bool,
    pub(super) stage: Stage,
}

/// How far a want has come. The numbers are serials of the engine.
#[derive(Debug)]
pub(super) enum Stage {
    /// In the queue for lookups.
    Waiting,
    /// Handed to the host, as the ticket of that number, to be looked up as that kind.
    LookedUp(u64, LookupKind),
    /// In the queue of answers, under that number.
    Answered(u64, Queued),
}

/// An answer that waits to be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Queued {
    Block(Bytes),
    Presence(Presence),
}

pub(super) struct WantTable {
    wants: Slab<Want>,
    by_cid: HashTable<Slot>,
    hasher: SeedableRandomState,
}

impl WantTable {
    pub(super) fn new(key: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(key, SharedSeed::global_random());
        Self { wants: Slab::new(), by_cid: HashTable::new(), hasher }
    }

    pub(super) fn len(&self) -> usize {
        self.wants.len()
    }

    pub(super) fn find(&self, cid: &Cid) -> Option<Slot> {
        let hash = self.hasher.hash_one(cid);
        self.by_cid.find(hash, |&slot| self[slot].cid == *cid).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Want> {
        self.wants.get(slot as usize)
    }

    /// Puts in a want whose CID is not there yet.
    pub(super) fn insert(&mut self, want: Want) -> Slot {
        let hash = self.hasher.hash_one(want.cid);
        let slot = self.wants.insert(want) as Slot;
        let (wants, hasher) = (&self.wants, &self.hasher);
        self.by_cid.insert_unique(hash, slot, |&slot| hasher.hash_one(wants[slot as usize].cid));
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Want {
        let want = self.wants.remove(slot as usize);
        let hash = self.hasher.hash_one(want.cid);
        if let Ok(entry) = self.by_cid.find_entry(hash, |&found| found == slot) {
            entry.remove();
        }
        want
    }

    pub(super) fn clear(&mut self) {
        self.wants.clear();
        self.by_cid.clear();
    }

    /// Every slot in use, in no particular order.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.by_cid.iter().copied().collect()
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.wants.shrink_to_fit();
        let (wants, hasher) = (&self.wants, &self.hasher);
        self.by_cid.shrink_to_fit(|&slot| hasher.hash_one(wants[slot as usize].cid));
    }
}

impl Index<Slot> for WantTable {
    type Output = Want;

    fn index(&self, slot: Slot) -> &Want {
        &self.wants[slot as usize]
    }
}

impl IndexMut<Slot> for WantTable {
    fn index_mut(&mut self, slot: Slot) -> &mut Want {
        &mut self.wants[slot as usize]
    }
}

/// Half of what the engine's documentation promises of a want: the rest is for the queues, the
/// index and their growth.
const _: () = assert!(size_of::<Want>() <= 176);
