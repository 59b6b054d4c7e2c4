//! What is left in DUDEWHERE and SATNAV of CARs that are gone from CARPARK: removed in steps, because nothing says under which
//! roots a CAR is entered, and DUDEWHERE has to be listed as a whole.

use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta};

use super::{Index, IndexError};
use crate::CarCid;
use crate::layout::{self, DUDEWHERE, SATNAV};

/// What a step of a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that were removed.
    pub removed: u64,
    /// Where the next step goes on. `None`: that was the last.
    pub after: Option<String>,
}

impl Index {
    /// Removes the entries and indexes of those of these CARs that are not in CARPARK, looking at `most` entries of DUDEWHERE
    /// behind the one named `after`. Their indexes go last, with the last step. The store has to list in the order of keys, as R2 and
    /// S3 do.
    ///
    /// # Errors
    ///
    /// The store fails. It is safe to do the step again.
    pub async fn sweep(&self, cars: &[CarCid], after: Option<&str>, most: usize) -> Result<Swept, IndexError> {
        let mut gone = Vec::with_capacity(cars.len());
        for car in cars {
            if self.find_car(car).await?.is_none() {
                gone.push(*car);
            }
        }
        let mut swept = Swept::default();
        if gone.is_empty() {
            return Ok(swept);
        }
        let entries = self.piece_of_entries(after, most).await?;
        let leads = |meta: &&ObjectMeta| layout::car_of_entry(&meta.location).is_some_and(|car| gone.contains(&car));
        for meta in entries.iter().filter(leads) {
            swept.removed += self.delete(&*self.bucket.dudewhere, DUDEWHERE, &meta.location).await?;
        }
        if entries.len() >= most.max(1) {
            swept.after = entries.last().map(|meta| meta.location.to_string());
            return Ok(swept);
        }
        for car in &gone {
            swept.removed += self.delete(&*self.bucket.satnav, SATNAV, &layout::index(car)).await?;
        }
        Ok(swept)
    }

    async fn piece_of_entries(&self, after: Option<&str>, most: usize) -> Result<Vec<ObjectMeta>, IndexError> {
        let list = || async {
            let mut listing = match after {
                Some(after) => self.bucket.dudewhere.list_with_offset(None, &Path::from(after)),
                None => self.bucket.dudewhere.list(None),
            };
            let mut entries = Vec::new();
            while entries.len() < most.max(1) {
                match listing.next().await {
                    Some(Ok(meta)) => entries.push(meta),
                    Some(Err(Error::NotFound { .. })) => {}
                    Some(Err(error)) => return Err(error),
                    None => break,
                }
            }
            Ok(entries)
        };
        self.retrying(list).await.map_err(|source| IndexError::store("list", DUDEWHERE, &Path::default(), source))
    }
}
