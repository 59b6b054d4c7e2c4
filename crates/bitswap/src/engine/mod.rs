//! The serving side of Bitswap for one peer: what it wants, what is being looked up for it, and
//! the answers that wait to be sent.
//!
//! A want goes through three stages and is then forgotten:
//!
//! ```text
//! receive ──► waiting ──► looked up ──► answered ──► in a message
//!                ▲   next_lookup   answer   next_message
//!                └─────────┴── asked anew: upgraded, or no room for the answer
//! ```
//!
//! The engine holds no block of its own, and does not know of other peers: taking turns between
//! peers is the host's part, which the sizes of messages make easy.

mod frozen;
mod limits;
mod lookup;
mod outgoing;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cid::Cid;

pub use limits::Limits;
pub use lookup::{Answer, Lookup, LookupKind, Ticket};
pub use outgoing::Outgoing;
use table::{Queued, Slot, Stage, Want, WantTable};

use crate::message::presence_len;
use crate::{Entry, Presence, Protocol, WantKind, Wantlist};

/// The code of the identity "hash", with which a CID holds its block itself.
const IDENTITY: u64 = 0x00;

/// What is wanted by one peer, and answered to it.
///
/// # Bounds
/// At most [`Limits::max_wants`] wants are held, at 256 bytes or less each (1 MiB with the default
/// limits), and of block data at most [`Limits::max_queued`] and one block more. Nothing is
/// allocated while a peer wants nothing, once [`shrink_to_fit`](Self::shrink_to_fit) was called.
///
/// # Freezing
/// It implements [`serde`]'s traits, with its limits, wants and queued answers. Lookups that were
/// outstanding when it was frozen are waiting again when it is thawed, and tickets from before are
/// void.
pub struct Engine {
    limits: Limits,
    table: WantTable,
    /// The wants that wait to be looked up, the next one last.
    waiting: BTreeSet<Turn>,
    /// Answered wants, in the order in which they were answered. Presences have a queue of their
    /// own and go first: they are small, and a client decides by them whom to ask for the block.
    presences: BTreeMap<u64, Slot>,
    blocks: BTreeMap<u64, Slot>,
    outstanding: Outstanding,
    queued_bytes: usize,
    /// The size to expect of a block: the largest of late, in bytes.
    block_estimate: usize,
    /// Numbers that are never used twice: they order what arrives and tell tickets apart.
    serial: u64,
}

/// The place of a waiting want in the order of lookups, which is ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    priority: i32,
    /// The complement of its number of arrival: among equals, the oldest is the greatest.
    age: u64,
    slot: Slot,
}

/// Lookups that were handed out and not answered yet.
#[derive(Clone, Copy, Debug, Default)]
struct Outstanding {
    blocks: usize,
    haves: usize,
}

impl Outstanding {
    fn of(&mut self, kind: LookupKind) -> &mut usize {
        match kind {
            LookupKind::Block => &mut self.blocks,
            LookupKind::Have => &mut self.haves,
        }
    }
}

/// What became of the entries of a wantlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Wants that are new.
    pub added: usize,
    /// Wants that were there already.
    pub renewed: usize,
    /// Wants withdrawn, one by one or by a full wantlist without them.
    pub cancelled: usize,
    /// Wants given up because there were too many: of the list, or in favour of it.
    pub dropped: usize,
    /// Entries that are not meant for a server: those with identity CIDs.
    pub ignored: usize,
}

impl Engine {
    /// An engine for a peer that wants nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            table: WantTable::new(limits.table_key),
            limits,
            waiting: BTreeSet::new(),
            presences: BTreeMap::new(),
            blocks: BTreeMap::new(),
            outstanding: Outstanding::default(),
            queued_bytes: 0,
            block_estimate: lookup::FIRST_ESTIMATE,
            serial: 0,
        }
    }

    /// Takes in what the peer wants, in a message that came by `protocol`.
    ///
    /// - A want for a CID that is wanted already changes that want: it takes its priority, asks
    ///   for DONT_HAVE if either does, and turns a want-have into a want-block, never back. It
    ///   is still answered once.
    /// - A cancel drops the want at any stage, also its answer if that is not in a message yet.
    /// - A full wantlist drops every want that is not in it.
    /// - With [`Limits::max_wants`] wants there, a new one takes the place of the waiting want of
    ///   lowest priority (of these the youngest) if its own is higher, and is dropped otherwise.
    ///   Nothing is said about dropped wants: clients ask again. boxo does the same, but prefers to
    ///   drop wants whose block it does not have, which is not known here before the lookup.
    /// - Identity CIDs are ignored, as boxo does: who has the CID has the block.
    /// - Before 1.2.0 every want is for the block, and DONT_HAVE is never asked for.
    pub fn receive(&mut self, wantlist: Wantlist, protocol: Protocol) -> Receipt {
        let mut receipt = Receipt::default();
        if wantlist.full {
            receipt.cancelled = self.drop_all_but(&wantlist.entries);
        }
        for mut entry in wantlist.entries {
            if entry.cid.hash().code() == IDENTITY {
                receipt.ignored += 1;
                continue;
            }
            if !protocol.has_presences() {
                entry.kind = WantKind::Block;
                entry.send_dont_have = false;
            }
            match (self.table.find(&entry.cid), entry.cancel) {
                (Some(slot), true) => {
                    self.forget(slot);
                    receipt.cancelled += 1;
                }
                (None, true) => {}
                (Some(slot), false) => {
                    self.renew(slot, &entry);
                    receipt.renewed += 1;
                }
                (None, false) => self.admit(&entry, &mut receipt),
            }
        }
        receipt
    }

    /// Takes of a wantlist only what it withdraws: cancels, and with a full one every want that is not in it. What it
    /// wants is passed over. Returns how many wants were dropped.
    pub fn withdraw(&mut self, wantlist: &Wantlist) -> usize {
        let unnamed = if wantlist.full { self.drop_all_but(&wantlist.entries) } else { 0 };
        let mut cancelled = 0;
        for entry in wantlist.entries.iter().filter(|entry| entry.cancel) {
            if let Some(slot) = self.table.find(&entry.cid) {
                self.forget(slot);
                cancelled += 1;
            }
        }
        unnamed + cancelled
    }

    /// Forgets everything that the peer wants, with the answers that wait to be sent. Tickets of lookups that are
    /// outstanding are void, and stay so.
    pub fn clear(&mut self) {
        self.table.clear();
        self.waiting.clear();
        self.presences.clear();
        self.blocks.clear();
        self.outstanding = Outstanding::default();
        self.queued_bytes = 0;
    }

    fn drop_all_but(&mut self, entries: &[Entry]) -> usize {
        let mut unnamed = self.table.slots();
        if unnamed.is_empty() {
            return 0;
        }
        // One that is named only to be cancelled is dropped when its entry is taken.
        let named = entries.iter().filter_map(|entry| self.table.find(&entry.cid));
        let named: BTreeSet<Slot> = named.collect();
        unnamed.retain(|slot| !named.contains(slot));
        for &slot in &unnamed {
            self.forget(slot);
        }
        unnamed.len()
    }

    fn admit(&mut self, entry: &Entry, receipt: &mut Receipt) {
        if self.table.len() >= self.limits.max_wants {
            receipt.dropped += 1;
            match self.waiting.first() {
                Some(least) if least.priority < entry.priority => self.forget(least.slot),
                _ => return,
            }
        }
        receipt.added += 1;
        let arrival = self.next_serial();
        let slot = self.table.insert(Want {
            cid: entry.cid,
            arrival,
            priority: entry.priority,
            kind: entry.kind,
            send_dont_have: entry.send_dont_have,
            stage: Stage::Waiting,
        });
        self.waiting.insert(self.turn(slot));
    }

    /// Changes a want to what a second entry for the same CID makes of it.
    fn renew(&mut self, slot: Slot, entry: &Entry) {
        let want = &self.table[slot];
        let upgraded = want.kind == WantKind::Have && entry.kind == WantKind::Block;
        let same = want.kind == entry.kind;
        let have_queued = matches!(want.stage, Stage::Answered(_, Queued::Presence(Presence::Have)));
        let waiting = matches!(want.stage, Stage::Waiting) || (upgraded && have_queued);
        if waiting {
            self.detach(slot);
        }
        let want = &mut self.table[slot];
        want.send_dont_have |= entry.send_dont_have;
        if upgraded || same {
            want.kind = entry.kind;
            want.priority = entry.priority;
        }
        if waiting {
            self.wait(slot);
        }
    }

    /// Puts a detached want among those that wait to be looked up.
    fn wait(&mut self, slot: Slot) {
        self.table[slot].stage = Stage::Waiting;
        self.waiting.insert(self.turn(slot));
    }

    fn turn(&self, slot: Slot) -> Turn {
        let want = &self.table[slot];
        Turn { priority: want.priority, age: !want.arrival, slot }
    }

    /// Takes a want out of the queue or count that its stage has it in.
    fn detach(&mut self, slot: Slot) {
        let want = &self.table[slot];
        match &want.stage {
            Stage::Waiting => {
                self.waiting.remove(&self.turn(slot));
            }
            Stage::LookedUp(_, asked) => *self.outstanding.of(*asked) -= 1,
            Stage::Answered(serial, answer) => {
                self.queued_bytes -= answer.queued_bytes(&want.cid);
                match answer {
                    Queued::Block(_) => self.blocks.remove(serial),
                    Queued::Presence(_) => self.presences.remove(serial),
                };
            }
        }
    }

    fn forget(&mut self, slot: Slot) {
        self.detach(slot);
        self.table.remove(slot);
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The limits it keeps to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many wants it holds, at whatever stage.
    pub fn wants(&self) -> usize {
        self.table.len()
    }

    /// How many wants wait to be looked up.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many lookups are outstanding.
    pub fn outstanding(&self) -> usize {
        self.outstanding.blocks + self.outstanding.haves
    }

    /// How many bytes of answers wait to be sent: block data, and presences as encoded.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether [`next_message`](Self::next_message) has something to say.
    pub fn has_answers(&self) -> bool {
        !(self.blocks.is_empty() && self.presences.is_empty())
    }

    /// Whether the peer wants nothing, and nothing waits to be sent to it.
    pub fn is_idle(&self) -> bool {
        self.table.len() == 0
    }

    /// Gives back memory that is not in use. Worth a call when a peer has been idle for a while.
    pub fn shrink_to_fit(&mut self) {
        self.table.shrink_to_fit();
    }
}

impl Queued {
    fn queued_bytes(&self, cid: &Cid) -> usize {
        match self {
            Self::Block(data) => data.len(),
            Self::Presence(presence) => presence_len(cid.encoded_len(), *presence),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("wants", &self.wants())
            .field("waiting", &self.waiting())
            .field("outstanding", &self.outstanding())
            .field("queued_bytes", &self.queued_bytes)
            .finish_non_exhaustive()
    }
}
