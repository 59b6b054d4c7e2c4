//! Packs answers into messages: small ones together, blocks of some size without a copy.

use bytes::{BufMut, Bytes, BytesMut};

use super::Engine;
use super::table::{Queued, Slot, Stage};
use crate::message::{BlockHead, PENDING_BYTES, presence_len, put_presence};
use crate::proto::{int32_len, put_int32, put_varint, varint_len};
use crate::{MAX_MESSAGE, Prefix, Presence, Protocol};

/// Blocks up to this size are copied next to what surrounds them: a few such copies are cheaper
/// than what every further segment costs whoever sends them.
const COPY_LIMIT: usize = 4096;

/// A message with its length prefix, ready for the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The bytes to send, in this order. Blocks of more than 4 KiB are segments of their own,
    /// and are what the host answered with.
    pub segments: Vec<Bytes>,
    /// How many bytes the segments have together.
    pub len: usize,
    /// How many blocks are in it.
    pub blocks: usize,
    /// How many bytes the blocks have together.
    pub block_bytes: usize,
    /// How many HAVE and DONT_HAVE are in it.
    pub presences: usize,
}

/// What goes into a message, decided before it is written.
#[derive(Default)]
struct Plan {
    /// The length of the message, without its prefix.
    len: usize,
    blocks: usize,
    block_bytes: usize,
    /// How much of `block_bytes` lies in blocks that are not copied.
    uncopied_bytes: usize,
    presences: usize,
    presence_bytes: usize,
    pending_bytes: i32,
}

impl Engine {
    /// The next message to send by `protocol`, or `None` if there is nothing to say. The wants
    /// answered in it are done with.
    ///
    /// It holds presences and blocks up to
    /// [`Limits::message_target`](super::Limits::message_target) bytes each, at least one of them,
    /// and is never longer than [`MAX_MESSAGE`]. A block is named as the peer named it, CIDv0 or v1
    /// and by any codec. Presences cannot be said before 1.2.0 and are forgotten.
    pub fn next_message(&mut self, protocol: Protocol) -> Option<Outgoing> {
        if !protocol.has_presences() {
            self.forget_presences();
        }
        if self.blocks.is_empty() && self.presences.is_empty() {
            return None;
        }
        let plan = self.plan(protocol);
        let head_len = varint_len(plan.len as u64);
        let mut out = BytesMut::with_capacity(head_len + plan.len - plan.uncopied_bytes);
        let mut uncopied = Vec::new();
        put_varint(&mut out, plan.len as u64);
        self.write_blocks(&plan, protocol, &mut out, &mut uncopied);
        self.write_presences(&plan, &mut out);
        if plan.pending_bytes != 0 {
            put_int32(&mut out, PENDING_BYTES, plan.pending_bytes);
        }
        self.queued_bytes -= plan.block_bytes + plan.presence_bytes;
        debug_assert_eq!(out.len() + plan.uncopied_bytes, head_len + plan.len);
        Some(Outgoing {
            segments: interleave(out.freeze(), uncopied),
            len: head_len + plan.len,
            blocks: plan.blocks,
            block_bytes: plan.block_bytes,
            presences: plan.presences,
        })
    }

    fn plan(&self, protocol: Protocol) -> Plan {
        let mut plan = Plan::default();
        let target = self.limits.message_target.min(MAX_MESSAGE);
        for &slot in self.presences.values() {
            let Some(presence) = self.queued_presence(slot) else {
                continue;
            };
            let len = presence_len(self.table[slot].cid.encoded_len(), presence);
            if plan.presences > 0 && plan.len + len > target {
                break;
            }
            plan.presences += 1;
            plan.len += len;
        }
        plan.presence_bytes = plan.len;
        for &slot in self.blocks.values() {
            let Some(data) = self.queued_block(slot) else {
                continue;
            };
            let len = self.block_head(slot, data.len(), protocol).len() + data.len();
            let full = plan.blocks > 0 && plan.block_bytes + data.len() > target;
            if full || plan.len + len > MAX_MESSAGE {
                break;
            }
            plan.blocks += 1;
            plan.len += len;
            plan.block_bytes += data.len();
            if data.len() > COPY_LIMIT {
                plan.uncopied_bytes += data.len();
            }
        }
        let pending = self.queued_bytes - plan.block_bytes - plan.presence_bytes;
        let pending = i32::try_from(pending).unwrap_or(i32::MAX);
        let sayable = protocol.has_presences() && plan.len + int32_len(pending) <= MAX_MESSAGE;
        if pending != 0 && sayable {
            plan.pending_bytes = pending;
            plan.len += int32_len(pending);
        }
        plan
    }

    fn write_blocks(
        &mut self,
        plan: &Plan,
        protocol: Protocol,
        out: &mut BytesMut,
        uncopied: &mut Vec<(usize, Bytes)>,
    ) {
        for _ in 0..plan.blocks {
            let Some((_, slot)) = self.blocks.pop_first() else {
                return;
            };
            let Some(data) = self.queued_block(slot) else {
                continue;
            };
            self.block_head(slot, data.len(), protocol).write(out);
            if data.len() > COPY_LIMIT {
                uncopied.push((out.len(), data.clone()));
            } else {
                out.put_slice(data);
            }
            self.table.remove(slot);
        }
    }

    fn write_presences(&mut self, plan: &Plan, out: &mut BytesMut) {
        for _ in 0..plan.presences {
            let Some((_, slot)) = self.presences.pop_first() else {
                return;
            };
            let Some(presence) = self.queued_presence(slot) else {
                continue;
            };
            put_presence(out, &self.table[slot].cid, presence);
            self.table.remove(slot);
        }
    }

    fn block_head(&self, slot: Slot, data_len: usize, protocol: Protocol) -> BlockHead {
        let prefix = Prefix::of(&self.table[slot].cid);
        BlockHead::new(protocol.has_prefixes().then_some(&prefix), data_len)
    }

    fn queued_block(&self, slot: Slot) -> Option<&Bytes> {
        match &self.table[slot].stage {
            Stage::Answered(_, Queued::Block(data)) => Some(data),
            _ => None,
        }
    }

    fn queued_presence(&self, slot: Slot) -> Option<Presence> {
        match self.table[slot].stage {
            Stage::Answered(_, Queued::Presence(presence)) => Some(presence),
            _ => None,
        }
    }

    fn forget_presences(&mut self) {
        while let Some(slot) = self.presences.first_key_value().map(|(_, slot)| *slot) {
            self.forget(slot);
        }
    }
}

/// Puts each block of `uncopied` at the position in `copied` that comes with it.
fn interleave(copied: Bytes, uncopied: Vec<(usize, Bytes)>) -> Vec<Bytes> {
    let mut segments = Vec::with_capacity(2 * uncopied.len() + 1);
    let mut from = 0;
    for (position, data) in uncopied {
        segments.push(copied.slice(from..position));
        segments.push(data);
        from = position;
    }
    if from < copied.len() {
        segments.push(copied.slice(from..));
    }
    segments
}
