//! Why a block that the index has is not sent, and what follows from that: counting, logging once, looking again.

use std::io;

use cid::Cid;
use hoverboard_car::SectionOffset;
use hoverboard_dag::VerifyError;

use super::Catalog;
use super::car::Car;
use super::files::Reach;
use super::pass::Tried;

/// Why a place gave no block.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error(transparent)]
    Section(#[from] hoverboard_car::Error),
    #[error("the blocks that are read together take too much memory")]
    NoRoom,
    #[error("the section is cut short")]
    CutShort,
    #[error("the section holds {0}, not the block that the index says")]
    OtherBlock(Cid),
    #[error("the block {0}: {1}")]
    Hash(Cid, VerifyError),
    #[error("the block {0} did not match before")]
    Corrupt(Cid),
}

impl Refusal {
    /// Whether the block only has to be asked for again. What the cache does not give for whatever reason, the disk
    /// may.
    pub(crate) fn is_for_later(&self, reach: Reach) -> bool {
        match self {
            Self::Read(error) => reach == Reach::Cache || error.kind() == io::ErrorKind::WouldBlock,
            Self::NoRoom => true,
            _ => false,
        }
    }

    /// What it is to the query.
    pub(crate) fn tried(&self) -> Tried {
        match self {
            // What is gone does not come back by waiting a little.
            Self::Read(error) if error.kind() != io::ErrorKind::NotFound => Tried::Unread,
            _ => Tried::Failed,
        }
    }
}

impl Catalog {
    /// Counts a refusal, logs it if it is the record's first, and has the CAR looked at again where that may help.
    /// `as_indexed`: whether the file was the one that was indexed.
    pub(crate) fn report(&self, car: &Car, as_indexed: bool, record: u32, offset: SectionOffset, refusal: &Refusal) {
        let metrics = &self.metrics.catalog;
        car.verified.remove(record);
        match refusal {
            Refusal::Read(error) => return self.report_unread(car, error),
            // Nothing is wrong with the block, but that it cannot be sent.
            Refusal::Section(hoverboard_car::Error::SectionTooLong { .. }) | Refusal::NoRoom => {}
            Refusal::Section(_) | Refusal::CutShort | Refusal::OtherBlock(_) if !car.is_confirmed() => {
                metrics.wrong_entries.inc();
                // In a file that was replaced the old index proves nothing against the new one's.
                if as_indexed && car.doubt() {
                    self.alarm.ring();
                }
            }
            Refusal::Hash(_, VerifyError::Mismatch) => {
                metrics.corrupt.inc();
                if as_indexed {
                    car.corrupt.insert(record);
                }
            }
            Refusal::Section(_) | Refusal::CutShort | Refusal::OtherBlock(_) | Refusal::Corrupt(_) => {
                metrics.corrupt.inc();
            }
            // A hash that is not known here.
            Refusal::Hash(..) => {}
        }
        if car.reported.insert(record) {
            let offset = car.summary.payload.start.saturating_add(offset.0);
            tracing::error!(path = %car.path.display(), offset, "block not sent: {refusal}");
        }
    }

    /// Counts a read that failed, and logs it if it is the CAR's first since one went well.
    pub(crate) fn report_unread(&self, car: &Car, error: &io::Error) {
        self.metrics.catalog.read_errors.inc();
        if car.note_read_failure() {
            tracing::error!(path = %car.path.display(), %error, "cannot read the CAR");
        }
    }
}
