//! The links in a block.

use cid::Cid;
use ipld_core::serde::ExtractLinks;

use crate::{cbor, codec, pb};

/// Why the links of a block cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinksError {
    /// The codec is not known here.
    #[error("codec 0x{0:x} is not supported")]
    UnsupportedCodec(u64),
    /// No dag-pb node.
    #[error("not dag-pb: {0}")]
    DagPb(#[from] pb::Error),
    /// No dag-cbor.
    #[error("not dag-cbor: {reason} at byte {at}")]
    DagCbor {
        /// The byte of the block at which the item that is wrong begins.
        at: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No dag-json, or nested more than 128 deep.
    #[error("not dag-json: {0}")]
    DagJson(String),
}

/// The CIDs that a block of this codec links to, in the order in which they stand there; one that is there
/// twice comes twice.
///
/// Raw, plain CBOR and plain JSON have none. dag-cbor is read leniently, as blocks in the wild have it: map
/// keys in any order, integers of any width, strings that are not UTF-8.
///
/// # Errors
///
/// See [`LinksError`]. A link whose CID has a digest of more than 64 bytes is an error too.
pub fn links(codec: u64, data: &[u8]) -> Result<Vec<Cid>, LinksError> {
    match codec {
        codec::RAW | codec::CBOR | codec::JSON => Ok(Vec::new()),
        codec::DAG_PB => Ok(pb::Node::parse(data)?.links.iter().map(|link| link.cid).collect()),
        codec::DAG_CBOR => cbor::links(data),
        codec::DAG_JSON => dag_json(data).map_err(|error| LinksError::DagJson(error.to_string())),
        _ => Err(LinksError::UnsupportedCodec(codec)),
    }
}

fn dag_json(data: &[u8]) -> Result<Vec<Cid>, impl std::error::Error + use<>> {
    serde_ipld_dagjson::from_slice::<ExtractLinks<64>>(data).map(ExtractLinks::into_vec)
}
