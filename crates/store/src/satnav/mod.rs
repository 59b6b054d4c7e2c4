//! The index of one CAR, as SATNAV holds it: where in the CAR a block's section begins.
//!
//! A small one is held whole and searched in place; a large one is searched by ranged reads, and is read through once
//! and boiled down when much is asked of it.

mod compact;
mod directory;
mod hunt;
mod paged;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use md5::Digest as _;
use multihash::Multihash;

pub(crate) use self::compact::Compact;
pub(crate) use self::paged::PageKey;
use self::paged::Paged;
use self::whole::Whole;
use crate::ledger::Account;
use crate::library::{Failure, Library};
use crate::{CarCid, layout};

/// Places of one block in one CAR that are looked at: a digest can lie in a CAR any number of times.
const MAX_PLACES: usize = 4;

/// No section is taken to be longer, whatever an index says, in bytes: the longest block and its head.
pub(crate) const MAX_SECTION: u64 = (4 << 20) + 128;

/// Where a section lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    /// Where the next section that the index knows begins. `None` for the last, and where only a part of the index
    /// was read.
    pub(crate) next: Option<u64>,
}

/// An index.
#[derive(Debug)]
pub(crate) struct Satnav {
    kind: Kind,
    sure: AtomicBool,
}

#[derive(Debug)]
enum Kind {
    Whole(Whole),
    Paged(Paged),
}

impl Satnav {
    /// Reads an index, or of a large one as much as it takes to search it.
    pub(crate) async fn load(library: &Arc<Library>, car: CarCid, account: &Account) -> Result<Self, Failure> {
        let key = layout::index(&car);
        let result = library.retrying(|| Self::load_once(library, car, account)).await;
        match &result {
            Err(Failure::Gone) => {
                library.fault(&key, &"there is no index of this CAR");
                library.note_gone(&car);
            }
            Err(Failure::Wrong(what)) => library.fault(&key, what),
            _ => {}
        }
        result
    }

    async fn load_once(library: &Arc<Library>, car: CarCid, account: &Account) -> Result<Self, Failure> {
        let whole = library.config.whole_index.max(1);
        let store = &library.bucket.satnav;
        let mut opened = library.open(store, &layout::index(&car), 0..whole, None, account).await?;
        if opened.size > whole {
            let kind = Kind::Paged(Paged::load(library, car, opened, account).await?);
            return Ok(Self { kind, sure: AtomicBool::new(false) });
        }
        let mut bytes = Vec::with_capacity(opened.size as usize);
        opened.body.read(&mut bytes, usize::MAX).await?;
        let sure = opened.e_tag.is_some_and(|e_tag| is_md5_of(&e_tag, &bytes));
        let kind = Kind::Whole(Whole::open(Bytes::from(bytes)).map_err(Failure::wrong)?);
        Ok(Self { kind, sure: AtomicBool::new(sure) })
    }

    /// Whether the transfer is known to have been without fault, so that what is not in it is not in the bucket's.
    /// Nothing in an index itself would show that a digest was damaged: it was read twice, or its ETag says so. Of a
    /// large index it is true of the tables alone.
    pub(crate) fn is_sure(&self) -> bool {
        self.sure.load(Ordering::Relaxed)
    }

    pub(crate) fn make_sure(&self) {
        self.sure.store(true, Ordering::Relaxed);
    }

    /// Whether two reads gave the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Whole(one), Kind::Whole(other)) => one.bytes() == other.bytes(),
            (Kind::Paged(one), Kind::Paged(other)) => one.same(other),
            _ => false,
        }
    }

    /// What it takes in memory, in bytes.
    pub(crate) fn cost(&self) -> usize {
        match &self.kind {
            Kind::Whole(whole) => whole.cost(),
            Kind::Paged(paged) => paged.cost(),
        }
    }

    /// The places of a block, at most [`MAX_PLACES`], where the index is in memory.
    pub(crate) fn locate_now(&self, multihash: &Multihash<64>) -> Option<Vec<Found>> {
        match &self.kind {
            Kind::Whole(whole) => Some(whole.locate(multihash).take(MAX_PLACES).collect()),
            Kind::Paged(_) => None,
        }
    }

    /// The places of a block, at most [`MAX_PLACES`]. With `sure`, a page of a large index is read twice before the
    /// block is said not to be there.
    pub(crate) async fn locate(
        &self,
        library: &Arc<Library>,
        multihash: &Multihash<64>,
        sure: bool,
        account: &Account,
    ) -> Result<Vec<Found>, Failure> {
        match &self.kind {
            Kind::Whole(whole) => Ok(whole.locate(multihash).take(MAX_PLACES).collect()),
            Kind::Paged(paged) => paged.locate(library, multihash, sure, account).await,
        }
    }

    /// Where the last section begins, which says how long the CAR is at least. `None` where only a part was read.
    pub(crate) fn extent(&self) -> Option<u64> {
        match &self.kind {
            Kind::Whole(whole) => whole.extent(),
            Kind::Paged(_) => None,
        }
    }

    /// Where a section begins, at this place or later, as far as is known: else the place itself.
    pub(crate) fn boundary(&self, offset: u64) -> u64 {
        match &self.kind {
            // Within the last one, or behind it: its end is not known, but is not further away than this.
            Kind::Whole(whole) => whole.boundary(offset).unwrap_or(offset.saturating_add(MAX_SECTION)),
            Kind::Paged(_) => offset,
        }
    }
}

/// Whether an ETag is the MD5 of the object, as it is on S3 and R2 for what was put in one piece.
fn is_md5_of(e_tag: &str, bytes: &[u8]) -> bool {
    let e_tag = e_tag.trim_matches('"');
    e_tag.len() == 32 && e_tag.is_ascii() && {
        let digest: [u8; 16] = md5::Md5::digest(bytes).into();
        digest.iter().enumerate().all(|(place, byte)| u8::from_str_radix(&e_tag[2 * place..][..2], 16) == Ok(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::is_md5_of;

    #[test]
    fn an_e_tag_may_be_the_md5_and_may_be_anything() {
        let md5 = "\"900150983cd24fb0d6963f7d28e17f72\"";
        assert!(is_md5_of(md5, b"abc"));
        assert!(is_md5_of(&md5.to_uppercase(), b"abc"));
        assert!(!is_md5_of(md5, b"abd"));
        for other in ["", "\"0\"", "\"900150983cd24fb0d6963f7d28e17f72-1\"", "900150983cd24fb0d6963f7d28e17f7\u{e9}"] {
            assert!(!is_md5_of(other, b"abc"), "{other}");
        }
    }
}
