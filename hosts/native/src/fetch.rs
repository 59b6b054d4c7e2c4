//! Fetching a DAG from one peer, in depth-first order, with blocks asked for ahead of their turn.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use hoverboard_dag::{LinksError, Walk, WalkError, WalkOptions};
use hoverboard_peer::{Event, WantKind};
use multihash::Multihash;

use crate::net::Ended;
use crate::net::client::Client;

/// Bytes asked for or held ahead of their turn, about. It covers the way to a peer 100 ms off at 300 MB/s.
const AHEAD_BYTES: usize = 32 << 20;
/// Blocks asked for or held ahead of their turn. js-libp2p and kubo take this many wants a peer.
const AHEAD_BLOCKS: usize = 1024;
/// What a block is taken to measure before the first has come, in bytes.
const FIRST_GUESS: usize = 256 << 10;

/// Why a DAG could not be fetched whole.
#[derive(Debug, thiserror::Error)]
pub enum FetchError<E> {
    /// The peer says so
    #[error("the peer does not have {0}")]
    DontHave(Cid),
    /// The peer does not speak Bitswap
    #[error("the peer does not speak Bitswap")]
    NoBitswap,
    /// The peer says that it is going, and opens no more streams to send blocks on
    #[error("the peer went away before {wanted} came")]
    GoneAway {
        /// The block that is next
        wanted: Cid,
    },
    /// Nothing came for as long as was allowed
    #[error("nothing came for {}: {wanted} is still wanted", humantime::format_duration(*.after))]
    Silence {
        /// The block that is next
        wanted: Cid,
        /// How long it was waited for
        after: Duration,
    },
    /// The connection ended
    #[error("the connection ended before {wanted} came: {ended}")]
    Ended {
        /// The block that is next
        wanted: Cid,
        /// Why it ended
        ended: Ended,
    },
    /// A block cannot be followed
    #[error("the DAG cannot be followed: {0}")]
    Walk(#[from] WalkError),
    /// The receiver of the blocks failed
    #[error("{0}")]
    Sink(E),
}

/// What is ahead of its turn.
struct Ahead {
    asked: HashSet<Multihash<64>>,
    held: HashMap<Multihash<64>, Bytes>,
    held_bytes: usize,
    average: usize,
}

/// Fetches all of the DAG under `root`, each block once, and hands every block to `sink` in depth-first order. Blocks
/// are checked against their CIDs by the session. A block whose codec is not known is a leaf.
pub async fn fetch<E>(
    client: &mut Client,
    root: Cid,
    silence: Duration,
    mut sink: impl FnMut(&Cid, &Bytes) -> Result<(), E>,
) -> Result<(), FetchError<E>> {
    let mut walk = Walk::new([root], WalkOptions::default());
    let mut ahead = Ahead { asked: HashSet::new(), held: HashMap::new(), held_bytes: 0, average: FIRST_GUESS };
    client.grow_windows().map_err(|ended| FetchError::Ended { wanted: root, ended })?;
    loop {
        let wanted = match walk.wanted() {
            Ok(Some(wanted)) => wanted,
            Ok(None) => return Ok(()),
            Err(error) => {
                leaf(error)?;
                continue;
            }
        };
        if let Some(data) = ahead.take(wanted.hash()) {
            sink(&wanted, &data).map_err(FetchError::Sink)?;
            walk.feed(&data).or_else(leaf)?;
            continue;
        }
        let asked = ahead.ask(&walk);
        client.session().want(asked.into_iter().map(|cid| (cid, WantKind::Block)));
        let event = match tokio::time::timeout(silence, client.next_event()).await {
            Ok(Ok(event)) => event,
            Ok(Err(ended)) => return Err(FetchError::Ended { wanted, ended }),
            Err(_) => return Err(FetchError::Silence { wanted, after: silence }),
        };
        match event {
            Event::Block { cid, data } => ahead.hold(*cid.hash(), data),
            Event::DontHave(cid) => return Err(FetchError::DontHave(cid)),
            Event::NoBitswap => return Err(FetchError::NoBitswap),
            Event::GoAway => return Err(FetchError::GoneAway { wanted }),
            _ => {}
        }
    }
}

/// A block of a codec that is not known has no links that can be followed, which is not wrong.
fn leaf(error: WalkError) -> Result<(), WalkError> {
    match error {
        WalkError::Links { cid, source: LinksError::UnsupportedCodec(codec) } => {
            tracing::warn!(%cid, "codec 0x{codec:x} is not known: links in the block, if any, are not followed");
            Ok(())
        }
        error => Err(error),
    }
}

impl Ahead {
    /// What to ask for now: what is wanted next, and what comes after it as far as there is room.
    fn ask(&mut self, walk: &Walk) -> Vec<Cid> {
        let mut asked = Vec::new();
        for (number, cid) in walk.upcoming().take(AHEAD_BLOCKS).enumerate() {
            let bytes = self.held_bytes + self.asked.len() * self.average;
            let is_full = bytes >= AHEAD_BYTES || self.asked.len() + self.held.len() >= AHEAD_BLOCKS;
            // The next block is asked for in any case: nothing else can make room.
            if is_full && number > 0 {
                break;
            }
            if !self.held.contains_key(cid.hash()) && self.asked.insert(*cid.hash()) {
                asked.push(*cid);
            }
        }
        asked
    }

    fn hold(&mut self, multihash: Multihash<64>, data: Bytes) {
        self.asked.remove(&multihash);
        self.average = self.average - self.average / 8 + data.len() / 8;
        self.held_bytes += data.len();
        self.held.insert(multihash, data);
    }

    fn take(&mut self, multihash: &Multihash<64>) -> Option<Bytes> {
        let data = self.held.remove(multihash)?;
        self.held_bytes -= data.len();
        Some(data)
    }
}
