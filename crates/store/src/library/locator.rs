//! What knows where a block lies that is in none of a peer's CARs: the block runs, other people's claims.
//!
//! Locators are asked in the order of what they cost. One that fails makes the answer unknown, and never a miss.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hoverboard_index::Extent;
use multihash::Multihash;

use crate::ledger::{Account, Spent};
use crate::{Bucket, CarCid};

/// Where a block lies in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarPlace {
    /// The CAR.
    pub car: CarCid,
    /// The place in it, as far as it is known.
    pub extent: Extent,
}

/// What a locator knows of a block. Nothing of it is believed before the bytes were hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// It should lie in these places, the best first: at most [`MAX_PLACES`] are looked at.
    At {
        /// Where.
        places: Vec<CarPlace>,
        /// It lies in other CARs, too, which are not named.
        more: bool,
    },
    /// Its bytes, from somewhere else than the bucket.
    Block(Bytes),
    /// It is definitely not there, or was not ten seconds ago.
    Missing,
    /// It could not be found out.
    Unknown,
}

/// Places of one block that are looked at.
pub const MAX_PLACES: usize = 32;

/// Why a locator was of no use at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLocated {
    /// It knows of nothing: the bucket has no index. That is no miss, and no fault either.
    #[error("there is no index")]
    NoIndex,
    /// The budget of the event is spent.
    #[error(transparent)]
    Spent(#[from] Spent),
}

/// Finds blocks by their multihash.
pub trait Locator: Send + Sync {
    /// Looks these blocks up, at most [`MAX_ASKED`] at a time, and answers in their order. What it reads is paid for by
    /// the account. The future does not wait for the budget, and may be dropped at any time.
    fn locate(
        &self,
        multihashes: Vec<Multihash<64>>,
        account: Account,
    ) -> BoxFuture<'static, Result<Vec<Located>, NotLocated>>;

    /// Tells the time, as [`Library::set_now`](super::Library::set_now) does.
    fn set_now(&self, _now: Duration) {}

    /// One over the same bucket by these handles, which shares what is in memory and no read that is under way.
    /// `None`: this one may be shared as it is.
    fn beside(&self, _bucket: &Bucket) -> Option<Arc<dyn Locator>> {
        None
    }
}

/// Blocks that a locator is asked for at a time.
pub const MAX_ASKED: usize = 64;

/// The locators of a bucket, beside the CARs of a peer and the listings of roots.
#[derive(Clone, Default)]
pub struct Locators {
    /// Asked before a listing is made: the block runs.
    pub runs: Option<Arc<dyn Locator>>,
    /// Asked in this order for what no listing found.
    pub others: Vec<Arc<dyn Locator>>,
}

impl Locators {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<dyn Locator>> {
        self.runs.iter().chain(&self.others)
    }

    pub(super) fn beside(&self, bucket: &Bucket) -> Self {
        let beside = |locator: &Arc<dyn Locator>| locator.beside(bucket).unwrap_or_else(|| Arc::clone(locator));
        Self { runs: self.runs.as_ref().map(beside), others: self.others.iter().map(beside).collect() }
    }
}
