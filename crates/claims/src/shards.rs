//! The sharded dag index, `index/sharded/dag@0.1`: for each of some blobs, which of its bytes are which blocks.
//!
//! It is a CAR. Its root is `{"index/sharded/dag@0.1": {content: link, shards: [link]}}`, and each shard a block
//! `[multihash, [[multihash, [offset, length]], …]]`. The written specification has flat triples where the writers nest
//! the pair: both are read, and the nested form is written.

use bytes::Bytes;
use cid::Cid;
use hoverboard_car::{BlockOffset, Writer};
use hoverboard_dag::{codec, verify};
use minicbor::Decoder;
use minicbor::decode;
use multihash::Multihash;

use crate::Error;
use crate::archive::Sections;
use crate::cbor::{self, Out, OutError};

/// Shards that are read of one index; one with more is refused.
pub const MAX_SHARDS: usize = 1024;

/// The name of the format, which is the only key of the root.
const FORMAT: &str = "index/sharded/dag@0.1";
/// The multihash code of sha2-256.
const SHA2_256: u64 = 0x12;

/// Where some bytes of a blob lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The blob, which in practice is a CAR.
    pub shard: Multihash<64>,
    /// Where in it the bytes begin: those of the block itself.
    pub offset: BlockOffset,
    /// How many there are.
    pub length: u64,
}

/// A sharded dag index that lies in memory and is searched in place.
#[derive(Clone, Debug)]
pub struct ShardedIndex {
    content: Cid,
    shards: Vec<Bytes>,
}

impl ShardedIndex {
    /// Opens an index of at most `max` bytes, and checks each of its blocks against its CID.
    ///
    /// # Errors
    ///
    /// It is too long, no such index, or damaged.
    pub fn open(car: &[u8], max: usize) -> Result<Self, Error> {
        let mut sections = Sections::open(car, max, max)?;
        let [root] = sections.roots[..] else { return Err(Error::Roots(sections.roots.len())) };
        let mut blocks = Vec::new();
        while let Some((cid, block)) = sections.next()? {
            if blocks.len() > MAX_SHARDS {
                return Err(Error::TooLong { len: blocks.len(), max: MAX_SHARDS });
            }
            verify(&cid, &block).map_err(|source| Error::Block { cid: Box::new(cid), source })?;
            blocks.push((cid, block));
        }
        let find = |wanted: &Cid| {
            let found = blocks.iter().find(|(cid, _)| cid == wanted);
            found.map(|(_, block)| block.clone()).ok_or_else(|| Error::NotInIt(Box::new(*wanted)))
        };
        let (content, shards) = read_root(&find(&root)?)?;
        let shards = shards.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Self { content, shards })
    }

    /// The root of the DAG that it is an index of.
    pub fn content(&self) -> &Cid {
        &self.content
    }

    /// The places of a block, the first `most` of them. All shards are gone through: an index is read to find a few
    /// blocks and then dropped.
    ///
    /// # Errors
    ///
    /// A shard is not of the shape that it should have.
    pub fn lookup(&self, multihash: &Multihash<64>, most: usize) -> Result<Vec<Slice>, Error> {
        let mut found = Vec::new();
        self.for_each(|block, slice| {
            if block == *multihash && found.len() < most {
                found.push(slice);
            }
        })?;
        Ok(found)
    }

    /// Goes through all blocks, shard by shard.
    ///
    /// # Errors
    ///
    /// A shard is not of the shape that it should have.
    pub fn for_each(&self, mut block: impl FnMut(Multihash<64>, Slice)) -> Result<(), Error> {
        self.shards.iter().try_for_each(|shard| Ok(read_shard(shard, &mut block)?))
    }
}

fn read_root(block: &[u8]) -> Result<(Cid, Vec<Cid>), decode::Error> {
    let (mut content, mut shards) = (None, None);
    let mut decoder = Decoder::new(block);
    cbor::map(&mut decoder, |key, decoder| {
        if key != FORMAT {
            return decoder.skip();
        }
        cbor::map(decoder, |key, decoder| {
            match key {
                "content" => content = Some(cbor::link(decoder)?),
                "shards" => {
                    let mut links = Vec::new();
                    // Each has its bytes in the block, so that there are no more than those allow.
                    cbor::array(decoder, |decoder| {
                        links.push(cbor::link(decoder)?);
                        Ok(())
                    })?;
                    shards = Some(links);
                }
                _ => decoder.skip()?,
            }
            Ok(())
        })
    })?;
    cbor::end(&decoder)?;
    let shards = cbor::field(shards, FORMAT)?;
    match shards.len() <= MAX_SHARDS {
        true => Ok((cbor::field(content, "content")?, shards)),
        false => Err(decode::Error::message("too many shards")),
    }
}

fn read_shard(block: &[u8], found: &mut impl FnMut(Multihash<64>, Slice)) -> Result<(), decode::Error> {
    let mut decoder = Decoder::new(block);
    expect_items(&mut decoder, &[2])?;
    let shard = cbor::multihash(&mut decoder)?;
    cbor::array(&mut decoder, |decoder| {
        let nested = expect_items(decoder, &[2, 3])? == 2;
        let block = cbor::multihash(decoder)?;
        if nested {
            expect_items(decoder, &[2])?;
        }
        let (offset, length) = (BlockOffset(decoder.u64()?), decoder.u64()?);
        found(block, Slice { shard, offset, length });
        Ok(())
    })?;
    cbor::end(&decoder)
}

fn expect_items(decoder: &mut Decoder<'_>, expected: &[u64]) -> Result<u64, decode::Error> {
    let at = decoder.position();
    let len = cbor::array_len(decoder)?;
    match expected.contains(&len) {
        true => Ok(len),
        false => Err(decode::Error::message(format_args!("an array of {len} items")).at(at)),
    }
}

/// Makes a sharded dag index: the bytes of its CAR.
///
/// The slices of each shard are written in the order in which they come. Writers elsewhere sort by nothing either.
pub fn write<'a>(
    content: &Cid,
    shards: impl IntoIterator<Item = (Multihash<64>, &'a [(Multihash<64>, BlockOffset, u64)])>,
) -> Vec<u8> {
    let blocks: Vec<(Cid, Vec<u8>)> =
        shards.into_iter().map(|(shard, slices)| block(cbor::encode(|out| write_shard(out, &shard, slices)))).collect();
    let root = block(cbor::encode(|out| {
        out.map(1)?.str(FORMAT)?.map(2)?.str("shards")?.array(blocks.len() as u64)?;
        blocks.iter().try_for_each(|(cid, _)| cbor::write_link(out, cid))?;
        out.str("content")?;
        cbor::write_link(out, content)
    }));
    car(&[root.0], std::iter::once(&root).chain(&blocks))
}

fn write_shard(
    out: &mut Out,
    shard: &Multihash<64>,
    slices: &[(Multihash<64>, BlockOffset, u64)],
) -> Result<(), OutError> {
    out.array(2)?.bytes(&shard.to_bytes())?.array(slices.len() as u64)?;
    for (block, offset, length) in slices {
        out.array(2)?.bytes(&block.to_bytes())?.array(2)?.u64(offset.0)?.u64(*length)?;
    }
    Ok(())
}

/// A dag-cbor block and its CID.
pub(crate) fn block(data: Vec<u8>) -> (Cid, Vec<u8>) {
    (Cid::new_v1(codec::DAG_CBOR, sha256(&data)), data)
}

pub(crate) fn sha256(data: &[u8]) -> Multihash<64> {
    // The function is known, and its digest is as long as it says.
    hoverboard_dag::multihash(SHA2_256, 32, data).unwrap_or_default()
}

/// A CAR in memory, which takes all that is written to it.
pub(crate) fn car<'a>(roots: &[Cid], blocks: impl IntoIterator<Item = &'a (Cid, Vec<u8>)>) -> Vec<u8> {
    let write = || {
        let mut writer = Writer::new(Vec::new(), roots)?;
        for (cid, data) in blocks {
            writer.write(cid, data)?;
        }
        writer.finish()
    };
    write().unwrap_or_default()
}
