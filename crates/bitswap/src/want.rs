//! The asking side: messages that want blocks, and that stop wanting them. Who is asked, and what
//! is done with the answers, is the caller's business.

use cid::Cid;

use crate::{Entry, Message, WantKind, Wantlist};

/// The most wants put into one message: what boxo holds of one peer, and what helia sends. With
/// CIDs as long as they get it is still less than 256 KiB.
pub const MAX_PER_MESSAGE: usize = 1024;

/// Messages that add `wants` to what the peer knows to be wanted, in that order and all of the
/// same priority. `send_dont_have` asks to be told, by 1.2.0, which of the blocks are not there.
///
/// Before 1.2.0 there is no [`WantKind::Have`], and encoding leaves such wants out.
pub fn messages(wants: impl IntoIterator<Item = (Cid, WantKind)>, send_dont_have: bool) -> Vec<Message> {
    let entries = wants.into_iter().map(|(cid, kind)| Entry { cid, priority: 1, cancel: false, kind, send_dont_have });
    in_messages(entries)
}

/// Messages that withdraw the wants for `cids`.
pub fn cancels(cids: impl IntoIterator<Item = Cid>) -> Vec<Message> {
    let entries = cids.into_iter().map(|cid| Entry {
        cid,
        priority: 0,
        cancel: true,
        kind: WantKind::Block,
        send_dont_have: false,
    });
    in_messages(entries)
}

fn in_messages(mut entries: impl Iterator<Item = Entry>) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        let entries: Vec<Entry> = entries.by_ref().take(MAX_PER_MESSAGE).collect();
        if entries.is_empty() {
            return messages;
        }
        let wantlist = Some(Wantlist { entries, full: false });
        messages.push(Message { wantlist, ..Message::default() });
    }
}

#[cfg(test)]
mod tests {
    use multihash::Multihash;

    use super::*;
    use crate::{MAX_MESSAGE, Protocol};

    fn cids() -> impl Iterator<Item = Cid> {
        (0..2500_u64).map(|n| {
            let mut digest = [0xff; 64];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            Cid::new_v1(u64::MAX >> 1, Multihash::wrap(u64::MAX >> 1, &digest).unwrap())
        })
    }

    #[test]
    fn many_wants_are_split_into_messages_and_none_is_lost() {
        let messages = messages(cids().map(|cid| (cid, WantKind::Have)), true);
        let lens: Vec<usize> = messages.iter().map(|m| m.encoded_len(Protocol::V1_2_0)).collect();
        assert!(lens.iter().all(|len| *len < MAX_MESSAGE / 16), "{lens:?}");
        let entries = messages.into_iter().flat_map(|m| m.wantlist).flat_map(|list| list.entries);
        assert!(entries.map(|entry| entry.cid).eq(cids()));
    }

    #[test]
    fn a_cancel_is_a_cancel_in_every_version() {
        let message = &cancels(cids().take(1))[0];
        for protocol in Protocol::ALL {
            let decoded = Message::decode(message.encode(protocol)).unwrap();
            assert!(decoded.wantlist.unwrap().entries[0].cancel, "{protocol:?}");
        }
    }

    #[test]
    fn no_wants_are_no_message() {
        assert_eq!(messages([], true), []);
    }
}
