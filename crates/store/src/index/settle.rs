//! Single CARs brought into the index or struck from it, by what lies in CARPARK now: for who is told that something
//! happened to them, by messages that may be late, doubled and out of order.
//!
//! It does not list the bucket, and it reads no CAR. One without an index in SATNAV is left to whoever has the time for it:
//! [`Index::read_car`], and then this again.

use hoverboard_index::manifest::{MAX_RUNS, MAX_STRUCK, Manifest, ManifestError};
use object_store::{Error, ObjectStoreExt};

use super::described::Described;
use super::gather::{Gathering, Listed, same_object};
use super::known::Known;
use super::lookup::Runs;
use super::{Index, IndexError};
use crate::ledger::Account;
use crate::library::Failure;
use crate::{CarCid, layout};

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    /// Entries that are gathered before they are written as a run: the memory is some eighty bytes of each.
    pub run_entries: usize,
    /// The longest index of a CAR that is read, in bytes.
    pub index_bytes: u64,
}

/// How it stands with a CAR now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was indexed already, as it lies in the bucket.
    Indexed,
    /// It was added, with so many blocks.
    Added(u64),
    /// It is not in CARPARK, and not in the index any more.
    Gone,
    /// It has no index in SATNAV, or one that is none: it has to be read.
    Unread(Listed),
    /// Its index is longer than may be read here, in bytes.
    TooLong(u64),
}

/// Room in the manifest that is left to others.
const SPARE_RUNS: usize = 8;
/// Strikes that are left to others.
const SPARE_STRUCK: usize = 1024;

impl Index {
    /// Settles CARs, in one change of the index for those that are added and one for those that are gone. It may do fewer
    /// than it is given, and does at least one: as many as there are answers, from the first on.
    ///
    /// `runs` should look the newest manifest up each time it is asked: [`Settings::life`](super::lookup::Settings::life)
    /// zero.
    ///
    /// # Errors
    ///
    /// The store fails, or the index has no room until it is [merged](Self::merge_step). It is safe to do it again.
    pub async fn settle(
        &self,
        runs: &Runs,
        cars: &[CarCid],
        portion: &Portion,
        account: &Account,
    ) -> Result<Vec<Settled>, IndexError> {
        let (mut settled, mut gone) = (Vec::with_capacity(cars.len()), Vec::new());
        let mut gathering: Option<(Gathering<'_>, u32)> = None;
        for car in cars {
            self.check_stopped()?;
            if gathering.as_ref().is_some_and(|(gathering, _)| gathering.is_full()) {
                break;
            }
            let found = self.find_car(car).await?;
            let Some(entered) = runs.entered(car, account).await.map_err(unreadable)? else {
                if found.is_some() {
                    self.begin(false).await?;
                    break;
                }
                settled.push(Settled::Gone);
                continue;
            };
            let manifest = entered.manifest();
            has_room(manifest)?;
            let mut ordinals: Vec<u32> = entered.ordinals.iter().map(|(ordinal, _)| *ordinal).collect();
            let Some(listed) = found else {
                if entered.more {
                    ordinals = self.all_ordinals(manifest, car).await?;
                }
                gone.extend(ordinals);
                settled.push(Settled::Gone);
                continue;
            };
            let record = listed.record(manifest.key());
            // Where a CAR lies at both of its keys, one of them is enough.
            if entered.ordinals.iter().any(|(_, known)| known.blob != record.blob || same_object(known, &record)) {
                settled.push(Settled::Indexed);
                continue;
            }
            if entered.more {
                ordinals = self.all_ordinals(manifest, car).await?;
            }
            if let Some(len) = self.index_len(car).await?.filter(|len| *len > portion.index_bytes) {
                settled.push(Settled::TooLong(len));
                continue;
            }
            let Some(source) = self.satnav(&listed).await? else {
                settled.push(Settled::Unread(listed));
                continue;
            };
            let described = Described { listed, source };
            let (gathering, _) = gathering.get_or_insert_with(|| {
                (Gathering::new(self, manifest.key(), portion.run_entries), manifest.next_ordinal())
            });
            settled.push(Settled::Added(self.gather(&described, &ordinals, gathering).await?));
        }
        if let Some((gathering, seen)) = gathering {
            gathering.commit(seen).await?;
        }
        self.strike(gone).await?;
        match settled.is_empty() && !cars.is_empty() {
            // The index was made just now.
            true => Box::pin(self.settle(runs, cars, portion, account)).await,
            false => Ok(settled),
        }
    }

    /// All ordinals of a CAR that is in more runs than a look-up tells.
    async fn all_ordinals(&self, manifest: &Manifest, car: &CarCid) -> Result<Vec<u32>, IndexError> {
        let mut known = Known::new();
        known.read(self, manifest).await?;
        Ok(known.ordinals(car).to_vec())
    }

    /// How long the index of a CAR is. `None`: there is none.
    async fn index_len(&self, car: &CarCid) -> Result<Option<u64>, IndexError> {
        let key = layout::index(car);
        match self.retrying(|| self.bucket.satnav.head(&key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(IndexError::store("read", layout::SATNAV, &key, source)),
        }
    }
}

/// Whether something can be added, and others can add something too, before runs are merged.
fn has_room(manifest: &Manifest) -> Result<(), IndexError> {
    if manifest.runs().len() + SPARE_RUNS > MAX_RUNS {
        return Err(ManifestError::TooManyRuns.into());
    }
    if manifest.struck().len() + SPARE_STRUCK > MAX_STRUCK {
        return Err(ManifestError::TooManyStruck.into());
    }
    Ok(())
}

fn unreadable(failure: Failure) -> IndexError {
    match failure {
        Failure::Spent(_) => IndexError::Stopped,
        failure => IndexError::Unreadable(failure.to_string()),
    }
}
