//! One claim: what it is about, and what it says.

use cid::Cid;
use hoverboard_car::BlockOffset;
use minicbor::Decoder;
use minicbor::decode::Error;
use multihash::Multihash;

use crate::cbor;

/// URLs of a location claim that are kept; more are passed over.
pub const MAX_URLS: usize = 8;
/// The longest URL that is kept, in bytes; longer ones are passed over.
pub const MAX_URL_LEN: usize = 2048;
/// Parts of a partition or relation claim that are kept; more are passed over, and the claim is not [whole](Claim::whole).
pub const MAX_PARTS: usize = 256;

/// What somebody says about some content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it is about. Claims name a CID or a multihash; the multihash is what counts.
    pub content: Multihash<64>,
    /// What it says.
    pub assertion: Assertion,
    /// Nothing was passed over because it was too much.
    pub whole: bool,
}

/// What a claim says about its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// `assert/location`: its bytes are at any of these URLs.
    Location {
        /// As they were written: nothing is known of them before a [`Policy`](crate::Policy) has looked at them.
        urls: Vec<String>,
        /// Which of the bytes there; `None`: all.
        range: Option<ByteRange>,
    },
    /// `assert/inclusion`: it is a CAR that has the blocks of this index.
    Inclusion {
        /// A CARv2 index over it.
        includes: Cid,
    },
    /// `assert/index`: its DAG lies in blobs which this index describes.
    Index {
        /// A CAR with a sharded dag index.
        index: Cid,
    },
    /// `assert/partition`: its DAG lies in these CARs.
    Partition {
        /// CARs.
        parts: Vec<Cid>,
    },
    /// `assert/relation`: it and the blocks that it links to lie in these CARs. Which blocks those are is not kept.
    Relation {
        /// CARs, and their indexes where they are known.
        parts: Vec<Part>,
    },
    /// `assert/equals`: it has another name too.
    Equals {
        /// The other name.
        equals: Cid,
    },
}

/// Some of the bytes at a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Where they begin: the content's own bytes, with no section head in front.
    pub offset: BlockOffset,
    /// How many there are; `None`: all the rest.
    pub length: Option<u64>,
}

/// A CAR that a relation claim names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The CAR.
    pub content: Cid,
    /// A CARv2 index over it.
    pub includes: Option<Cid>,
}

impl Claim {
    /// Reads the `nb` of the capability `can`, which `decoder` stands at. `None`: a kind of claim that says nothing of
    /// use here; `nb` is read to its end all the same.
    pub(crate) fn read(can: &str, decoder: &mut Decoder<'_>) -> Result<Option<Self>, Error> {
        let mut fields = Fields { whole: true, ..Fields::default() };
        cbor::map(decoder, |key, decoder| fields.read(key, decoder))?;
        let Fields { content, urls, range, link, parts, whole } = fields;
        let assertion = match can {
            "assert/location" => Assertion::Location { urls, range },
            "assert/inclusion" => Assertion::Inclusion { includes: cbor::field(link, "includes")? },
            "assert/index" => Assertion::Index { index: cbor::field(link, "index")? },
            "assert/equals" => Assertion::Equals { equals: cbor::field(link, "equals")? },
            "assert/partition" => Assertion::Partition { parts: parts.iter().map(|part| part.content).collect() },
            "assert/relation" => Assertion::Relation { parts },
            _ => return Ok(None),
        };
        Ok(Some(Self { content: cbor::field(content, "content")?, assertion, whole }))
    }
}

/// The fields that claims have. No two kinds use one name for different things.
#[derive(Default)]
struct Fields {
    content: Option<Multihash<64>>,
    urls: Vec<String>,
    range: Option<ByteRange>,
    /// `includes`, `index` or `equals`.
    link: Option<Cid>,
    parts: Vec<Part>,
    whole: bool,
}

impl Fields {
    fn read(&mut self, key: &str, decoder: &mut Decoder<'_>) -> Result<(), Error> {
        match key {
            "content" => self.content = Some(content(decoder)?),
            "range" => self.range = Some(range(decoder)?),
            "includes" | "index" | "equals" => self.link = Some(cbor::link(decoder)?),
            "location" => cbor::array(decoder, |decoder| {
                let url = decoder.str()?;
                if self.urls.len() < MAX_URLS && url.len() <= MAX_URL_LEN {
                    self.urls.push(url.to_owned());
                } else {
                    self.whole = false;
                }
                Ok(())
            })?,
            "parts" => cbor::array(decoder, |decoder| {
                let part = part(decoder)?;
                if self.parts.len() < MAX_PARTS {
                    self.parts.push(part);
                } else {
                    self.whole = false;
                }
                Ok(())
            })?,
            _ => decoder.skip()?,
        }
        Ok(())
    }
}

/// A link, or `{digest: bytes}`.
fn content(decoder: &mut Decoder<'_>) -> Result<Multihash<64>, Error> {
    if !cbor::is_map(decoder)? {
        return Ok(*cbor::link(decoder)?.hash());
    }
    let mut digest = None;
    cbor::map(decoder, |key, decoder| {
        match key {
            "digest" => digest = Some(cbor::multihash(decoder)?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    cbor::field(digest, "digest")
}

fn range(decoder: &mut Decoder<'_>) -> Result<ByteRange, Error> {
    let (mut offset, mut length) = (None, None);
    cbor::map(decoder, |key, decoder| {
        match key {
            "offset" => offset = Some(decoder.u64()?),
            "length" => length = Some(decoder.u64()?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(ByteRange { offset: BlockOffset(cbor::field(offset, "offset")?), length })
}

/// A CAR as a partition claim names it, by a link, or as a relation claim does: `{content: link, includes?: {content: link}}`.
fn part(decoder: &mut Decoder<'_>) -> Result<Part, Error> {
    if !cbor::is_map(decoder)? {
        return Ok(Part { content: cbor::link(decoder)?, includes: None });
    }
    let (mut content, mut includes) = (None, None);
    cbor::map(decoder, |key, decoder| {
        match key {
            "content" => content = Some(cbor::link(decoder)?),
            "includes" => cbor::map(decoder, |key, decoder| {
                match key {
                    "content" => includes = Some(cbor::link(decoder)?),
                    _ => decoder.skip()?,
                }
                Ok(())
            })?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(Part { content: cbor::field(content, "content")?, includes })
}
