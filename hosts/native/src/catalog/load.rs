//! How a CAR comes to its index: from the state folder, from another program's index, or by a survey of its section
//! heads.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use hoverboard_car::SectionOffset;
use hoverboard_car::index::{Codec, IndexBuilder, SortedIndex};
use indicatif::ProgressBar;
use multihash::Multihash;

use crate::metrics::CatalogMetrics;

use super::car::Car;
use super::files::open;
use super::foreign;
use super::index_file::{IndexFolder, Origin, Summary};
use super::stamp::Stamp;
use super::survey::survey;

/// What loading needs besides the file.
pub(crate) struct Loader<'a> {
    pub(crate) folder: Option<&'a IndexFolder>,
    pub(crate) metrics: &'a CatalogMetrics,
    /// Counts the bytes of CARs that are done with
    pub(crate) progress: &'a ProgressBar,
}

/// What came of comparing another program's index with the CAR.
pub(crate) enum Examined {
    /// It is complete and right
    Confirmed,
    /// This is to be served in its place
    Replaced(Arc<Car>),
}

impl Loader<'_> {
    /// Indexes the CAR at `path`. A damaged CAR is no error: the sections that can be read are indexed, and
    /// [`Summary::fault`] says what is wrong. With `trust_others` false, another program's index is not used.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn load(&self, path: &Path, trust_others: bool) -> io::Result<Car> {
        let file = open(path)?;
        let stamp = Stamp::of(&file)?;
        let was_settled = stamp.is_settled(SystemTime::now());
        let (summary, index) = match self.stored(path, &stamp, trust_others) {
            Some(stored) => stored,
            None => self.make(path, &file, stamp, was_settled, trust_others)?,
        };
        self.progress.inc(stamp.size);
        log_fault(path, &summary, &index);
        Ok(Car::new(path.to_path_buf(), summary, index, was_settled))
    }

    /// Reads all section heads of a CAR that is served by another program's index, and compares.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn examine(&self, car: &Car) -> io::Result<Examined> {
        let file = open(&car.path)?;
        let stamp = Stamp::of(&file)?;
        let was_settled = stamp.is_settled(SystemTime::now());
        let survey = survey(&file, stamp)?;
        self.metrics.indexes_built.inc();
        let is_same_file = stamp == car.summary.stamp;
        let mut bytes = Bytes::from(survey.builder.finish());
        let mut index = SortedIndex::open(bytes.clone()).map_err(io::Error::other)?;
        if is_same_file && let Some(lost_at) = survey.lost_at {
            bytes = with_others(&index, &car.index, lost_at).into();
            index = SortedIndex::open(bytes.clone()).map_err(io::Error::other)?;
        }
        if was_settled {
            self.save(&car.path, &survey.summary, &bytes);
        }
        let is_confirmed = is_same_file && survey.summary.fault.is_none() && is_same(&index, &car.index);
        if is_confirmed && car.was_settled {
            return Ok(Examined::Confirmed);
        }
        log_fault(&car.path, &survey.summary, &index);
        let car = Car::new(car.path.clone(), survey.summary, index, was_settled);
        Ok(Examined::Replaced(Arc::new(car)))
    }

    fn stored(&self, path: &Path, stamp: &Stamp, trust_others: bool) -> Option<(Summary, SortedIndex)> {
        let (summary, bytes) = self.folder?.load(path, stamp)?;
        if !trust_others && summary.origin != Origin::Scan {
            return None;
        }
        let index = SortedIndex::open(bytes).ok()?;
        self.metrics.indexes_loaded.inc();
        Some((summary, index))
    }

    fn make(
        &self,
        path: &Path,
        file: &File,
        stamp: Stamp,
        was_settled: bool,
        trust_others: bool,
    ) -> io::Result<(Summary, SortedIndex)> {
        let others = if trust_others { foreign::find(path, file, &stamp)? } else { None };
        let (summary, bytes) = match others {
            Some(found) => {
                self.metrics.indexes_loaded.inc();
                found
            }
            None => {
                let survey = survey(file, stamp)?;
                self.metrics.indexes_built.inc();
                (survey.summary, survey.builder.finish().into())
            }
        };
        let index = SortedIndex::open(bytes.clone()).map_err(io::Error::other)?;
        // A file that may still be changing unseen is not worth remembering: the watcher will come back to it.
        if was_settled {
            self.save(path, &summary, &bytes);
        }
        Ok((summary, index))
    }

    fn save(&self, path: &Path, summary: &Summary, index: &[u8]) {
        if let Some(folder) = self.folder
            && let Err(error) = folder.save(path, summary, index)
        {
            let path = path.display();
            tracing::warn!(%path, %error, "cannot store the index: it will be built again at the next start");
        }
    }
}

fn log_fault(path: &Path, summary: &Summary, index: &SortedIndex) {
    if let Some(fault) = &summary.fault {
        tracing::error!(path = %path.display(), served = index.len(), "damaged CAR: {}", fault.what);
    }
}

fn is_same(own: &SortedIndex, others: &SortedIndex) -> bool {
    own.codec() == others.codec() && own.len() == others.len() && own.iter().eq(others.iter())
}

/// `own` and what `others` has from `lost_at` on: behind a fault, another program's word is better than none. An index
/// without hash codes has nothing to add.
fn with_others(own: &SortedIndex, others: &SortedIndex, lost_at: SectionOffset) -> Vec<u8> {
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    let multihash =
        |record: &hoverboard_car::index::Record<'_>| Multihash::<64>::wrap(record.code?, record.digest).ok();
    for record in own.iter() {
        if let Some(multihash) = multihash(&record) {
            builder.push(&multihash, record.offset);
        }
    }
    for record in others.iter().filter(|record| record.offset >= lost_at) {
        if let Some(multihash) = multihash(&record)
            && !own.lookup(&multihash).any(|offset| offset == record.offset)
        {
            builder.push(&multihash, record.offset);
        }
    }
    builder.finish()
}
