//! Several lists in their order: what the last of them says that is about a block.

use std::sync::Arc;

use cid::Cid;
use multihash::Multihash;

use crate::compiled::{Denylist, Verdict};
use crate::keys::{Keys, Kind};

/// Lists in their order: what a later one says goes before what an earlier one does.
///
/// A check costs at most ten sha2-256 of about 60 bytes and ten short searches, and nothing where no list has a rule.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    lists: Vec<Arc<Denylist>>,
    legacy: bool,
    modern: bool,
}

/// What decided about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// The place of the list, counted from 0.
    pub list: usize,
    /// What it says.
    pub verdict: Verdict,
}

impl Policy {
    /// A policy of these lists.
    pub fn new(lists: Vec<Arc<Denylist>>) -> Self {
        let has = |kind| lists.iter().any(|list| list.has(kind));
        Self { legacy: has(Kind::Legacy), modern: has(Kind::Modern), lists }
    }

    /// The lists, in their order.
    pub fn lists(&self) -> &[Arc<Denylist>] {
        &self.lists
    }

    /// Whether nothing is denied at all.
    pub fn is_empty(&self) -> bool {
        !self.legacy && !self.modern
    }

    /// Whether the block that is asked for by this CID is denied.
    pub fn is_denied(&self, cid: &Cid) -> bool {
        denies(self.judge(cid.hash(), Some(cid.codec())))
    }

    /// Whether the block with this multihash is denied. It is not looked for under other codecs than
    /// [`CODECS`](crate::CODECS).
    pub fn is_multihash_denied(&self, multihash: &Multihash<64>) -> bool {
        denies(self.judge(multihash, None))
    }

    /// What decides about a block with this multihash, and if it was asked for by a CID, the codec in that.
    pub fn judge(&self, multihash: &Multihash<64>, named: Option<u64>) -> Option<Hit> {
        if self.is_empty() {
            return None;
        }
        let wanted = [(Kind::Legacy, self.legacy), (Kind::Modern, self.modern)];
        let kinds = wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(kind, _)| kind);
        let keys = Keys::some(multihash, named, kinds);
        self.lists.iter().enumerate().rev().find_map(|(list, denylist)| {
            let verdict = denylist.verdict(&keys)?;
            Some(Hit { list, verdict })
        })
    }
}

fn denies(hit: Option<Hit>) -> bool {
    matches!(hit, Some(Hit { verdict: Verdict::Denied(_), .. }))
}
