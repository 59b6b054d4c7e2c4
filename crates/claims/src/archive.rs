//! The CARs around claims: a service's answer is a CAR of CARs, each with one invocation.

use std::collections::HashMap;

use bytes::Bytes;
use cid::Cid;
use hoverboard_car::{Decoder, Event, Options};
use hoverboard_dag::verify;
use minicbor::decode;

use crate::{Claim, Error, cbor};

/// The longest answer that is read, in bytes: 4 MiB.
pub const MAX_RESPONSE: usize = 4 << 20;
/// The longest claim that is read, its CAR included, in bytes: 256 KiB.
pub const MAX_CLAIM: usize = 256 << 10;
/// As many claims are read of one answer.
pub const MAX_CLAIMS: usize = 512;

/// The longest header of the CARs, in bytes. They have one root or none.
const MAX_HEADER: u64 = 4 << 10;
/// Blocks in a CAR of one claim: an invocation, the name of its format, and what proves that it may be made.
const MAX_BLOCKS: usize = 64;
/// The multicodec of a CAR as a block.
const CAR: u64 = 0x0202;
/// The key under which a CAR names its invocation.
const FORMAT: &str = "ucan@0.9.1";

/// What a service's answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// In the order of the answer. They may be about other content than was asked about.
    pub claims: Vec<Claim>,
    /// Claims that were passed over because they are damaged or too many. Kinds that are not known do not count.
    pub passed_over: usize,
}

/// Reads the answer to `GET /claims/multihash/…`: a CAR without roots, each of whose blocks is a CAR with one claim. No
/// bytes at all are an answer too, from services that have nothing to say.
///
/// A claim that is damaged, or does not match its CID, is [passed over](Claims::passed_over).
///
/// # Errors
///
/// The CAR around the claims is damaged, cut short, or longer than [`MAX_RESPONSE`].
pub fn read(response: &[u8]) -> Result<Claims, Error> {
    let mut claims = Claims::default();
    if response.is_empty() {
        return Ok(claims);
    }
    let mut sections = Sections::open(response, MAX_RESPONSE, MAX_CLAIM)?;
    while let Some((cid, block)) = sections.next()? {
        if cid.codec() != CAR {
            continue;
        }
        if claims.claims.len() == MAX_CLAIMS || claims.passed_over == MAX_CLAIMS {
            claims.passed_over += 1;
            break;
        }
        match check(&cid, &block).and_then(|()| read_claim(&block)) {
            Ok(Some(claim)) => claims.claims.push(claim),
            Ok(None) => {}
            Err(_) => claims.passed_over += 1,
        }
    }
    Ok(claims)
}

/// Reads a CAR of one claim. `None`: of a kind that is not known here.
fn read_claim(archive: &[u8]) -> Result<Option<Claim>, Error> {
    let blocks = Blocks::read(archive, MAX_CLAIM)?;
    let format = blocks.find(&blocks.root()?)?;
    let mut invocation = None;
    let mut decoder = minicbor::Decoder::new(&format);
    cbor::map(&mut decoder, |key, decoder| {
        match key {
            FORMAT => invocation = Some(cbor::link(decoder)?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    let invocation = blocks.find(&cbor::field(invocation, FORMAT)?)?;
    Ok(read_invocation(&invocation)?)
}

/// Reads the first capability of an invocation: claims have one.
fn read_invocation(block: &[u8]) -> Result<Option<Claim>, decode::Error> {
    let mut decoder = minicbor::Decoder::new(block);
    let mut claim = None;
    cbor::map(&mut decoder, |key, decoder| {
        if key != "att" {
            return decoder.skip();
        }
        let capabilities = cbor::array_len(decoder)?;
        for number in 0..capabilities {
            match number {
                0 => claim = read_capability(decoder)?,
                _ => decoder.skip()?,
            }
        }
        Ok(())
    })?;
    cbor::end(&decoder)?;
    Ok(claim)
}

/// Reads `{can, with, nb}`. Keys come in any order, and what `nb` says hangs on `can`, so it is read when both are known.
fn read_capability(decoder: &mut minicbor::Decoder<'_>) -> Result<Option<Claim>, decode::Error> {
    let (mut can, mut nb) = (None, None);
    cbor::map(decoder, |key, decoder| {
        match key {
            "can" => can = Some(decoder.str()?),
            "nb" => {
                nb = Some(decoder.position());
                decoder.skip()?;
            }
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    let (Some(can), Some(nb)) = (can, nb) else { return Ok(None) };
    let mut nested = decoder.clone();
    nested.set_position(nb);
    Claim::read(can, &mut nested)
}

/// The bytes match the CID.
fn check(cid: &Cid, block: &[u8]) -> Result<(), Error> {
    verify(cid, block).map_err(|source| Error::Block { cid: Box::new(*cid), source })
}

/// The blocks of a small CAR that has one root.
pub(crate) struct Blocks {
    roots: Vec<Cid>,
    blocks: HashMap<Cid, Bytes>,
}

impl Blocks {
    fn read(car: &[u8], max: usize) -> Result<Self, Error> {
        let mut sections = Sections::open(car, max, max)?;
        let mut blocks = HashMap::new();
        while blocks.len() < MAX_BLOCKS
            && let Some((cid, block)) = sections.next()?
        {
            blocks.insert(cid, block);
        }
        Ok(Self { roots: sections.roots, blocks })
    }

    fn root(&self) -> Result<Cid, Error> {
        match self.roots[..] {
            [root] => Ok(root),
            _ => Err(Error::Roots(self.roots.len())),
        }
    }

    /// A block, checked.
    fn find(&self, cid: &Cid) -> Result<Bytes, Error> {
        let block = self.blocks.get(cid).ok_or_else(|| Error::NotInIt(Box::new(*cid)))?;
        check(cid, block)?;
        Ok(block.clone())
    }
}

/// The sections of a CAR in memory, not checked.
pub(crate) struct Sections {
    pub(crate) roots: Vec<Cid>,
    decoder: Decoder,
}

impl Sections {
    /// Reads the header of a CAR of at most `max` bytes, with sections of at most `max_section`.
    pub(crate) fn open(car: &[u8], max: usize, max_section: usize) -> Result<Self, Error> {
        if car.len() > max {
            return Err(Error::TooLong { len: car.len(), max });
        }
        let options = Options { max_section: max_section as u64, max_header: MAX_HEADER, ..Options::default() };
        let mut decoder = Decoder::new(options);
        decoder.push(car);
        decoder.end();
        let roots = match decoder.next()? {
            Some(Event::Header(header)) => header.roots,
            // The header comes first, or an error does.
            Some(Event::Section(_)) | None => Vec::new(),
        };
        Ok(Self { roots, decoder })
    }

    pub(crate) fn next(&mut self) -> Result<Option<(Cid, Bytes)>, Error> {
        Ok(match self.decoder.next()? {
            Some(Event::Section(section)) => Some((section.head.cid, section.data)),
            Some(Event::Header(_)) | None => None,
        })
    }
}
