//! Location claims out, in the format of the claims services, so that their readers can use our index.
//!
//! They are not signed: readers of claims check the bytes and not the claim, and a signature would say no more than the
//! connection that the claim came over. The signature is the empty one, of no algorithm, that UCAN libraries write for a
//! principal who cannot sign.

use std::str::FromStr;

use hoverboard_car::BlockOffset;
use multihash::Multihash;
use unsigned_varint::encode;

use crate::cbor::{self, Out, OutError};
use crate::shards::{block, car, sha256};

/// The multicodec of a DID that is no key, in front of its text.
const DID_CORE: u64 = 0x0d1d;
/// A varint for a signature that is not of the standard algorithms, and one for its length: none.
const UNSIGNED: [u8; 4] = [0x80, 0xa0, 0x03, 0x00];
/// The multicodec of a CAR as a block.
const CAR: u64 = 0x0202;

/// Who claims something: `did:METHOD:NAME`, such as `did:web:example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Did(String);

/// A text that is no DID, or one of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write did:METHOD:NAME, such as did:web:example.com. A did:key would have to sign")]
pub struct DidError;

impl FromStr for Did {
    type Err = DidError;

    fn from_str(text: &str) -> Result<Self, DidError> {
        let rest = text.strip_prefix("did:").ok_or(DidError)?;
        let (method, name) = rest.split_once(':').ok_or(DidError)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        match method != "key" && !method.is_empty() && !name.is_empty() && rest.chars().all(plain) {
            true => Ok(Self(text.to_owned())),
            false => Err(DidError),
        }
    }
}

impl Did {
    /// As an invocation has it.
    fn bytes(&self) -> Vec<u8> {
        let mut prefix = encode::u64_buffer();
        let prefix = encode::u64(DID_CORE, &mut prefix);
        [prefix, &self.0.as_bytes()["did:".len()..]].concat()
    }
}

/// Where the bytes of a block lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The block.
    pub content: Multihash<64>,
    /// A URL of the blob that it lies in.
    pub url: String,
    /// Where in it the block's own bytes begin.
    pub offset: BlockOffset,
    /// How many there are.
    pub length: u64,
}

/// The answer of a claims service that claims these locations: a CAR without roots, with a CAR for each claim.
///
/// `expires` is in seconds of the Unix epoch; `None`: never.
pub fn write(locations: &[Location], issuer: &Did, expires: Option<u64>) -> Vec<u8> {
    let claims: Vec<_> = locations
        .iter()
        .map(|location| {
            let invocation = block(cbor::encode(|out| write_invocation(out, location, issuer, expires)));
            let format = block(cbor::encode(|out| {
                out.map(1)?.str("ucan@0.9.1")?;
                cbor::write_link(out, &invocation.0)
            }));
            let archive = car(&[format.0], [&invocation, &format]);
            (cid::Cid::new_v1(CAR, sha256(&archive)), archive)
        })
        .collect();
    car(&[], &claims)
}

/// Keys in the order of dag-cbor: the shorter first.
fn write_invocation(out: &mut Out, location: &Location, issuer: &Did, expires: Option<u64>) -> Result<(), OutError> {
    let did = issuer.bytes();
    out.map(7)?.str("s")?.bytes(&UNSIGNED)?.str("v")?.str("0.9.1")?;
    out.str("att")?.array(1)?.map(3)?;
    out.str("nb")?.map(3)?;
    out.str("range")?.map(2)?.str("length")?.u64(location.length)?.str("offset")?.u64(location.offset.0)?;
    out.str("content")?.map(1)?.str("digest")?.bytes(&location.content.to_bytes())?;
    out.str("location")?.array(1)?.str(&location.url)?;
    out.str("can")?.str("assert/location")?.str("with")?.str(&issuer.0)?;
    out.str("aud")?.bytes(&did)?.str("exp")?;
    match expires {
        Some(seconds) => out.u64(seconds)?,
        None => out.null()?,
    };
    out.str("iss")?.bytes(&did)?.str("prf")?.array(0)?;
    Ok(())
}
