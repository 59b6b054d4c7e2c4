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
use self::directory::Table;
use self::paged::Paged;
pub(crate) use self::paged::{Page, PageKey};
use self::whole::Whole;
use crate::ledger::Account;
use crate::library::{Failure, Library, Room};
use crate::{CarCid, layout};

/// Places of one block in one CAR that are looked at: a digest can lie in a CAR any number of times.
const MAX_PLACES: usize = 4;

/// An index up to this length, in bytes, is most likely opened only once.
const SHORT: usize = 64 << 10;

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
    /// What it takes in memory, as long as anybody has it.
    _room: Room,
}

/// What shows that two reads gave the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark(Read);

#[derive(Debug, PartialEq, Eq)]
enum Read {
    Whole([u8; 32]),
    Paged(Vec<Table>, Option<String>),
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
                library.note_unindexed(&car);
            }
            Err(Failure::Wrong(what)) => library.fault(&key, what),
            _ => {}
        }
        result
    }

    async fn load_once(library: &Arc<Library>, car: CarCid, account: &Account) -> Result<Self, Failure> {
        let whole = library.config.whole_index.max(1);
        let store = &library.bucket.satnav;
        // How long it is shows only when it is opened; nothing is held open while there is no room for it.
        let mut room = library.wait_for_index(SHORT).await?;
        for _ in 0..2 {
            let mut opened = library.open(store, &layout::index(&car), 0..whole, None, account).await?;
            if opened.size > whole {
                let paged = Paged::load(library, car, opened, account).await?;
                room.resize(paged.cost());
                return Ok(Self { kind: Kind::Paged(paged), sure: AtomicBool::new(false), _room: room });
            }
            let size = usize::try_from(opened.size).map_err(Failure::wrong)?;
            // The offsets are taken out of the records and sorted, and are at most as long.
            let needed = 2 * size;
            if !library.resize_for_index(&mut room, needed) {
                drop((opened, room));
                room = library.wait_for_index(needed).await?;
                continue;
            }
            let mut bytes = Vec::with_capacity(size);
            opened.body.read(&mut bytes, usize::MAX).await?;
            let sure = opened.e_tag.is_some_and(|e_tag| is_md5_of(&e_tag, &bytes));
            let whole = Whole::open(Bytes::from(bytes)).map_err(Failure::wrong)?;
            room.resize(whole.cost());
            return Ok(Self { kind: Kind::Whole(whole), sure: AtomicBool::new(sure), _room: room });
        }
        Err(Failure::NoRoom)
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

    /// What another read that gives the same will have, too.
    pub(crate) fn mark(&self) -> Mark {
        match &self.kind {
            Kind::Whole(whole) => Mark(Read::Whole(digest(whole.bytes()))),
            Kind::Paged(paged) => Mark(paged.mark()),
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

/// Stands for bytes that are to be compared with others.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(bytes)).into()
}

/// Whether an ETag is the MD5 of the object, as it is on S3 and R2 for what was put in one piece.
pub(crate) fn is_md5_of(e_tag: &str, bytes: &[u8]) -> bool {
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
