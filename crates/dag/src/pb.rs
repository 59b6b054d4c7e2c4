//! dag-pb: a node of data and named links. The DAG-PB specification of IPLD.

use cid::Cid;

use crate::proto::{Fields, Malformed};

/// A node, borrowing from its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The data, which for UnixFS is a message of its own.
    pub data: Option<&'a [u8]>,
    /// The links, in the order of the block.
    pub links: Vec<Link<'a>>,
}

/// A link of a [`Node`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// What it points to.
    pub cid: Cid,
    /// Its name: UTF-8 by the specification, which is not checked. Absent is as good as empty.
    pub name: &'a [u8],
    /// What the writer says of the bytes below it, all blocks counted.
    pub tsize: Option<u64>,
}

/// Why a block is no dag-pb node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No protobuf, or no such message.
    #[error("malformed protobuf")]
    Protobuf,
    /// A link without a CID that can be read; CIDs of more than 64 bytes of digest are among them.
    #[error("link {index} has no valid CID")]
    Cid {
        /// The number of the link, from zero.
        index: usize,
    },
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Protobuf
    }
}

impl<'a> Node<'a> {
    /// Parses a block.
    ///
    /// Links and data come in either order, unknown fields are passed over: the block is known by its hash, and what
    /// matters is to lose none of its links.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn parse(block: &'a [u8]) -> Result<Self, Error> {
        let mut node = Self { data: None, links: Vec::new() };
        for field in Fields::new(block) {
            match field? {
                (1, value) => node.data = Some(value.bytes()?),
                (2, value) => node.links.push(link(node.links.len(), value.bytes()?)?),
                _ => {}
            }
        }
        Ok(node)
    }
}

fn link(index: usize, message: &[u8]) -> Result<Link<'_>, Error> {
    let (mut cid, mut name, mut tsize) = (None, &[][..], None);
    for field in Fields::new(message) {
        match field? {
            (1, value) => cid = Some(value.bytes()?),
            (2, value) => name = value.bytes()?,
            (3, value) => tsize = Some(value.varint()?),
            _ => {}
        }
    }
    let cid = cid.and_then(|bytes| Cid::try_from(bytes).ok()).ok_or(Error::Cid { index })?;
    Ok(Link { cid, name, tsize })
}
