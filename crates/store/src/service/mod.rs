//! The index as a service: where blocks are, for whoever may know.
//!
//! | request | answer |
//! |---|---|
//! | `GET /blocks/{multihash}` | one block, as JSON: 200, 404 if it is missing, 503 if that is not known, 410 if it is denied |
//! | `POST /blocks` with a JSON array of multihashes, at most [`MAX_BATCH`] | the same of each, in their order: 200 |
//! | `GET /claims/multihash/{multihash}`, `/claims/cid/{cid}` | location claims, as a claims service has them |
//!
//! A block is `{multihash, status, places: [{car, offset, length, roots}], more}`. `offset` and `length` are those of the
//! block's own bytes in the CAR, in bytes; where the index does not know them, the head of the section is read.
//!
//! No socket is in here: a host gives the head of a request, and its body where that is asked for, and sends the answer.

mod describe;
mod request;
mod response;
mod token;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cid::Cid;
use futures_util::StreamExt;
use futures_util::stream;
use hoverboard_claims::{Carpark, Did, Location};
use lru::LruCache;
use multihash::Multihash;
use object_store::path::Path;
use parking_lot::Mutex;

use self::describe::Fault;
pub use self::request::{Admitted, MAX_BATCH, MAX_BODY, Query, Request};
pub use self::response::{Block, Place, Response, Status};
pub use self::token::{Token, TokenError};
use crate::CarCid;
use crate::ledger::Account;
use crate::library::{Library, Located};

/// Places of one block that are named.
const MAX_PLACES: usize = 4;
/// CARs of which it is remembered which roots they have.
const DESCRIBED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Blocks of a batch that are worked on at a time.
const AT_ONCE: usize = 8;

/// Who may ask.
#[derive(Clone, Debug)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever sends this token, as `Authorization: Bearer TOKEN`.
    Token(Token),
}

/// What a host sets.
#[derive(Clone)]
pub struct Settings {
    /// Who may ask.
    pub access: Access,
    /// Where others reach our CARPARK. Without it there are no claims: they would name nothing.
    pub carpark: Option<Carpark>,
    /// Who claims.
    pub issuer: Did,
    /// Blocks about which nothing is told.
    pub denied: Arc<dyn Fn(&Multihash<64>) -> bool + Send + Sync>,
}

/// The service over one bucket.
pub struct Service {
    library: Arc<Library>,
    settings: Settings,
    described: Mutex<LruCache<CarCid, Arc<Described>>>,
}

/// What the front of a CAR says.
#[derive(Debug)]
struct Described {
    /// Where it lies in CARPARK.
    key: Path,
    /// Its roots, if its header is short enough to say them.
    roots: Option<Vec<Cid>>,
}

impl Service {
    /// A service that looks blocks up by this library's runs.
    pub fn new(library: Arc<Library>, settings: Settings) -> Self {
        Self { library, settings, described: Mutex::new(LruCache::new(DESCRIBED)) }
    }

    /// Answers a query. What it reads is paid for by the account.
    pub async fn answer(&self, query: Query, account: &Account) -> Response {
        match query {
            Query::Block(multihash) => {
                let mut blocks = self.blocks(&[multihash], account).await;
                match blocks.pop() {
                    Some(block) => Response::block(&block),
                    None => Response::error(503, "the budget is spent"),
                }
            }
            Query::Blocks(multihashes) => Response::blocks(&self.blocks(&multihashes, account).await),
            Query::Claims(multihash) => self.claims(multihash, account).await,
        }
    }

    async fn claims(&self, multihash: Multihash<64>, account: &Account) -> Response {
        let Some(carpark) = &self.settings.carpark else {
            return Response::error(501, "no claims are made here: where CARPARK is reached is not configured");
        };
        let Some(block) = self.blocks(&[multihash], account).await.pop() else {
            return Response::error(503, "the budget is spent");
        };
        let location = |place: &Place| Location {
            content: multihash,
            url: carpark.url_of(place.key.as_ref()),
            offset: place.offset,
            length: place.length,
        };
        match block.status {
            Status::Found | Status::Missing => {
                let locations: Vec<Location> = block.places.iter().map(location).collect();
                Response::claims(hoverboard_claims::write(&locations, &self.settings.issuer, None))
            }
            Status::Unknown | Status::Denied => Response::block(&block),
        }
    }

    /// Where blocks are, in their order: one answer for each.
    async fn blocks(&self, multihashes: &[Multihash<64>], account: &Account) -> Vec<Block> {
        // Once for each: the list may change meanwhile, and answers belong to those who were asked for.
        let denied: Vec<bool> = multihashes.iter().map(|multihash| (self.settings.denied)(multihash)).collect();
        let told = multihashes.iter().zip(&denied).filter(|(_, denied)| !**denied);
        let asked: Vec<Multihash<64>> = told.map(|(multihash, _)| *multihash).collect();
        let located = match &self.library.locators.runs {
            // Without an index, or without the budget to ask it, nothing is known.
            Some(runs) if !asked.is_empty() => runs.locate(asked, account.clone()).await.unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut located = located.into_iter();
        let each = multihashes.iter().zip(denied).map(|(multihash, denied)| {
            let located = match denied {
                true => None,
                false => Some(located.next().unwrap_or(Located::Unknown)),
            };
            self.block(*multihash, located, account)
        });
        stream::iter(each.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
    }

    /// `located` is `None` for a block that is denied.
    async fn block(&self, multihash: Multihash<64>, located: Option<Located>, account: &Account) -> Block {
        let found = |status, places, more| Block { multihash, status, places, more };
        let (candidates, more) = match located {
            None => return found(Status::Denied, Vec::new(), false),
            Some(Located::At { places, more }) => (places, more),
            Some(Located::Missing) => return found(Status::Missing, Vec::new(), false),
            // Bytes from elsewhere come from no run.
            Some(Located::Unknown | Located::Block(_)) => return found(Status::Unknown, Vec::new(), false),
        };
        let unnamed = more || candidates.len() > MAX_PLACES;
        let (mut places, mut doubt) = (Vec::new(), unnamed || candidates.is_empty());
        for candidate in candidates.iter().take(MAX_PLACES) {
            match self.place(&multihash, candidate, account).await {
                Ok(place) => places.push(place),
                // A CAR that is gone is a definite miss for this place.
                Err(Fault::Gone) => {}
                Err(Fault::Other) => doubt = true,
            }
        }
        match (places.is_empty(), doubt) {
            (false, _) => found(Status::Found, places, unnamed),
            (true, false) => found(Status::Missing, places, false),
            (true, true) => found(Status::Unknown, places, false),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("library", &self.library).finish_non_exhaustive()
    }
}
