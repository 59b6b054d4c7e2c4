//! Answers, ready to be sent.

use cid::Cid;
use hoverboard_car::BlockOffset;
use multihash::Multihash;
use object_store::path::Path;
use serde::{Serialize, Serializer};

use crate::CarCid;

const JSON: &str = "application/json";
const CAR: &str = "application/vnd.ipld.car; version=1";

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers, by names in lower case.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Where a block is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Block {
    /// The block.
    #[serde(serialize_with = "multibase")]
    pub multihash: Multihash<64>,
    /// Whether it is anywhere.
    pub status: Status,
    /// Where it is, the best place first.
    pub places: Vec<Place>,
    /// It is in other CARs too, which are not named.
    pub more: bool,
}

/// Whether a block is anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In these places.
    Found,
    /// Nowhere: by everything that there is, as it was at most ten seconds ago.
    Missing,
    /// It could not be found out, or not now.
    Unknown,
    /// It is not told.
    Denied,
}

/// A block in a CAR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The CAR.
    #[serde(serialize_with = "text")]
    pub car: CarCid,
    /// Its key in CARPARK.
    #[serde(serialize_with = "text")]
    pub key: Path,
    /// Where in it the block's own bytes begin.
    #[serde(serialize_with = "offset")]
    pub offset: BlockOffset,
    /// How many there are.
    pub length: u64,
    /// The roots of the CAR; left out if they are too many.
    #[serde(serialize_with = "texts", skip_serializing_if = "Option::is_none")]
    pub roots: Option<Vec<Cid>>,
}

#[derive(Serialize)]
struct Batch<'a> {
    blocks: &'a [Block],
}

#[derive(Serialize)]
struct Error<'a> {
    error: &'a str,
}

impl Response {
    pub(super) fn block(block: &Block) -> Self {
        let mut response = Self::json(block);
        response.status = match block.status {
            Status::Found => 200,
            Status::Missing => 404,
            Status::Denied => 410,
            Status::Unknown => 503,
        };
        if block.status == Status::Unknown {
            response.headers.push(("retry-after", "10"));
        }
        response
    }

    pub(super) fn blocks(blocks: &[Block]) -> Self {
        Self::json(&Batch { blocks })
    }

    pub(super) fn claims(body: Vec<u8>) -> Self {
        Self { status: 200, headers: headers(CAR), body }
    }

    pub(super) fn error(status: u16, error: &str) -> Self {
        Self { status, ..Self::json(&Error { error }) }
    }

    pub(super) fn unauthorized() -> Self {
        let mut response = Self::error(401, "send the token as Authorization: Bearer TOKEN");
        response.headers.push(("www-authenticate", "Bearer"));
        response
    }

    pub(super) fn not_allowed(allow: &'static str) -> Self {
        let mut response = Self::error(405, "not with this method");
        response.headers.push(("allow", allow));
        response
    }

    fn json(body: &impl Serialize) -> Self {
        // None of the types has a key that is not text, or a number that is none.
        Self { status: 200, headers: headers(JSON), body: serde_json::to_vec(body).unwrap_or_default() }
    }
}

/// What was true a moment ago is not to be kept by anybody.
fn headers(content_type: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![("content-type", content_type), ("cache-control", "no-store")]
}

fn multibase<S: Serializer>(multihash: &Multihash<64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&::multibase::encode(::multibase::Base::Base58Btc, multihash.to_bytes()))
}

fn text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn texts<S: Serializer>(values: &Option<Vec<Cid>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().flatten().map(Cid::to_string))
}

fn offset<S: Serializer>(offset: &BlockOffset, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(offset.0)
}
