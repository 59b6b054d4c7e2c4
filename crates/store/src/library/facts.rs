//! Where a CAR is and what it was when it was first read, so that later reads are of the same object.

use std::ops::Range;

use object_store::path::Path;

use super::{Failure, Library, Opened};
use crate::ledger::Account;
use crate::{CarCid, layout};

/// What was seen of a CAR.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// It lies where newer writers put it.
    blob: bool,
    e_tag: Option<String>,
    size: u64,
}

impl Library {
    /// Asks for a range of a CAR, which must be the object that was read before.
    ///
    /// # Errors
    ///
    /// Among others: it is gone, which is noted; it was replaced, and the next read takes it as it is now; the range
    /// begins beyond its end.
    pub(crate) async fn open_car(&self, car: CarCid, range: Range<u64>, account: &Account) -> Result<Opened, Failure> {
        let known = self.shelves.lock().facts.find(&car).cloned();
        if let Some(facts) = &known
            && facts.size <= range.start
        {
            return Err(Failure::wrong(format_args!("byte {} is beyond its end at {}", range.start, facts.size)));
        }
        let facts = known.clone().unwrap_or_default();
        let mut blob = facts.blob;
        let place = |blob| if blob { layout::blob(&car) } else { layout::car(&car) };
        let store = &self.bucket.carpark;
        let mut opened = self.open(store, &place(blob), range.clone(), facts.e_tag.clone(), account).await;
        if known.is_none() && matches!(opened, Err(Failure::Gone)) {
            blob = true;
            opened = self.open(store, &place(blob), range, None, account).await;
        }
        match &opened {
            Ok(opened) => {
                let facts = Facts { blob, e_tag: opened.e_tag.clone(), size: opened.size };
                self.shelves.lock().facts.insert(car, facts, 1);
            }
            Err(Failure::Replaced) => {
                self.fault(&place(blob), &"it was replaced while it was being read");
                self.forget(&car);
            }
            Err(Failure::Gone) => {
                self.fault(&layout::car(&car), &"there is an index of it, and no CAR");
                self.note_gone(&car);
            }
            Err(_) => {}
        }
        opened
    }

    /// Where a CAR lies in CARPARK, if it was read not long ago.
    pub(crate) fn key_of_car(&self, car: &CarCid) -> Option<Path> {
        let blob = self.shelves.lock().facts.find(car)?.blob;
        Some(if blob { layout::blob(car) } else { layout::car(car) })
    }
}
