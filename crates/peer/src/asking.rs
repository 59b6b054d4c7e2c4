//! The asking side: what we want of the peer, and its answers, each block hashed against the CID that asked for it.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Block, Message, Presence, Protocol, WantKind, want};
use multihash::Multihash;
use serde::{Deserialize, Serialize};

use crate::session::Event;

/// The hash that names a block where a message does not say it (1.0.0 and before): sha2-256, of 32 bytes.
const UNNAMED: (u64, u64) = (0x12, 32);

/// How often everything is asked anew without an answer in between: of a peer that resets every stream, not for ever.
const MAX_REPEATS: u8 = 3;

#[derive(Default)]
pub(crate) struct Asking {
    /// By multihash: peers may answer under another codec than was asked for.
    wanted: HashMap<Multihash<64>, (Cid, WantKind)>,
    unsent: VecDeque<Message>,
    /// How often everything was asked anew since an answer came.
    repeats: u8,
}

/// What is asked, as a frozen session has it: CIDs and messages as bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct FrozenAsking {
    wanted: Vec<(Vec<u8>, WantKind)>,
    unsent: Vec<Bytes>,
    repeats: u8,
}

impl Asking {
    pub(crate) fn freeze(&self) -> FrozenAsking {
        FrozenAsking {
            wanted: self.wanted.values().map(|(cid, kind)| (cid.to_bytes(), *kind)).collect(),
            unsent: self.unsent.iter().map(|message| message.encode(Protocol::V1_2_0)).collect(),
            repeats: self.repeats,
        }
    }

    /// `None` if the bytes are not what [`freeze`](Self::freeze) wrote.
    pub(crate) fn thaw(frozen: FrozenAsking) -> Option<Self> {
        let wanted = frozen.wanted.into_iter().map(|(bytes, kind)| {
            let cid = Cid::try_from(bytes)?;
            Ok::<_, cid::Error>((*cid.hash(), (cid, kind)))
        });
        let unsent = frozen.unsent.into_iter().map(Message::decode);
        Some(Self {
            wanted: wanted.collect::<Result<_, _>>().ok()?,
            unsent: unsent.collect::<Result<_, _>>().ok()?,
            repeats: frozen.repeats,
        })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.unsent.is_empty()
    }

    pub(crate) fn wanted(&self) -> usize {
        self.wanted.len()
    }

    pub(crate) fn want(&mut self, wants: impl IntoIterator<Item = (Cid, WantKind)>) {
        let wanted = &mut self.wanted;
        let wants = wants.into_iter().inspect(|want| {
            wanted.insert(*want.0.hash(), *want);
        });
        self.unsent.extend(want::messages(wants, true));
    }

    pub(crate) fn cancel(&mut self, cids: impl IntoIterator<Item = Cid>) {
        let wanted = &mut self.wanted;
        let known = cids.into_iter().filter(|cid| wanted.remove(cid.hash()).is_some());
        self.unsent.extend(want::cancels(known));
    }

    /// Wants nothing any more, and says nothing of it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Asks for everything that is still wanted anew, as the whole of what is wanted: nobody knows what the peer has
    /// heard of it.
    pub(crate) fn ask_again(&mut self) {
        if self.repeats == MAX_REPEATS {
            return;
        }
        self.repeats += 1;
        self.unsent = want::messages(self.wanted.values().copied(), true).into();
        if let Some(wantlist) = self.unsent.front_mut().and_then(|message| message.wantlist.as_mut()) {
            wantlist.full = true;
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(crate) fn next_frame(&mut self, protocol: Protocol) -> Option<Bytes> {
        self.unsent.pop_front().map(|message| message.to_frame(protocol))
    }

    /// What of a message answers a want. Blocks that nobody asked for, or that are not what they are named, are
    /// dropped.
    pub(crate) fn receive(
        &mut self,
        blocks: Vec<Block>,
        presences: Vec<(Cid, Presence)>,
        mut event: impl FnMut(Event),
    ) {
        if self.wanted.is_empty() {
            return;
        }
        if !blocks.is_empty() || !presences.is_empty() {
            self.repeats = 0;
        }
        let mut came = Vec::new();
        for block in blocks {
            let (code, len) = block.prefix.map_or(UNNAMED, |prefix| (prefix.hash_code, prefix.digest_len));
            let Ok(len) = usize::try_from(len) else { continue };
            let Ok(hash) = hoverboard_dag::multihash(code, len, &block.data) else { continue };
            if let Some((cid, _)) = self.wanted.remove(&hash) {
                came.push(cid);
                event(Event::Block { cid, data: block.data });
            }
        }
        // Some servers keep a want until it is cancelled, and take no more of them than so many.
        self.unsent.extend(want::cancels(came));
        for (cid, presence) in presences {
            // A HAVE leaves the want standing: the block is still to come if it was asked for.
            match presence {
                Presence::Have if self.wanted.contains_key(cid.hash()) => event(Event::Have(cid)),
                Presence::DontHave if self.wanted.remove(cid.hash()).is_some() => event(Event::DontHave(cid)),
                _ => {}
            }
        }
    }
}
