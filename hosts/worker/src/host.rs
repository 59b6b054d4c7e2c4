//! What is shared: by all objects of a wasm instance, the configuration, the sessions' settings, the bounds and the caches
//! ([`Host`]); by the peers of one object or of one connection, the buckets and the ledger ([`Desk`]), because what
//! the platform hands out with an event belongs to the object or connection of that event.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hoverboard_peer::{Bounds, wire};
use hoverboard_store::index::lookup::{self, Runs};
use hoverboard_store::ledger::{Budget, Ledger};
use hoverboard_store::library::{self, Library, Observer};
use hoverboard_store::{Bucket, CarCid};
use libp2p_identity::PeerId;
use worker::{Delay, Env};

use crate::config::{Config, Mode};
use crate::deny::{self, Deny};
use crate::memory::Memory;
use crate::{bucket, crypto, timer};

/// Bytes that may be unsent or unproven to all peers of an instance, before each is held to its least.
const MAX_UNSENT: usize = 12 * 1024 * 1024;

/// Bytes of unfinished messages of all peers of an instance.
const MAX_UNFINISHED: usize = 16 * 1024 * 1024;

/// Wants of one peer that are looked up and planned at a time.
const MAX_PLANNED: usize = 1024;

/// Requests of an event that are kept for the memory of peers, at least.
const ASIDE: u64 = 6;

/// This part of them is, where that is more: an object that is never quiet gets a new peer's reads and calls in one event.
const ASIDE_PART: u64 = 16;

/// Memory for the indexes of an instance, in bytes.
const INDEX_BYTES: usize = 12 * 1024 * 1024;

/// Memory for sections that are being received, of an instance, in bytes.
const SECTION_BYTES: usize = 8 * 1024 * 1024;

/// Wants of all peers of an instance that are looked up and planned at a time, beside sixteen of each.
const MAX_WANTS: usize = 12 * 1024;

/// Memory for what is read ahead of one peer's wants, in bytes and for each stream.
const WINDOW: usize = 512 * 1024;

/// How long an event waits for another one to have read the denylist, before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What all objects of a wasm instance share.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) sessions: Arc<hoverboard_peer::Config>,
    pub(crate) bounds: Arc<Bounds>,
    /// The blocks that are not served.
    pub(crate) deny: Deny,
    /// Has the indexes and CARs that are in memory.
    library: RefCell<Option<Arc<Library>>>,
    /// What is about to be sent: one session at a time.
    pub(crate) out: RefCell<Vec<u8>>,
}

/// What the peers of one object share, or the one peer of a connection.
pub(crate) struct Desk {
    pub(crate) host: Rc<Host>,
    pub(crate) ledger: Ledger,
    /// For the memory of peers, so that the reads do not take the last request: what was read has to be remembered most when
    /// a budget ends.
    aside: Ledger,
    pub(crate) library: Arc<Library>,
    memory: Memory,
    denylist: Option<worker::Bucket>,
}

thread_local! {
    static HOST: RefCell<Option<Rc<Host>>> = const { RefCell::new(None) };
}

impl Host {
    /// The host of this instance, made from the environment of its first event.
    pub(crate) fn of(env: &Env) -> worker::Result<Rc<Self>> {
        if let Some(host) = HOST.with_borrow(Clone::clone) {
            return Ok(host);
        }
        let host = Rc::new(Self::new(Config::from_env(env).map_err(|e| worker::Error::RustError(e.to_string()))?));
        HOST.set(Some(host.clone()));
        Ok(host)
    }

    fn new(config: Config) -> Self {
        let mut wire = wire::Config::new(config.identity.clone(), crypto::aead(), hoverboard_peer::protocols());
        wire.listen_addrs.clone_from(&config.announce);
        wire.yamux.unproven = Some(hoverboard_peer::bounds::MAX_ALLOWANCE as u64);
        let [a, b, c, d, e, f, g, h, ..] = random();
        let engine = hoverboard_peer::Limits {
            max_queued: hoverboard_peer::bounds::MAX_ALLOWANCE,
            // The reads are planned over so many wants of a peer: more than most have open, and each takes half a KiB.
            max_outstanding: MAX_PLANNED,
            table_key: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            ..hoverboard_peer::Limits::default()
        };
        let sessions = Arc::new(hoverboard_peer::Config { wire: Arc::new(wire), engine, serve: true });
        let bounds = Arc::new(Bounds::new(MAX_UNSENT, MAX_UNFINISHED));
        let deny = Deny::new(config.denylist.clone());
        Self { config, sessions, bounds, deny, library: RefCell::default(), out: RefCell::default() }
    }

    /// Whether a peer's memory is asked before its wants are looked up: it costs little and misses nothing, where it is an
    /// object. KV remembers misses and is asked only for what was not found otherwise.
    pub(crate) fn recalls_first(&self) -> bool {
        self.config.mode == Mode::Object
    }
}

impl Desk {
    pub(crate) fn new(host: Rc<Host>, env: &Env) -> worker::Result<Self> {
        let budget = host.config.budget();
        let aside = ASIDE.max(budget.requests / ASIDE_PART);
        let ledger = Ledger::new(Budget { requests: budget.requests - aside, ..budget });
        let aside = Ledger::new(Budget { requests: aside, waiting: 1, ..budget });
        let bucket = bucket::open(env, &host.config)?;
        // What is in memory is the instance's. The library that is kept for it reads nothing itself.
        let library = host.library.borrow_mut().get_or_insert_with(|| shared_library(&bucket)).beside(bucket);
        let memory = Memory::of(env, &host.config);
        let denylist = deny::bucket(env, &host.config)?;
        Ok(Self { host, ledger, aside, library, memory, denylist })
    }

    /// Reads the denylist, if it is to be looked at now or nothing may be looked up without it. `true` if that took a while.
    pub(crate) async fn keep_denylist(&self) -> bool {
        let (Some(bucket), deny) = (&self.denylist, &self.host.deny) else { return false };
        let mut waited = false;
        while deny.is_due() || deny.is_pending() {
            waited = true;
            if deny.is_due() {
                deny.refresh(bucket, &self.aside.account()).await;
            } else {
                // Another event is at it.
                Delay::from(LOOK_AGAIN).await;
            }
        }
        waited
    }

    /// A new event begins.
    pub(crate) fn begin_event(&self) {
        self.ledger.begin_event();
        self.aside.begin_event();
    }

    /// Which CARs a peer was reading when it was last here; `None` if that cannot be found out now.
    pub(crate) async fn recall(&self, peer: Option<PeerId>) -> Option<Vec<CarCid>> {
        match peer {
            Some(peer) => self.memory.recall(&self.aside, peer).await,
            None => Some(Vec::new()),
        }
    }

    /// Remembers them; `false` if that failed.
    pub(crate) async fn remember(&self, peer: PeerId, cars: &[CarCid]) -> bool {
        self.memory.remember(&self.aside, peer, cars).await
    }
}

fn shared_library(bucket: &Bucket) -> Arc<Library> {
    let config = library::Config {
        index_bytes: INDEX_BYTES,
        section_bytes: SECTION_BYTES,
        wants: MAX_WANTS,
        window: WINDOW,
        ..library::Config::new(crypto::sha256(), timer::timer(), Arc::new(Log))
    };
    let runs = Runs::new(bucket.clone(), lookup::Settings::of(&config));
    let locators = library::Locators { runs: Some(Arc::new(runs)), ..library::Locators::default() };
    Library::with_locators(bucket.clone(), config, locators)
}

/// Faults of the bucket, in the log.
pub(crate) struct Log;

impl Observer for Log {
    fn fault(&self, key: &str, what: &dyn fmt::Display) {
        worker::console_warn!("{}", serde_json::json!({ "event": "fault", "key": key, "what": what.to_string() }));
    }
}

/// The time, since 1970. It stands still between the events of the platform.
pub(crate) fn now() -> Duration {
    Duration::from_millis(worker::Date::now().as_millis())
}

/// 32 bytes that nobody can guess, for keys.
pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the platform has a source of random bytes");
    bytes
}

/// A name that no other socket of the object has.
pub(crate) fn random_id() -> String {
    let [a, b, c, d, e, f, g, h, ..] = random();
    format!("{:016x}", u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}
