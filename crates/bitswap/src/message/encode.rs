//! Messages to bytes, in the form that a given version of the protocol has. The sizes are known
//! before anything is written, so that a length can come before what it counts.

use bytes::{BufMut, Bytes, BytesMut};
use cid::Cid;

use super::{Entry, Message, Presence, WantKind, Wantlist};
use crate::proto::{bytes_len, int32_len, put_bytes, put_bytes_head, put_int32, put_varint};
use crate::{Prefix, Protocol};

/// The field of a message that holds its pending bytes.
pub(crate) const PENDING_BYTES: u8 = 5;

impl Message {
    /// Writes the message for `protocol`, without a length prefix.
    ///
    /// What the version cannot say is left out: before 1.2.0 want-haves, presences, pending
    /// bytes and the flag that asks for DONT_HAVE, before 1.1.0 the prefixes. From 1.1.0 on a
    /// block needs its prefix, and one without is left out too.
    pub fn encode(&self, protocol: Protocol) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len(protocol));
        self.write(protocol, &mut out);
        out.freeze()
    }

    /// Writes the message as a stream carries it: its length, then [`encode`](Self::encode)'s
    /// bytes.
    pub fn to_frame(&self, protocol: Protocol) -> Bytes {
        let len = self.encoded_len(protocol);
        let mut out = BytesMut::with_capacity(10 + len);
        put_varint(&mut out, len as u64);
        self.write(protocol, &mut out);
        out.freeze()
    }

    /// How many bytes [`encode`](Self::encode) writes.
    pub fn encoded_len(&self, protocol: Protocol) -> usize {
        let wantlist = self.wantlist.as_ref().map_or(0, |list| bytes_len(list.len(protocol)));
        let blocks = self.blocks(protocol).map(|(head, data)| head.len() + data.len());
        let presences = self.presences(protocol).iter();
        let presences = presences.map(|(cid, kind)| presence_len(cid.encoded_len(), *kind));
        let pending = match self.pending_bytes(protocol) {
            0 => 0,
            pending => int32_len(pending),
        };
        wantlist + blocks.sum::<usize>() + presences.sum::<usize>() + pending
    }

    fn write(&self, protocol: Protocol, out: &mut BytesMut) {
        if let Some(wantlist) = &self.wantlist {
            put_bytes_head(out, 1, wantlist.len(protocol));
            wantlist.write(protocol, out);
        }
        for (head, data) in self.blocks(protocol) {
            head.write(out);
            out.put_slice(data);
        }
        for (cid, presence) in self.presences(protocol) {
            put_presence(out, cid, *presence);
        }
        match self.pending_bytes(protocol) {
            0 => {}
            pending => put_int32(out, PENDING_BYTES, pending),
        }
    }

    fn blocks(&self, protocol: Protocol) -> impl Iterator<Item = (BlockHead, &Bytes)> {
        let encodable = move |block: &&super::Block| block.prefix.is_some() || !protocol.has_prefixes();
        self.blocks.iter().filter(encodable).map(move |block| {
            let prefix = block.prefix.as_ref().filter(|_| protocol.has_prefixes());
            (BlockHead::new(prefix, block.data.len()), &block.data)
        })
    }

    fn presences(&self, protocol: Protocol) -> &[(Cid, Presence)] {
        if protocol.has_presences() { &self.presences } else { &[] }
    }

    fn pending_bytes(&self, protocol: Protocol) -> i32 {
        if protocol.has_presences() { self.pending_bytes } else { 0 }
    }
}

impl Wantlist {
    fn len(&self, protocol: Protocol) -> usize {
        let entries = self.entries(protocol).map(|entry| bytes_len(entry.len(protocol)));
        entries.sum::<usize>() + if self.full { 2 } else { 0 }
    }

    fn write(&self, protocol: Protocol, out: &mut BytesMut) {
        for entry in self.entries(protocol) {
            put_bytes_head(out, 1, entry.len(protocol));
            entry.write(protocol, out);
        }
        if self.full {
            put_int32(out, 2, 1);
        }
    }

    fn entries(&self, protocol: Protocol) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| protocol.has_presences() || entry.cancel || entry.kind == WantKind::Block)
    }
}

impl Entry {
    fn len(&self, protocol: Protocol) -> usize {
        let priority = if self.priority == 0 { 0 } else { int32_len(self.priority) };
        let flags = self.flags(protocol).into_iter().filter(|(_, set)| *set).count();
        bytes_len(self.cid.encoded_len()) + priority + 2 * flags
    }

    fn write(&self, protocol: Protocol, out: &mut BytesMut) {
        put_bytes(out, 1, EncodedCid::new(&self.cid).as_slice());
        if self.priority != 0 {
            put_int32(out, 2, self.priority);
        }
        for (field, _) in self.flags(protocol).into_iter().filter(|(_, set)| *set) {
            put_int32(out, field, 1);
        }
    }

    /// The fields that are 0 or 1, with their numbers.
    fn flags(&self, protocol: Protocol) -> [(u8, bool); 3] {
        let newer = protocol.has_presences();
        [(3, self.cancel), (4, newer && self.kind == WantKind::Have), (5, newer && self.send_dont_have)]
    }
}

/// All of a block's field but its data, which are to follow and need not be copied.
pub(crate) struct BlockHead {
    /// The longest is two tags, two lengths, the prefix and the tag and length of the data.
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl BlockHead {
    pub(crate) const MAX_LEN: usize = 2 * (1 + 10) + (1 + 1) + Prefix::MAX_LEN;

    /// For a block of `data_len` bytes: in field 3 with a prefix, in field 2 without.
    pub(crate) fn new(prefix: Option<&Prefix>, data_len: usize) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        let mut rest = &mut bytes[..];
        match prefix {
            None => put_bytes_head(&mut rest, 2, data_len),
            Some(prefix) => {
                let mut encoded = [0; Prefix::MAX_LEN];
                let encoded_len = prefix.encode(&mut encoded);
                put_bytes_head(&mut rest, 3, bytes_len(encoded_len) + bytes_len(data_len));
                put_bytes(&mut rest, 1, &encoded[..encoded_len]);
                // Also when it is empty, where protobuf would leave it out: an empty block is a
                // block.
                put_bytes_head(&mut rest, 2, data_len);
            }
        }
        let len = Self::MAX_LEN - rest.len();
        Self { bytes, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) {
        out.put_slice(&self.bytes[..self.len]);
    }
}

/// The length of a presence's whole field, for a CID of `cid_len` bytes.
pub(crate) const fn presence_len(cid_len: usize, presence: Presence) -> usize {
    bytes_len(presence_inner_len(cid_len, presence))
}

pub(crate) fn put_presence(out: &mut impl BufMut, cid: &Cid, presence: Presence) {
    let cid = EncodedCid::new(cid);
    put_bytes_head(out, 4, presence_inner_len(cid.len, presence));
    put_bytes(out, 1, cid.as_slice());
    if presence == Presence::DontHave {
        put_int32(out, 2, 1);
    }
}

const fn presence_inner_len(cid_len: usize, presence: Presence) -> usize {
    match presence {
        Presence::Have => bytes_len(cid_len),
        Presence::DontHave => bytes_len(cid_len) + 2,
    }
}

/// The bytes of a CID, on the stack.
pub(crate) struct EncodedCid {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl EncodedCid {
    /// Three varints, the length of the digest and the longest digest.
    const MAX_LEN: usize = 3 * 10 + 2 + 64;

    pub(crate) fn new(cid: &Cid) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        // MAX_LEN has room for every CID there is, so that nothing is ever cut off.
        let len = cid.write_bytes(&mut bytes[..]).unwrap_or(0);
        Self { bytes, len }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
