//! How a CAR comes to its index: from the state folder, from another program's index, or by a scan of its section
//! heads.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use hoverboard_car::index::{Codec, IndexBuilder, SortedIndex};
use hoverboard_car::{Error, Options, Scanner};
use indicatif::ProgressBar;

use crate::metrics::CatalogMetrics;

use super::car::Car;
use super::files::{open, read_full_at};
use super::foreign;
use super::index_file::{Fault, IndexFolder, Origin, Summary};
use super::stamp::Stamp;

/// What loading needs besides the file.
pub(crate) struct Loader<'a> {
    pub(crate) folder: Option<&'a IndexFolder>,
    pub(crate) metrics: &'a CatalogMetrics,
    /// Counts the bytes of CARs that are done with
    pub(crate) progress: &'a ProgressBar,
}

impl Loader<'_> {
    /// Indexes the CAR at `path`. A damaged CAR is no error: its whole sections before the damage are indexed, and
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
        if let Some(fault) = &summary.fault {
            tracing::error!(path = %path.display(), served = index.len(), "damaged CAR: {}", fault.what);
        }
        Ok(Car::new(path.to_path_buf(), summary, index, was_settled))
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
                let scanned = scan(file, stamp)?;
                self.metrics.indexes_built.inc();
                scanned
            }
        };
        let index = SortedIndex::open(bytes.clone()).map_err(io::Error::other)?;
        // A file that may still be changing unseen is not worth remembering: the watcher will come back to it.
        if let Some(folder) = self.folder
            && was_settled
            && let Err(error) = folder.save(path, &summary, &bytes)
        {
            let path = path.display();
            tracing::warn!(%path, %error, "cannot store the index: it will be built again at the next start");
        }
        Ok((summary, index))
    }
}

/// Reads every section head. What is wrong with the CAR ends the scan and is in the summary.
fn scan(file: &File, stamp: Stamp) -> io::Result<(Summary, Bytes)> {
    let mut scanner = Scanner::new(stamp.size, Options::default());
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    let mut buffer = Vec::new();
    let mut error = None;
    while let Some(want) = scanner.want() {
        if buffer.len() < want.useful {
            buffer.resize(want.useful, 0);
        }
        let read = read_full_at(file, &mut buffer[..want.useful], want.offset)?;
        if let Err(fault) = scanner.feed(&buffer[..read], |head| builder.push(head.cid.hash(), head.offset)) {
            error = Some(fault);
            break;
        }
    }
    let payload = match scanner.header() {
        Some(header) => header.payload_start()..header.payload_end().map_or(stamp.size, |end| end.min(stamp.size)),
        None => 0..0,
    };
    // Behind the end of a file there is nothing, and what does not begin as a CAR is none.
    let is_car = scanner.header().is_some();
    let hides = |error: &Error| is_car && !matches!(error, Error::Truncated { .. });
    let fault = error.map(|error| Fault { at: error.at(), what: error.to_string(), hides_blocks: hides(&error) });
    Ok((Summary { stamp, payload, origin: Origin::Scan, fault }, builder.finish().into()))
}
