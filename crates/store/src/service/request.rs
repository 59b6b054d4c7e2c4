//! A request, from its head and body to what is asked.

use cid::Cid;
use multihash::Multihash;

use super::{Access, Response, Service};
use crate::library::MAX_ASKED;

/// Blocks of one `POST /blocks`.
pub const MAX_BATCH: usize = MAX_ASKED;
/// The longest body of a request, in bytes: 16 KiB, which is enough for [`MAX_BATCH`] multihashes of 64 bytes.
pub const MAX_BODY: usize = 16 << 10;
/// The longest name of a block, in bytes.
const MAX_NAME: usize = 256;

/// The head of an HTTP request, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `HEAD` or `POST`; `HEAD` is answered as `GET`, and the host leaves the body out.
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The `Authorization` header, if there is one.
    pub authorization: Option<&'a [u8]>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Where a block is.
    Block(Multihash<64>),
    /// Where blocks are.
    Blocks(Vec<Multihash<64>>),
    /// The same as claims.
    Claims(Multihash<64>),
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Admitted {
    /// Answer this.
    Query(Query),
    /// Read the body, at most [`MAX_BODY`] bytes, for [`Query::of_body`].
    Body,
    /// It is answered with this.
    Answer(Response),
}

impl Service {
    /// Looks at the head of a request. `None`: it is not for this service.
    pub fn admit(&self, request: &Request<'_>) -> Option<Admitted> {
        let mut parts = request.path.strip_prefix('/')?.split('/');
        let (first, rest): (_, Vec<&str>) = (parts.next()?, parts.by_ref().take(3).collect());
        if !matches!(first, "blocks" | "claims") {
            return None;
        }
        if let Access::Token(token) = &self.settings.access
            && !request.authorization.is_some_and(|header| token.is_in(header))
        {
            return Some(Admitted::Answer(Response::unauthorized()));
        }
        let read = matches!(request.method, "GET" | "HEAD");
        let block = |name: &str, query: fn(Multihash<64>) -> Query| match multihash(name) {
            Some(multihash) => Admitted::Query(query(multihash)),
            None => Admitted::Answer(Response::error(400, "write a multihash in multibase, such as zQm…, or a CID")),
        };
        Some(match (first, &rest[..]) {
            ("blocks", []) if request.method == "POST" => Admitted::Body,
            ("blocks", []) => Admitted::Answer(Response::not_allowed("POST")),
            ("blocks", [_]) | ("claims", ["multihash" | "cid", _]) if !read => {
                Admitted::Answer(Response::not_allowed("GET, HEAD"))
            }
            ("blocks", [name]) => block(name, Query::Block),
            ("claims", ["multihash" | "cid", name]) => block(name, Query::Claims),
            _ => Admitted::Answer(Response::error(404, "not found")),
        })
    }
}

impl Query {
    /// What the body of a `POST /blocks` asks.
    ///
    /// # Errors
    ///
    /// The answer that says what is wrong with it.
    pub fn of_body(body: &[u8]) -> Result<Self, Response> {
        if body.len() > MAX_BODY {
            return Err(Response::error(413, "the body is over 16 KiB"));
        }
        let names: Vec<String> =
            serde_json::from_slice(body).map_err(|_| Response::error(400, "write a JSON array of multihashes"))?;
        if names.len() > MAX_BATCH {
            return Err(Response::error(400, "more than 64 multihashes"));
        }
        let multihashes: Option<Vec<_>> = names.iter().map(|name| multihash(name)).collect();
        match multihashes {
            Some(multihashes) => Ok(Self::Blocks(multihashes)),
            None => Err(Response::error(400, "not every item is a multihash in multibase or a CID")),
        }
    }
}

/// A multihash in multibase, or that of a CID.
fn multihash(name: &str) -> Option<Multihash<64>> {
    if name.len() > MAX_NAME {
        return None;
    }
    if let Ok(cid) = Cid::try_from(name) {
        return Some(*cid.hash());
    }
    let (_, bytes) = multibase::decode(name).ok()?;
    Multihash::from_bytes(&bytes).ok()
}
