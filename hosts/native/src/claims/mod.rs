//! Blocks that others have: found by a claims service, fetched from where it says, and served if their hash is right.
//!
//! The last and dearest of the locators. What claims are and where they may lead is [`hoverboard_claims`]'s; here are the
//! requests.
//!
//! | module | it is |
//! |---|---|
//! | `http` | one bounded request, to an address that may be asked |
//! | `places` | the bytes of a block, out of what is at a place |
//! | `settings` | what the operator said about both |
//! | `told` | the other way round: what others are told of where our blocks are |

mod http;
mod places;
mod settings;
mod told;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use hoverboard_car::SectionOffset;
use hoverboard_claims::{Ask, At, Limits, Place, Policy, Request, Site, Walk};
use hoverboard_index::Extent;
use hoverboard_store::ledger::{Account, Kind, Spent};
use hoverboard_store::library::{CarPlace, Located, Locator, NotLocated};
use hoverboard_store::{Bucket, CarCid};
use lru::LruCache;
use multihash::Multihash;
use parking_lot::Mutex;
use reqwest::Url;

pub use self::http::FetchError;
use self::http::{Client, Found};
pub use self::settings::{ClaimsError, Settings, Told};
pub use self::told::IndexService;
use crate::metrics::Metrics;

/// Blocks that are looked for at a time, of all peers.
const AT_ONCE: usize = 16;
/// Blocks that are looked for at a time, of one call.
const OF_A_CALL: usize = 4;
/// Bytes that one call brings; blocks beyond are unknown, and asked for again.
const BYTES_OF_A_CALL: usize = 16 << 20;
/// How long it is remembered that nobody claims a block.
const MISSING_FOR: Duration = Duration::from_secs(10);
/// How long a claims service that failed is left alone.
const DOWN_FOR: Duration = Duration::from_secs(2);
/// Blocks of which it is remembered.
const MISSING: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// A [`Locator`] that asks a claims service.
#[derive(Clone)]
pub struct Claims(Arc<Inner>);

struct Inner {
    service: Url,
    policy: Arc<Policy>,
    limits: Limits,
    client: Client,
    bucket: Bucket,
    metrics: Arc<Metrics>,
    places: tokio::sync::Semaphore,
    missing: Mutex<LruCache<Multihash<64>, Instant>>,
    /// Until when the service is left alone.
    down: Mutex<Option<Instant>>,
}

impl Claims {
    /// A locator of what others have, for a bucket that has its own.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(settings: Settings, bucket: Bucket, metrics: Arc<Metrics>) -> Result<Self, FetchError> {
        let mut service = settings.service;
        if !service.path().ends_with('/') {
            service.set_path(&format!("{}/", service.path()));
        }
        Ok(Self(Arc::new(Inner {
            service,
            policy: settings.policy,
            limits: settings.limits,
            client: Client::new()?,
            bucket,
            metrics,
            places: tokio::sync::Semaphore::new(AT_ONCE),
            missing: Mutex::new(LruCache::new(MISSING)),
            down: Mutex::new(None),
        })))
    }
}

impl Locator for Claims {
    fn locate(
        &self,
        multihashes: Vec<Multihash<64>>,
        account: Account,
    ) -> BoxFuture<'static, Result<Vec<Located>, NotLocated>> {
        let inner = Arc::clone(&self.0);
        async move {
            let each = multihashes.into_iter().map(|block| inner.locate(block, &account));
            let mut answers = stream::iter(each).buffered(OF_A_CALL);
            let (mut located, mut bytes) = (Vec::new(), 0);
            while let Some(answer) = answers.next().await {
                let mut answer = answer.map_err(NotLocated::Spent)?;
                if let Located::Block(block) = &answer {
                    bytes += block.len();
                    if bytes > BYTES_OF_A_CALL {
                        answer = Located::Unknown;
                    }
                }
                located.push(answer);
            }
            Ok(located)
        }
        .boxed()
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("service", &self.0.service.as_str()).finish_non_exhaustive()
    }
}

impl Inner {
    async fn locate(&self, block: Multihash<64>, account: &Account) -> Result<Located, Spent> {
        if self.is_missing(&block) {
            return Ok(Located::Missing);
        }
        if self.is_down() {
            return Ok(Located::Unknown);
        }
        // It is never closed.
        let Ok(_place) = self.places.acquire().await else { return Ok(Located::Unknown) };
        let walk = self.walk(block, account).await?;
        if walk.refused() > 0 {
            self.metrics.claims.refused.inc_by(u64::from(walk.refused()));
            tracing::debug!(block = %hex(&block), urls = walk.refused(), "claims lead where --claims-allow does not");
        }
        let ours: Vec<CarPlace> = walk.places().iter().filter_map(in_our_bucket).collect();
        if !ours.is_empty() {
            // Others are not named then, and what could not be asked may know of more.
            let more = ours.len() < walk.places().len() || !walk.is_sure();
            return Ok(Located::At { places: ours, more });
        }
        for place in walk.places() {
            match self.fetch(&block, place, account).await? {
                Ok(bytes) => {
                    self.metrics.claims.blocks.inc();
                    return Ok(Located::Block(bytes));
                }
                Err(error) => tracing::debug!(block = %hex(&block), ?place, %error, "a claim leads to nothing"),
            }
        }
        if walk.places().is_empty() && walk.is_sure() {
            self.missing.lock().put(block, Instant::now());
            return Ok(Located::Missing);
        }
        Ok(Located::Unknown)
    }

    /// Asks until nothing is left to ask.
    async fn walk(&self, block: Multihash<64>, account: &Account) -> Result<Walk, Spent> {
        let mut walk = Walk::new(block, Arc::clone(&self.policy), self.limits);
        // One after another: most walks have one request, and those that have more need its answer.
        while let Some(request) = walk.next() {
            let _permit = account.request(Kind::Read).await?;
            let id = request.id;
            match self.ask(request).await {
                Ok(Found::Body(body)) => walk.answered(id, body),
                Ok(Found::Nothing) => walk.missing(id),
                Err(error) => {
                    tracing::debug!(block = %hex(&block), %error, "a question about claims was not answered");
                    walk.failed(id);
                }
            }
        }
        Ok(walk)
    }

    async fn ask(&self, request: Request) -> Result<Found, FetchError> {
        self.metrics.claims.requests.inc();
        match request.ask {
            Ask::Claims(about) => {
                let url = self.service.join(&Ask::path(&about)).map_err(|_| FetchError::Url)?;
                let answer = self.client.vouched(url, None, request.max_bytes).await;
                if answer.is_err() {
                    *self.down.lock() = Some(Instant::now() + DOWN_FOR);
                }
                answer
            }
            Ask::Index { site: Site::Web { url, addresses }, range } => {
                let range = range.map(|range| (range.offset.0, range.length));
                self.client.get(url, addresses, range, request.max_bytes).await
            }
            Ask::Index { site: Site::Car(digest), range } => {
                let car = CarCid::of_digest(digest);
                places::in_bucket(&self.bucket, &car, range, request.max_bytes).await
            }
        }
    }

    async fn fetch(
        &self,
        block: &Multihash<64>,
        place: &Place,
        account: &Account,
    ) -> Result<Result<Bytes, FetchError>, Spent> {
        let _permit = account.request(Kind::Read).await?;
        self.metrics.claims.requests.inc();
        Ok(places::block(&self.client, block, place).await)
    }

    fn is_missing(&self, block: &Multihash<64>) -> bool {
        self.missing.lock().get(block).is_some_and(|since| since.elapsed() < MISSING_FOR)
    }

    fn is_down(&self) -> bool {
        self.down.lock().is_some_and(|until| Instant::now() < until)
    }
}

/// A place in our own CARPARK, as a locator names it.
fn in_our_bucket(place: &Place) -> Option<CarPlace> {
    let Site::Car(digest) = place.site else { return None };
    let extent = match place.at {
        At::Bytes { offset, length } => Extent::Bytes { offset, length: u32::try_from(length?).ok()? },
        At::Section(SectionOffset(offset)) => Extent::Section { offset: SectionOffset(offset), at_most: None },
    };
    Some(CarPlace { car: CarCid::of_digest(digest), extent })
}

fn hex(multihash: &Multihash<64>) -> String {
    multihash.digest().iter().map(|byte| format!("{byte:02x}")).collect()
}
