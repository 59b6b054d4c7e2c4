//! The host's side of the engine: which block is to be looked up next, and what the host found.
//! How many lookups are handed out is decided here; how they are carried out is not.

use bytes::Bytes;
use cid::Cid;

use super::Engine;
use super::table::{Queued, Slot, Stage};
use crate::message::BlockHead;
use crate::{MAX_MESSAGE, Prefix, Presence, WantKind};

/// The block size to expect before one was seen: what kubo cuts files into.
pub(super) const FIRST_ESTIMATE: usize = 256 << 10;

/// A question to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// To be given back with the answer.
    pub ticket: Ticket,
    /// The block it is about.
    pub cid: Cid,
    /// What the peer wants of it.
    pub kind: LookupKind,
    /// For [`LookupKind::Have`]: the size, in bytes, up to which the block itself is the better
    /// answer.
    pub inline_limit: usize,
}

/// What is to be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LookupKind {
    /// The block: [`Answer::Block`], [`Answer::Missing`] or [`Answer::Unknown`].
    Block,
    /// Whether it is there: [`Answer::Have`] too. A host that can read small blocks as cheaply as
    /// find them answers with [`Answer::Block`] up to [`Lookup::inline_limit`]; one that finds a
    /// smaller size and says [`Answer::Have`] is asked again, for the block.
    Have,
}

/// Stands for one lookup. It is good for one answer, and void once the want is cancelled or the
/// lookup is handed out anew; a void ticket is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    slot: Slot,
    serial: u64,
}

/// What the host found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The block, whose bytes were checked against the CID.
    Block(Bytes),
    /// The block is there, and this large in bytes.
    Have {
        /// The length of the block.
        size: u64,
    },
    /// The block is definitely not there. A failure to find out is [`Answer::Unknown`].
    Missing,
    /// It could not be found out. The want is forgotten and nothing said: the peer will ask
    /// again.
    Unknown,
}

impl Engine {
    /// The next want to look up: that of the highest priority, and of several the oldest.
    ///
    /// `None` if there is none, or no room for more answers: as many lookups are handed out as
    /// [`Limits`](super::Limits) allows and as are expected to fit, judging by the blocks of late.
    /// With nothing queued and nothing outstanding there is always room for one, whatever its size.
    pub fn next_lookup(&mut self) -> Option<Lookup> {
        if self.has_room() { self.hand_out() } else { None }
    }

    /// The next want to look up, in the same order, whether or not there is room for its answer: only
    /// [`Limits::max_outstanding`](super::Limits::max_outstanding) holds it back.
    ///
    /// For hosts that plan their reads over the whole queue. They bound what they answer with by
    /// [`room`](Self::room); what they have no room for they put back by
    /// [`requeue_outstanding`](Self::requeue_outstanding), or keep and answer later.
    pub fn look_ahead(&mut self) -> Option<Lookup> {
        if self.outstanding() < self.limits.max_outstanding.max(1) { self.hand_out() } else { None }
    }

    fn hand_out(&mut self) -> Option<Lookup> {
        let slot = self.waiting.pop_last()?.slot;
        let serial = self.next_serial();
        let want = &mut self.table[slot];
        let kind = match want.kind {
            WantKind::Block => LookupKind::Block,
            WantKind::Have => LookupKind::Have,
        };
        want.stage = Stage::LookedUp(serial, kind);
        *self.outstanding.of(kind) += 1;
        let ticket = Ticket { slot, serial };
        Some(Lookup { ticket, cid: want.cid, kind, inline_limit: self.limits.inline_limit })
    }

    fn has_room(&self) -> bool {
        let expected = self.outstanding.blocks.saturating_mul(self.block_estimate)
            + self.outstanding.haves * self.limits.inline_limit.min(MAX_MESSAGE);
        match self.outstanding() {
            0 => self.queued_bytes == 0 || self.queued_bytes < self.limits.max_queued,
            outstanding => {
                outstanding < self.limits.max_outstanding
                    && self.queued_bytes.saturating_add(expected) < self.limits.max_queued
            }
        }
    }

    /// Takes the host's answer to a lookup, and returns whether something will be sent for it.
    ///
    /// Nothing is sent for a void ticket; for a block that is missing where DONT_HAVE was not asked
    /// for; and for a block of more than about 4 MiB, which no message can carry. These wants are
    /// forgotten. Nothing is sent *yet* where [`Limits::max_queued`](super::Limits::max_queued) is
    /// exceeded already, or the peer has come to want the block itself since: it is looked up again
    /// later.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) -> bool {
        let Some(want) = self.table.get(ticket.slot) else {
            return false;
        };
        let asked = match want.stage {
            Stage::LookedUp(serial, asked) if serial == ticket.serial => asked,
            _ => return false,
        };
        let (slot, kind) = (ticket.slot, want.kind);
        let inline_limit = self.limits.inline_limit;
        match answer {
            Answer::Block(data) if kind == WantKind::Have && data.len() > inline_limit => {
                self.queue(slot, Queued::Presence(Presence::Have))
            }
            Answer::Block(data) if fits_a_message(&want.cid, data.len()) => {
                self.expect_blocks_like(data.len());
                if self.queued_bytes > 0 && self.queued_bytes >= self.limits.max_queued {
                    self.look_up_again(slot)
                } else {
                    self.queue(slot, Queued::Block(data))
                }
            }
            Answer::Have { size } if asked == LookupKind::Have => {
                if kind == WantKind::Have && size > inline_limit as u64 {
                    self.queue(slot, Queued::Presence(Presence::Have))
                } else {
                    self.table[slot].kind = WantKind::Block;
                    self.look_up_again(slot)
                }
            }
            Answer::Missing if want.send_dont_have => self.queue(slot, Queued::Presence(Presence::DontHave)),
            Answer::Block(_) | Answer::Have { .. } | Answer::Missing | Answer::Unknown => {
                self.forget(slot);
                false
            }
        }
    }

    /// Whether the answer to a lookup is still waited for: not once it was answered or handed out anew, or its want
    /// was withdrawn. Reading for a ticket that is not open is work for nothing.
    pub fn is_open(&self, ticket: Ticket) -> bool {
        let want = self.table.get(ticket.slot);
        want.is_some_and(|want| matches!(want.stage, Stage::LookedUp(serial, _) if serial == ticket.serial))
    }

    /// How many more bytes of answers may wait to be sent. A block that is larger than that is still taken while
    /// this is not 0, and always where nothing waits.
    pub fn room(&self) -> usize {
        self.limits.max_queued.saturating_sub(self.queued_bytes)
    }

    /// Makes every outstanding lookup wait again, in its old place; their tickets are void. For a
    /// host that has lost track of them.
    pub fn requeue_outstanding(&mut self) {
        for slot in self.table.slots() {
            if matches!(self.table[slot].stage, Stage::LookedUp(..)) {
                self.look_up_again(slot);
            }
        }
    }

    fn look_up_again(&mut self, slot: Slot) -> bool {
        self.detach(slot);
        self.wait(slot);
        false
    }

    pub(super) fn queue(&mut self, slot: Slot, answer: Queued) -> bool {
        self.detach(slot);
        let serial = self.next_serial();
        let want = &mut self.table[slot];
        self.queued_bytes += answer.queued_bytes(&want.cid);
        match &answer {
            Queued::Block(_) => self.blocks.insert(serial, slot),
            Queued::Presence(_) => self.presences.insert(serial, slot),
        };
        want.stage = Stage::Answered(serial, answer);
        true
    }

    /// The estimate follows the largest blocks at once and small ones slowly: too many lookups cost
    /// reads that are thrown away, too few only a turn.
    fn expect_blocks_like(&mut self, len: usize) {
        let decayed = self.block_estimate - self.block_estimate.div_ceil(16);
        self.block_estimate = len.max(decayed);
    }
}

/// Whether a block can be sent at all: alone in a message, with its prefix.
fn fits_a_message(cid: &Cid, len: usize) -> bool {
    len <= MAX_MESSAGE && BlockHead::new(Some(&Prefix::of(cid)), len).len() + len <= MAX_MESSAGE
}
