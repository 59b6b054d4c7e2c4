//! One peer's reads from the catalog. Blocks that the page cache has are read on the connection's own task; the rest
//! waits for the disk on a thread that may block, one batch a connection at a time, so that peers take turns there.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hoverboard_peer::{Lookup, LookupKind};
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, Found, Query, Want};

/// The reads of one peer.
pub(super) struct Files {
    catalog: Arc<Catalog>,
    batch: Option<Batch>,
}

/// Lookups that wait for the disk.
struct Batch {
    lookups: Vec<Lookup>,
    found: JoinHandle<Vec<Found>>,
    /// Bytes of blocks that may come of it.
    room: usize,
}

impl Files {
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, batch: None }
    }

    /// Whether lookups wait for the disk.
    pub(super) fn is_reading(&self) -> bool {
        self.batch.is_some()
    }

    /// Bytes of blocks that may come of what waits for the disk.
    pub(super) fn coming(&self) -> usize {
        self.batch.as_ref().map_or(0, |batch| batch.room)
    }

    /// Whether an index says that the block is in a CAR.
    pub(super) fn may_hold(&self, lookup: &Lookup) -> bool {
        self.catalog.may_hold(lookup.cid.hash())
    }

    /// Whether it is not certain just now that what it does not find is not there.
    pub(super) fn is_unsure(&self) -> bool {
        self.catalog.is_unsure()
    }

    /// What came of the lookups that waited for the disk.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<(Lookup, Found)>> {
        let Some(batch) = &mut self.batch else { return Poll::Pending };
        let found = ready!(Pin::new(&mut batch.found).poll(cx));
        let lookups = std::mem::take(&mut batch.lookups);
        self.batch = None;
        // A reader that died has answered nothing, and nothing is known.
        let found = found.unwrap_or_default().into_iter().chain(std::iter::repeat(Found::Unknown));
        Poll::Ready(lookups.into_iter().zip(found).collect())
    }

    /// Answers what the page cache has, with blocks of about `room` bytes at most and at least one; the rest waits for
    /// the disk, or is [`Found::Later`] where there is no room for it. Not to be called while something
    /// [waits](Self::is_reading) already.
    pub(super) fn read(&mut self, lookups: Vec<Lookup>, mut room: usize) -> Vec<(Lookup, Found)> {
        let queries: Vec<Query> = lookups.iter().map(query).collect();
        let found = self.catalog.read_cached(room, &queries);
        let (later, mut answers): (Vec<_>, Vec<_>) =
            lookups.into_iter().zip(found).partition(|(_, found)| *found == Found::Later);
        for (_, found) in &answers {
            if let Found::Block(bytes) = found {
                room = room.saturating_sub(bytes.len());
            }
        }
        if room == 0 {
            answers.extend(later);
        } else if !later.is_empty() {
            let lookups: Vec<Lookup> = later.into_iter().map(|(lookup, _)| lookup).collect();
            let queries: Vec<Query> = lookups.iter().map(query).collect();
            let catalog = self.catalog.clone();
            let found = tokio::task::spawn_blocking(move || catalog.read_some(room, &queries));
            self.batch = Some(Batch { lookups, found, room });
        }
        answers
    }
}

fn query(lookup: &Lookup) -> Query {
    let want = match lookup.kind {
        LookupKind::Block => Want::Block,
        LookupKind::Have => Want::Have { inline_limit: lookup.inline_limit },
    };
    Query { multihash: *lookup.cid.hash(), want }
}
