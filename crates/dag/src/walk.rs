//! A DAG in depth-first order, block by block, for whoever can get blocks.

use std::collections::HashSet;

use cid::Cid;

use crate::{LinksError, links};

/// The multihash code of identity: the block is in the CID.
const IDENTITY: u64 = 0x00;

/// How to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkOptions {
    /// Whether each block is wanted once, however many links point to it. It costs about 150 bytes a block,
    /// and without it a small DAG can be an endless walk. On by default.
    pub once: bool,
    /// The most links that may be waiting, at about 100 bytes each. A million by default: some ten nodes of
    /// the largest size, nested.
    pub max_pending: usize,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self { once: true, max_pending: 1 << 20 }
    }
}

/// Why a walk cannot go on below a block. The walk itself can: what was wanted is passed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The block's links cannot be told.
    #[error("{cid}: {source}")]
    Links {
        /// The block.
        cid: Box<Cid>,
        /// Why.
        source: LinksError,
    },
    /// More links are waiting than [`WalkOptions::max_pending`].
    #[error("{cid}: more than {max} links are waiting")]
    TooManyPending {
        /// The block whose links are too many.
        cid: Box<Cid>,
        /// The bound.
        max: usize,
    },
}

/// A walk over a DAG: [`wanted`](Self::wanted) says which block comes next, [`feed`](Self::feed) takes it.
///
/// The order is that of a CAR in depth-first order: a block, then all below its first link, then its second.
/// Identity CIDs are never wanted, since they carry their block; the links in it are followed. To fetch
/// ahead, see [`upcoming`](Self::upcoming).
#[derive(Clone, Debug)]
pub struct Walk {
    options: WalkOptions,
    /// What is to come, the next last.
    pending: Vec<Cid>,
    /// What has been wanted, if each block is wanted once.
    seen: HashSet<Cid>,
}

impl Walk {
    /// A walk from `roots`, the first one first.
    pub fn new(roots: impl IntoIterator<Item = Cid>, options: WalkOptions) -> Self {
        let mut pending: Vec<Cid> = roots.into_iter().collect();
        pending.reverse();
        Self { options, pending, seen: HashSet::new() }
    }

    /// The block wanted now: the same until it is [fed](Self::feed) or [passed over](Self::pass). `None`: the
    /// walk is over.
    ///
    /// # Errors
    ///
    /// The links in an identity CID cannot be told; the next call goes on behind it.
    pub fn wanted(&mut self) -> Result<Option<Cid>, WalkError> {
        while let Some(&cid) = self.pending.last() {
            if self.seen.contains(&cid) {
                self.pending.pop();
            } else if cid.hash().code() == IDENTITY {
                self.enter(cid, cid.hash().digest())?;
            } else {
                return Ok(Some(cid));
            }
        }
        Ok(None)
    }

    /// Takes the block that is wanted, whose bytes the caller has checked, and goes on to its links.
    ///
    /// # Errors
    ///
    /// Its links cannot be told or are too many. The block has been passed over then.
    pub fn feed(&mut self, data: &[u8]) -> Result<(), WalkError> {
        match self.wanted()? {
            Some(cid) => self.enter(cid, data),
            None => Ok(()),
        }
    }

    /// Goes on without the block that [`wanted`](Self::wanted) gave last, and all that is below it.
    pub fn pass(&mut self) {
        if let Some(cid) = self.pending.pop() {
            self.remember(cid);
        }
    }

    /// What will be wanted after another as far as is known, beginning with what is wanted now: what is worth
    /// asking for ahead. Below these there may be more in between.
    pub fn upcoming(&self) -> impl Iterator<Item = &Cid> {
        let wanted = |cid: &&Cid| cid.hash().code() != IDENTITY && !self.seen.contains(*cid);
        self.pending.iter().rev().filter(wanted)
    }

    /// Replaces the last of what is pending, `cid`, by the links in its block.
    fn enter(&mut self, cid: Cid, data: &[u8]) -> Result<(), WalkError> {
        self.pass();
        let links = links(cid.codec(), data).map_err(|source| WalkError::Links { cid: Box::new(cid), source })?;
        let max = self.options.max_pending;
        if links.len() > max.saturating_sub(self.pending.len()) {
            return Err(WalkError::TooManyPending { cid: Box::new(cid), max });
        }
        self.pending.extend(links.into_iter().rev());
        Ok(())
    }

    fn remember(&mut self, cid: Cid) {
        if self.options.once {
            self.seen.insert(cid);
        }
    }
}
