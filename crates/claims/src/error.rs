//! Why claims or an index cannot be read.

use cid::Cid;
use hoverboard_dag::VerifyError;

/// Why claims or an index cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is longer than is read.
    #[error("{len} bytes are over the limit of {max}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in force.
        max: usize,
    },
    /// The CAR around it is none.
    #[error("not a CAR: {0}")]
    Car(#[from] hoverboard_car::Error),
    /// A block in the CAR is not what its CID says.
    #[error("block {cid}: {source}")]
    Block {
        /// The block.
        cid: Box<Cid>,
        /// What is wrong with it.
        source: VerifyError,
    },
    /// The CAR lacks a block that something in it names.
    #[error("block {0} is not in the CAR")]
    NotInIt(Box<Cid>),
    /// A CAR of one thing has one root.
    #[error("{0} roots where one is expected")]
    Roots(usize),
    /// A block is no dag-cbor, or not of the shape that is expected.
    #[error("not as expected: {0}")]
    Cbor(#[from] minicbor::decode::Error),
    /// The index has a codec that is not known here, or is damaged.
    #[error("not an index: {0}")]
    Index(#[from] hoverboard_car::index::IndexError),
}
