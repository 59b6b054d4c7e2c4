//! Bytes to messages. Field numbers are those of the Bitswap specification; fields of every
//! version are understood whatever was negotiated, as boxo does.

use bytes::Bytes;
use cid::Cid;
use unsigned_varint::decode as varint;

use super::{Block, Entry, Message, Presence, WantKind, Wantlist};
use crate::proto::Reader;
use crate::{Error, MAX_ITEMS, Prefix};

impl Message {
    /// Reads a message without its length prefix, as [`Decoder`](crate::Decoder) hands it out.
    /// The data of blocks are slices of `bytes` and keep all of them alive.
    ///
    /// As boxo, it refuses a message with one malformed CID or prefix in it. What is well formed
    /// but cannot be meant for us is left out: entries and presences whose digest is longer than 64
    /// bytes, and those of a kind that the specification does not have. Unknown fields are skipped;
    /// of a field that occurs twice the last counts, and two wantlists are one.
    ///
    /// # Errors
    /// Any [`Error`] but [`Error::MessageTooLong`].
    pub fn decode(bytes: Bytes) -> Result<Self, Error> {
        let mut message = Self::default();
        let mut items = Items::default();
        let mut reader = Reader::new(&bytes);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => {
                    let wantlist = message.wantlist.get_or_insert_default();
                    decode_wantlist(field.bytes()?, wantlist, &mut items)?;
                }
                2 => {
                    items.count()?;
                    let data = bytes.slice_ref(field.bytes()?);
                    message.blocks.push(Block { prefix: None, data });
                }
                3 => {
                    items.count()?;
                    message.blocks.push(decode_block(field.bytes()?, &bytes)?);
                }
                4 => {
                    items.count()?;
                    message.presences.extend(decode_presence(field.bytes()?)?);
                }
                5 => message.pending_bytes = field.int32()?,
                _ => {}
            }
        }
        Ok(message)
    }
}

/// Counts what a message holds, up to [`MAX_ITEMS`].
#[derive(Default)]
struct Items(usize);

impl Items {
    fn count(&mut self) -> Result<(), Error> {
        self.0 += 1;
        if self.0 > MAX_ITEMS { Err(Error::TooManyItems) } else { Ok(()) }
    }
}

fn decode_wantlist(bytes: &[u8], wantlist: &mut Wantlist, items: &mut Items) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                items.count()?;
                wantlist.entries.extend(decode_entry(field.bytes()?)?);
            }
            2 => wantlist.full = field.bool()?,
            _ => {}
        }
    }
    Ok(())
}

fn decode_entry(bytes: &[u8]) -> Result<Option<Entry>, Error> {
    let (mut cid, mut priority, mut cancel) = (&[][..], 0, false);
    let (mut kind, mut send_dont_have) = (0, false);
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => cid = field.bytes()?,
            2 => priority = field.int32()?,
            3 => cancel = field.bool()?,
            4 => kind = field.int32()?,
            5 => send_dont_have = field.bool()?,
            _ => {}
        }
    }
    let kind = match kind {
        0 => Some(WantKind::Block),
        1 => Some(WantKind::Have),
        _ => None,
    };
    let cid = decode_cid(cid)?;
    Ok(cid.zip(kind).map(|(cid, kind)| Entry { cid, priority, cancel, kind, send_dont_have }))
}

fn decode_block(bytes: &[u8], message: &Bytes) -> Result<Block, Error> {
    let (mut prefix, mut data) = (&[][..], &[][..]);
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => prefix = field.bytes()?,
            2 => data = field.bytes()?,
            _ => {}
        }
    }
    // An empty slice need not point into the message, and so cannot be made a part of it.
    let data = if data.is_empty() { Bytes::new() } else { message.slice_ref(data) };
    Ok(Block { prefix: Some(Prefix::decode(prefix)?), data })
}

fn decode_presence(bytes: &[u8]) -> Result<Option<(Cid, Presence)>, Error> {
    let (mut cid, mut kind) = (&[][..], 0);
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => cid = field.bytes()?,
            2 => kind = field.int32()?,
            _ => {}
        }
    }
    let presence = match kind {
        0 => Some(Presence::Have),
        1 => Some(Presence::DontHave),
        _ => None,
    };
    Ok(decode_cid(cid)?.zip(presence))
}

/// Reads a CID that must fill `bytes`. `None` if it is one, with a digest longer than we hold.
fn decode_cid(bytes: &[u8]) -> Result<Option<Cid>, Error> {
    let mut rest = bytes;
    match Cid::read_bytes(&mut rest) {
        Ok(cid) if rest.is_empty() => Ok(Some(cid)),
        Ok(_) => Err(Error::Cid),
        Err(_) if has_long_digest(bytes).unwrap_or(false) => Ok(None),
        Err(_) => Err(Error::Cid),
    }
}

/// Whether this is a CIDv1 that is whole but for being too large for [`Cid`].
fn has_long_digest(bytes: &[u8]) -> Result<bool, varint::Error> {
    let (version, rest) = varint::u64(bytes)?;
    let (_codec, rest) = varint::u64(rest)?;
    let (_hash_code, rest) = varint::u64(rest)?;
    let (digest_len, digest) = varint::usize(rest)?;
    Ok(version == 1 && digest_len > 64 && digest_len == digest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::put_bytes;

    fn cid_bytes(digest_len: u8) -> Vec<u8> {
        let mut bytes = vec![1, 0x55, 0x12, digest_len];
        bytes.extend(vec![7; usize::from(digest_len)]);
        bytes
    }

    /// A message whose wantlist has the given bytes for entries.
    fn wanting<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        let mut wantlist = Vec::new();
        for entry in entries {
            put_bytes(&mut wantlist, 1, entry);
        }
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &wantlist);
        message.into()
    }

    fn entry(cid: &[u8]) -> Vec<u8> {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, cid);
        entry
    }

    fn entries_of(message: Bytes) -> Result<usize, Error> {
        Ok(Message::decode(message)?.wantlist.map_or(0, |wantlist| wantlist.entries.len()))
    }

    #[test]
    fn one_malformed_cid_refuses_the_message() {
        let good = entry(&cid_bytes(32));
        let mut trailing = cid_bytes(32);
        trailing.push(0);
        for bad in [&[][..], &[1], &[0, 0x70, 0x12, 0x20], &cid_bytes(32)[..20], &trailing] {
            let message = wanting([&good[..], &entry(bad)]);
            assert_eq!(entries_of(message), Err(Error::Cid), "{bad:?}");
        }
        assert_eq!(entries_of(wanting([&good[..]])), Ok(1));
    }

    #[test]
    fn a_long_digest_and_an_unknown_kind_are_left_out() {
        let good = entry(&cid_bytes(32));
        let mut unknown = good.clone();
        unknown.extend([4 << 3, 9]);
        let long = entry(&cid_bytes(100));
        assert_eq!(entries_of(wanting([&long[..], &unknown, &good])), Ok(1));
        let cut = entry(&cid_bytes(100)[..60]);
        assert_eq!(entries_of(wanting([&cut[..], &good])), Err(Error::Cid));
    }

    #[test]
    fn more_items_than_allowed_are_an_error() {
        let good = entry(&cid_bytes(0));
        let most = std::iter::repeat_n(&good[..], MAX_ITEMS);
        assert_eq!(entries_of(wanting(most.clone())), Ok(MAX_ITEMS));
        let more = most.chain([&good[..]]);
        assert_eq!(entries_of(wanting(more)), Err(Error::TooManyItems));
    }

    #[test]
    fn wantlists_are_merged_and_unknown_fields_skipped() {
        let one = wanting([&entry(&cid_bytes(32))[..]]);
        let mut twice = one.to_vec();
        twice.extend([0x0a, 2, 0x10, 1]); // wantlist { full: true }
        twice.extend([0x78, 5, 0x7a, 1, 0xff, 0x7d, 0, 0, 0, 0]); // field 15, three ways
        twice.extend_from_slice(&one);
        let wantlist = Message::decode(twice.into()).unwrap().wantlist.unwrap();
        assert_eq!((wantlist.entries.len(), wantlist.full), (2, true));
    }

    #[test]
    fn a_known_field_of_another_wire_type_is_an_error() {
        for (field, bytes) in [(1, &[0x08, 0][..]), (3, &[0x18, 0]), (5, &[0x2a, 0])] {
            let result = Message::decode(Bytes::copy_from_slice(bytes));
            assert!(matches!(result, Err(Error::WireType { field: f, .. }) if f == field));
        }
    }

    #[test]
    fn a_block_without_a_prefix_or_without_data() {
        let no_prefix = Bytes::from_static(&[0x1a, 3, 0x12, 1, 7]);
        assert_eq!(Message::decode(no_prefix), Err(Error::Prefix));
        let no_data = Bytes::from_static(&[0x1a, 6, 0x0a, 4, 1, 0x55, 0x12, 0x20]);
        let message = Message::decode(no_data).unwrap();
        assert_eq!(message.blocks[0].data, Bytes::new());
    }
}
