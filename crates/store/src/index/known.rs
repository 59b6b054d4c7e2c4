//! The CAR table in memory, for work on the whole bucket: some hundred bytes a CAR.

use std::collections::HashMap;

use hoverboard_index::cars::Record;
use hoverboard_index::manifest::Manifest;

use super::gather::{Listed, same_object};
use super::{Index, IndexError};
use crate::CarCid;

/// The digest in the record of a CAR that was struck, and of which no run says anything any more.
pub(super) const VOID: [u8; 32] = [0; 32];

/// CARs that are indexed, or about to be.
pub(super) struct Known {
    cars: HashMap<CarCid, Entry>,
    /// The first ordinal that was not looked at.
    pub(super) upto: u32,
}

struct Entry {
    /// Several of a CAR that is in several runs. None: it is being indexed now.
    ordinals: Vec<u32>,
    record: Record,
    /// A listing has it.
    listed: bool,
}

/// What is known of a CAR that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is indexed as this object.
    Indexed,
    /// It is not indexed.
    New,
    /// Another object was indexed under its name, as these ordinals.
    Replaced(Vec<u32>),
}

impl Known {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self { cars: HashMap::new(), upto: 0 }
    }

    /// Reads what was added since.
    pub(super) async fn read(&mut self, index: &Index, manifest: &Manifest) -> Result<(), IndexError> {
        let records = index.records_from(manifest, self.upto).await?;
        self.take(manifest, records);
        self.upto = self.upto.max(manifest.next_ordinal());
        Ok(())
    }

    /// Takes the CARs of these records for indexed, but for those that are struck.
    pub(super) fn take(&mut self, manifest: &Manifest, records: Vec<(u32, Record)>) {
        for (ordinal, record) in records {
            if record.digest != VOID && !manifest.struck().contains(ordinal) {
                let car = CarCid::of_digest(record.digest);
                let new = || Entry { ordinals: Vec::new(), record, listed: false };
                let known = self.cars.entry(car).or_insert_with(new);
                known.record = record;
                known.ordinals.push(ordinal);
            }
        }
    }

    /// Takes note of a CAR that a listing has, and says how it stands with it.
    pub(super) fn list(&mut self, listed: &Listed, record: Record) -> Standing {
        let Some(known) = self.cars.get_mut(&listed.car) else {
            self.cars.insert(listed.car, Entry { ordinals: Vec::new(), record, listed: true });
            return Standing::New;
        };
        known.listed = true;
        // Where a CAR lies at both of its keys, one of them is enough.
        if known.record.blob != record.blob || same_object(&known.record, &record) {
            return Standing::Indexed;
        }
        // What is being indexed now has none yet, and is found twice in one listing.
        match std::mem::take(&mut known.ordinals) {
            ordinals if ordinals.is_empty() => Standing::Indexed,
            ordinals => {
                known.record = record;
                Standing::Replaced(ordinals)
            }
        }
    }

    /// The ordinals of a CAR; none if it is not indexed.
    pub(super) fn ordinals(&self, car: &CarCid) -> &[u32] {
        self.cars.get(car).map_or(&[], |known| &known.ordinals)
    }

    /// CARs that are indexed, and that no listing had.
    pub(super) fn unlisted(&self) -> impl Iterator<Item = (CarCid, &[u32])> {
        self.indexed()
            .filter(|(car, ..)| self.cars.get(car).is_some_and(|known| !known.listed))
            .map(|(car, ordinals, _)| (car, ordinals))
    }

    /// All that are indexed.
    pub(super) fn indexed(&self) -> impl Iterator<Item = (CarCid, &[u32], &Record)> {
        let all = self.cars.iter().map(|(car, known)| (*car, &known.ordinals[..], &known.record));
        all.filter(|(_, ordinals, _)| !ordinals.is_empty())
    }
}
