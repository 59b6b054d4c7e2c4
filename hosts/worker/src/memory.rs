//! Which CARs a peer was reading, under its peer id: in a small Durable Object named by it, or in KV.
//!
//! It is a help, not a truth: what it says is looked up like anything else, and when it cannot be asked the peer is served as
//! if it were new.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::future::{Either, select};
use hoverboard_store::CarCid;
use hoverboard_store::ledger::{Kind, Ledger};
use hoverboard_store::memory::{decode, encode};
use libp2p_identity::PeerId;
use lru::LruCache;
use worker::js_sys::Uint8Array;
use worker::kv::KvStore;
use worker::{
    Delay, DurableObject, Env, Method, ObjectNamespace, Request, RequestInit, Response, Result, State, durable_object,
};

use crate::config::{Config, Mode};

/// How long a peer is remembered.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How long the memory of a peer may take to answer, or to be told: the peer's first blocks wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Peers that an instance remembers by itself, in plain mode; the oldest goes first.
const RECENT: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The key under which an object keeps its one value.
const CARS: &str = "cars";

/// Where peers are remembered.
pub(crate) enum Memory {
    Objects(ObjectNamespace),
    Kv(KvStore),
    /// There is no binding for it: only this instance remembers.
    Instance,
}

thread_local! {
    /// The peers of late. KV shows a write only after a while, and remembers that there was none.
    static LATELY: RefCell<LruCache<PeerId, Vec<u8>>> = RefCell::new(LruCache::new(RECENT));
}

impl Memory {
    pub(crate) fn of(env: &Env, config: &Config) -> Self {
        match config.mode {
            Mode::Object => env.durable_object("MEMORY").map_or(Self::Instance, Self::Objects),
            Mode::Plain => env.kv("MEMORY").map_or(Self::Instance, Self::Kv),
        }
    }

    /// What is remembered of a peer; `None` if it could not be asked.
    pub(crate) async fn recall(&self, ledger: &Ledger, peer: PeerId) -> Option<Vec<CarCid>> {
        // An object knows better than this instance, which may not have seen the peer last.
        if !matches!(self, Self::Objects(_))
            && let Some(bytes) = LATELY.with_borrow(|lately| lately.peek(&peer).cloned())
        {
            return decode(&bytes).ok();
        }
        match within(self.ask(ledger, peer)).await {
            Ok(bytes) => Some(bytes.and_then(|bytes| decode(&bytes).ok()).unwrap_or_default()),
            Err(error) => {
                warn("recall", &error);
                None
            }
        }
    }

    async fn ask(&self, ledger: &Ledger, peer: PeerId) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Instance => Ok(None),
            Self::Kv(kv) => {
                let _permit = ledger.account().request(Kind::Kv).await.map_err(spent)?;
                Ok(kv.get(&peer.to_base58()).bytes().await?)
            }
            Self::Objects(objects) => {
                let _permit = ledger.account().request(Kind::Call).await.map_err(spent)?;
                let mut response = objects.get_by_name(&peer.to_base58())?.fetch_with_str("https://memory/").await?;
                Ok(Some(response.bytes().await?).filter(|bytes| !bytes.is_empty()))
            }
        }
    }

    /// Remembers what a peer is reading; `false` if that failed.
    pub(crate) async fn remember(&self, ledger: &Ledger, peer: PeerId, cars: &[CarCid]) -> bool {
        let bytes = encode(cars.iter());
        if !matches!(self, Self::Objects(_)) {
            LATELY.with_borrow_mut(|lately| lately.put(peer, bytes.clone()));
        }
        let told = within(self.tell(ledger, peer, &bytes)).await;
        if let Err(error) = &told {
            warn("remember", error);
        }
        told.is_ok()
    }

    async fn tell(&self, ledger: &Ledger, peer: PeerId, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Instance => {}
            Self::Kv(kv) => {
                let _permit = ledger.account().request(Kind::Kv).await.map_err(spent)?;
                kv.put_bytes(&peer.to_base58(), bytes)?.expiration_ttl(KEPT.as_secs()).execute().await?;
            }
            Self::Objects(objects) => {
                let _permit = ledger.account().request(Kind::Call).await.map_err(spent)?;
                let mut init = RequestInit::new();
                init.with_method(Method::Put).with_body(Some(Uint8Array::from(bytes).into()));
                let request = Request::new_with_init("https://memory/", &init)?;
                objects.get_by_name(&peer.to_base58())?.fetch_with_request(request).await?;
            }
        }
        Ok(())
    }
}

/// Whether this instance remembers a peer by itself.
pub(crate) fn knows(peer: &PeerId) -> bool {
    LATELY.with_borrow(|lately| lately.contains(peer))
}

/// The Durable Object that remembers one peer.
#[durable_object]
pub struct PeerMemory {
    state: State,
}

impl DurableObject for PeerMemory {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let storage = self.state.storage();
        match request.method() {
            Method::Put => {
                let cars = request.bytes().await?;
                storage.put_raw(CARS, Uint8Array::from(cars.as_slice())).await?;
                storage.set_alarm(KEPT).await?;
                Response::empty()
            }
            _ => {
                let cars: Option<serde_bytes::ByteBuf> = storage.get(CARS).await?;
                Response::from_bytes(cars.map(serde_bytes::ByteBuf::into_vec).unwrap_or_default())
            }
        }
    }

    /// The peer has not been here for long.
    async fn alarm(&self) -> Result<Response> {
        self.state.storage().delete_all().await?;
        Response::empty()
    }
}

/// A call that has to be over soon: whoever waits for it holds up an event.
async fn within<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    match select(std::pin::pin!(call), Delay::from(PATIENCE)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => Err(worker::Error::RustError(format!("no answer within {PATIENCE:?}"))),
    }
}

fn spent(spent: hoverboard_store::ledger::Spent) -> worker::Error {
    worker::Error::RustError(spent.to_string())
}

fn warn(what: &str, error: &worker::Error) {
    worker::console_warn!("{}", serde_json::json!({ "event": "memory", "what": what, "error": error.to_string() }));
}
