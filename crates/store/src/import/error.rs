//! Why a CAR was not imported.

use std::io;

use cid::Cid;
use hoverboard_dag::LinksError;
use object_store::path::Path;

use super::MAX_FOUND_ROOTS;
use crate::CarCid;

/// Why a CAR was not imported, or not wholly. It never names the file, which its host knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The CAR is damaged, or a block is not what its CID says. Nothing was written.
    #[error(transparent)]
    Car(#[from] hoverboard_car::Error),

    /// The header names no root and no block was found to be one. Nothing was written.
    #[error("it names no root and holds no block to find it by: name the root")]
    NoRoot,

    /// The header names no root and too many blocks could be one. Nothing was written.
    #[error("it names no root, and more than {MAX_FOUND_ROOTS} of its blocks are linked to by none: name the roots")]
    TooManyRoots,

    /// The header names no root, and which block is one cannot be told. Nothing was written.
    #[error("it names no root, and where the block {cid} links to cannot be told: {source}. Name the roots")]
    Links {
        /// The block.
        cid: Box<Cid>,
        /// Why its links cannot be told.
        source: LinksError,
    },

    /// The source could not be read.
    #[error("cannot read it: {0}")]
    Source(#[from] io::Error),

    /// The bytes of the second pass are not those of the first. The CAR was not written.
    #[error("it changed while it was imported")]
    Changed,

    /// A CAR that lies in the bucket is not the one that its key names, or is a CARv2 around it.
    #[error("its key names another CAR than it holds, which is {found}")]
    Misnamed {
        /// The CARv1 that is there.
        found: CarCid,
    },

    /// The store failed.
    #[error("cannot write {key}: {source}")]
    Store {
        /// What was being written or looked for, after the name of its place.
        key: String,
        /// What the store says.
        source: object_store::Error,
    },

    /// The host said stop.
    #[error("stopped before it was done")]
    Stopped,
}

impl ImportError {
    pub(super) fn store(place: &str, key: &Path, source: object_store::Error) -> Self {
        Self::Store { key: format!("{place}/{key}"), source }
    }
}
