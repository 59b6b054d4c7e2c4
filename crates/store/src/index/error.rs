//! Why work on an index did not succeed.

use hoverboard_index::manifest::ManifestError;
use object_store::path::Path;

use crate::CarCid;
use crate::import::ImportError;
use crate::layout::INDEX;

/// Why work on an index did not succeed. What was done before stays, and the same work may be begun again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The store failed, several times where it may pass.
    #[error("cannot {what} {key}: {source}")]
    Store {
        /// What was tried: read, write, list or remove.
        what: &'static str,
        /// The object, after the name of its place.
        key: String,
        /// What the store says.
        source: object_store::Error,
    },

    /// An object is not what it should be.
    #[error("{key} is damaged: {why}")]
    Wrong {
        /// The object, after the name of its place.
        key: String,
        /// What is wrong with it.
        why: String,
    },

    /// What the index says cannot be told now.
    #[error("the index cannot be read: {0}")]
    Unreadable(String),

    /// The bucket has no index.
    #[error("there is no index: `hoverboard index` makes it")]
    NoIndex,

    /// The manifest has no room for the change.
    #[error("the manifest cannot take this: {0}")]
    Manifest(#[from] ManifestError),

    /// A CAR is not what its key says, or cannot be read to its end.
    #[error("{car}: {source}")]
    Car {
        /// The CAR.
        car: CarCid,
        /// What is wrong with it.
        source: Box<ImportError>,
    },

    /// Others changed the index each time that this was to be written.
    #[error("others changed the index {0} times before this change was made")]
    Contended(u32),

    /// The host said stop.
    #[error("stopped before it was done")]
    Stopped,
}

impl IndexError {
    pub(crate) fn store(what: &'static str, place: &str, key: &Path, source: object_store::Error) -> Self {
        Self::Store { what, key: format!("{place}/{key}"), source }
    }

    pub(crate) fn wrong(key: &Path, why: impl ToString) -> Self {
        Self::Wrong { key: format!("{INDEX}/{key}"), why: why.to_string() }
    }

    /// Whether an object of the index was not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Store { source: object_store::Error::NotFound { .. }, .. })
    }

    /// Whether the manifest has no room for a change before runs are merged.
    pub fn is_full(&self) -> bool {
        use ManifestError::{TooManyRuns, TooManySegments, TooManyStruck};
        matches!(self, Self::Manifest(TooManyRuns | TooManySegments | TooManyStruck))
    }

    /// Whether an object of the index is not there, or not what it should be.
    pub fn is_damage(&self) -> bool {
        self.is_missing() || matches!(self, Self::Wrong { .. })
    }
}
