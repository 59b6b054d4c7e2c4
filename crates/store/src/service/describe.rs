//! What the index does not know: where exactly a block's own bytes lie, and what the roots of its CAR are.

use std::sync::Arc;

use hoverboard_car::{Decoder, Event, MAX_HEAD_LEN, Options, SectionHead};
use hoverboard_index::Extent;
use multihash::Multihash;

use super::{Described, Place, Service};
use crate::CarCid;
use crate::ledger::Account;
use crate::library::{CarPlace, Failure};

/// The front of a CAR that is read for its roots, in bytes. Most headers have a hundred; one that is longer than this is
/// left alone.
const FRONT: u64 = 4 << 10;

/// Why a place is not named.
pub(super) enum Fault {
    /// The CAR is not there any more.
    Gone,
    /// It could not be read, or is not what the index says.
    Other,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Gone => Self::Gone,
            _ => Self::Other,
        }
    }
}

impl Service {
    /// A place with all that there is to know about it. Two reads at the most: one of the CAR's front, unless it is
    /// remembered, and one of the section's head, unless the index knows what is in it.
    pub(super) async fn place(
        &self,
        multihash: &Multihash<64>,
        candidate: &CarPlace,
        account: &Account,
    ) -> Result<Place, Fault> {
        let described = self.describe(candidate.car, account).await?;
        let (offset, length) = match candidate.extent.block() {
            Some((offset, length)) => (offset, u64::from(length)),
            None => {
                let head = self.head(multihash, candidate, account).await?;
                (head.block_offset(), head.data_len)
            }
        };
        let roots = described.roots.clone();
        Ok(Place { car: candidate.car, key: described.key.clone(), offset, length, roots })
    }

    /// Reads the head of the section that the index points at.
    async fn head(&self, multihash: &Multihash<64>, place: &CarPlace, account: &Account) -> Result<SectionHead, Fault> {
        let (Extent::Exact { offset, .. } | Extent::Section { offset, .. }) = place.extent else {
            return Err(Fault::Other);
        };
        let range = offset.0..offset.0.saturating_add(MAX_HEAD_LEN as u64);
        let mut opened = self.library.open_car(place.car, range, account).await?;
        let mut bytes = Vec::with_capacity(MAX_HEAD_LEN);
        opened.body.read(&mut bytes, MAX_HEAD_LEN).await?;
        match SectionHead::parse(&bytes, offset, 0, &Options::default()) {
            Ok(Some(head)) if head.cid.hash() == multihash => Ok(head),
            Ok(_) => Err(self.lies(place, &"another block is there than its index says")),
            Err(error) => Err(self.lies(place, &error)),
        }
    }

    fn lies(&self, place: &CarPlace, what: &dyn std::fmt::Display) -> Fault {
        self.library.fault(&crate::layout::car(&place.car), what);
        Fault::Other
    }

    async fn describe(&self, car: CarCid, account: &Account) -> Result<Arc<Described>, Fault> {
        if let Some(described) = self.described.lock().get(&car).filter(|_| !self.library.is_gone(&car)) {
            return Ok(Arc::clone(described));
        }
        let mut opened = self.library.open_car(car, 0..FRONT, account).await?;
        let mut front = Vec::with_capacity(FRONT as usize);
        opened.body.read(&mut front, FRONT as usize).await?;
        let mut decoder = Decoder::new(Options { max_header: FRONT, ..Options::default() });
        decoder.push(&front);
        let roots = match decoder.next() {
            Ok(Some(Event::Header(header))) => Some(header.roots),
            _ => None,
        };
        let key = self.library.key_of_car(&car).ok_or(Fault::Other)?;
        let described = Arc::new(Described { key, roots });
        self.described.lock().put(car, Arc::clone(&described));
        Ok(described)
    }
}
