//! UnixFS: files, directories and HAMT shards, as far as it takes to walk them. The UnixFS specification of IPFS.
//!
//! This reads one node at a time. It resolves no path and looks no name up in a HAMT.

use std::ops::Range;

use cid::Cid;

use crate::proto::{Fields, Malformed, Value, take_varint};
use crate::{codec, pb};

/// The widest HAMT node accepted, as in the reference implementation.
const MAX_FANOUT: u64 = 1024;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of a file, without more of it below in practice.
    Raw,
    /// A directory whose links are its entries.
    Directory,
    /// A file, or a part of one.
    File,
    /// Metadata of another node, which nothing writes.
    Metadata,
    /// A symbolic link; the target is the data.
    Symlink,
    /// A part of a directory that is spread over a hash trie.
    HamtShard(Hamt),
}

/// The parameters of a HAMT shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hamt {
    /// Children a node can have: a power of two up to 1,024.
    pub fanout: u64,
    /// The multihash code of the hash function for names: 0x22, murmur3-x64-64, in practice.
    pub hash: u64,
}

impl Hamt {
    /// Hex digits at the front of a link's name that give its place in the node.
    fn prefix_len(self) -> usize {
        let bits = self.fanout.trailing_zeros() as usize;
        bits.div_ceil(4).max(1)
    }
}

/// A UnixFS node, borrowing from its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// What it is.
    pub kind: Kind,
    /// Bytes of the file that are in this node (they come before its children's), a link's target, or a
    /// HAMT's bitfield.
    pub data: &'a [u8],
    /// What the node says of the file's length in bytes.
    pub file_size: Option<u64>,
    /// Unix permissions and type bits, if kept.
    pub mode: Option<u32>,
    /// What the node says of its children's lengths; as many as there are links, in a file.
    block_sizes: Vec<u64>,
    links: Vec<pb::Link<'a>>,
}

/// A child of a file node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The child.
    pub cid: Cid,
    /// The bytes of this node's file that it holds.
    pub range: Range<u64>,
}

/// A link of a directory or a HAMT shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Something with a name. Names are bytes: UTF-8 in practice, not necessarily safe as a file name.
    Named {
        /// The name, without the HAMT's prefix.
        name: &'a [u8],
        /// What it names.
        cid: Cid,
        /// What the writer says of the bytes below, all blocks counted.
        tsize: Option<u64>,
    },
    /// A further shard of the same directory.
    Shard(Cid),
}

/// Why a block is no UnixFS node, or not the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The block has a codec that UnixFS does not use.
    #[error("codec 0x{0:x} is not UnixFS: raw and dag-pb are")]
    Codec(u64),
    /// No dag-pb node.
    #[error("not dag-pb: {0}")]
    DagPb(#[from] pb::Error),
    /// The node has no data, or it is no UnixFS message.
    #[error("the data of the node is not UnixFS")]
    Data,
    /// A type of node that is not in the specification.
    #[error("UnixFS type {0} is not known")]
    Type(u64),
    /// A HAMT's fanout is no power of two from 2 to 1,024.
    #[error("a HAMT of fanout {0}")]
    Fanout(u64),
    /// A link in a HAMT shard has a name too short for its place.
    #[error("link {index} of the HAMT shard has no prefix")]
    Prefix {
        /// The number of the link, from zero.
        index: usize,
    },
    /// A file says how long its children are, and has another number of them; or the lengths overflow.
    #[error("{sizes} sizes for {links} links")]
    BlockSizes {
        /// How many sizes there are.
        sizes: usize,
        /// How many links there are.
        links: usize,
    },
    /// The node is of another kind.
    #[error("the node is no {0}")]
    Kind(&'static str),
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Data
    }
}

impl<'a> Node<'a> {
    /// Parses a block: a raw block is bytes of a file.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn parse(codec: u64, block: &'a [u8]) -> Result<Self, Error> {
        match codec {
            codec::RAW => Ok(Self {
                kind: Kind::Raw,
                data: block,
                file_size: Some(block.len() as u64),
                mode: None,
                block_sizes: Vec::new(),
                links: Vec::new(),
            }),
            codec::DAG_PB => {
                let node = pb::Node::parse(block)?;
                Message::parse(node.data.ok_or(Error::Data)?)?.with_links(node.links)
            }
            codec => Err(Error::Codec(codec)),
        }
    }

    /// The children of a file with the bytes of it that each holds, counted from the start of this node; its own
    /// [`data`](Self::data) comes first.
    ///
    /// # Errors
    ///
    /// The node is no file, or its sizes are not one for each link.
    pub fn parts(&self) -> Result<Vec<Part>, Error> {
        if !matches!(self.kind, Kind::File | Kind::Raw) {
            return Err(Error::Kind("file"));
        }
        let mismatch = Error::BlockSizes { sizes: self.block_sizes.len(), links: self.links.len() };
        if self.block_sizes.len() != self.links.len() {
            return Err(mismatch);
        }
        let mut start = self.data.len() as u64;
        let mut parts = Vec::with_capacity(self.links.len());
        for (link, size) in self.links.iter().zip(&self.block_sizes) {
            let end = start.checked_add(*size).ok_or(mismatch.clone())?;
            parts.push(Part { cid: link.cid, range: start..end });
            start = end;
        }
        Ok(parts)
    }

    /// The entries of a directory or of one shard of it, in the order of the block.
    ///
    /// # Errors
    ///
    /// The node is no directory, or a link of a shard has no prefix.
    pub fn entries(&self) -> Result<Vec<Entry<'a>>, Error> {
        let prefix_len = match self.kind {
            Kind::Directory => None,
            Kind::HamtShard(hamt) => Some(hamt.prefix_len()),
            _ => return Err(Error::Kind("directory")),
        };
        let entry = |(index, link): (usize, &pb::Link<'a>)| {
            let named = |name| Entry::Named { name, cid: link.cid, tsize: link.tsize };
            let Some(prefix_len) = prefix_len else {
                return Ok(named(link.name));
            };
            match link.name.split_at_checked(prefix_len) {
                Some((_, [])) => Ok(Entry::Shard(link.cid)),
                Some((_, name)) => Ok(named(name)),
                None => Err(Error::Prefix { index }),
            }
        };
        self.links.iter().enumerate().map(entry).collect()
    }
}

/// The protobuf message in a node's data.
#[derive(Default)]
struct Message<'a> {
    kind: Option<u64>,
    data: &'a [u8],
    file_size: Option<u64>,
    block_sizes: Vec<u64>,
    hash: Option<u64>,
    fanout: Option<u64>,
    mode: Option<u32>,
}

impl<'a> Message<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut message = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => message.kind = Some(value.varint()?),
                (2, value) => message.data = value.bytes()?,
                (3, value) => message.file_size = Some(value.varint()?),
                (4, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        message.block_sizes.push(take_varint(&mut packed)?);
                    }
                }
                (4, value) => message.block_sizes.push(value.varint()?),
                (5, value) => message.hash = Some(value.varint()?),
                (6, value) => message.fanout = Some(value.varint()?),
                (7, value) => message.mode = Some(value.varint()? as u32),
                _ => {}
            }
        }
        Ok(message)
    }

    fn with_links(self, links: Vec<pb::Link<'a>>) -> Result<Node<'a>, Error> {
        let kind = match self.kind.ok_or(Error::Data)? {
            0 => Kind::Raw,
            1 => Kind::Directory,
            2 => Kind::File,
            3 => Kind::Metadata,
            4 => Kind::Symlink,
            5 => {
                let fanout = self.fanout.unwrap_or_default();
                if !fanout.is_power_of_two() || !(2..=MAX_FANOUT).contains(&fanout) {
                    return Err(Error::Fanout(fanout));
                }
                Kind::HamtShard(Hamt { fanout, hash: self.hash.unwrap_or_default() })
            }
            other => return Err(Error::Type(other)),
        };
        let Self { data, file_size, mode, block_sizes, .. } = self;
        Ok(Node { kind, data, file_size, mode, block_sizes, links })
    }
}
