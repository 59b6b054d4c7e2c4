//! The denylist of a deployment: an object of a bucket, read by the first event that needs it, and again when it has changed.
//!
//! It is the instance's, and all objects in it share it. Nothing is looked up for a peer before it is there, unless the
//! deployment says that it may be done without.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use hoverboard_denylist::{Denylist, Policy, Rules};
use hoverboard_peer::Answer;
use hoverboard_store::ledger::{Account, Kind, Work};
use worker::{Bucket, Conditional, Env, Object};

use crate::config::Config;
use crate::host::now;

/// The largest list, in bytes: 466,000 rules compiled. While one takes the place of another, both are in memory.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How long an event may take to load it, before another one tries.
const PATIENCE: Duration = Duration::from_secs(30);

/// A list that could not be read is tried again after this time.
const AGAIN: Duration = Duration::from_secs(10);

/// What the check of a want hashes, in bytes: ten texts of two blocks each.
const HASHED: u64 = 10 * 2 * 64;

/// Where the list is, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The key in the binding `DENYLIST`, or else in `BUCKET`.
    pub(crate) key: String,
    /// How often it is looked at.
    pub(crate) refresh: Duration,
    /// Whether blocks are served while it could never be read.
    pub(crate) optional: bool,
}

/// The list as it is now.
#[derive(Debug, Default)]
pub(crate) struct Deny {
    settings: Option<Settings>,
    policy: RefCell<Arc<Policy>>,
    etag: RefCell<Option<String>>,
    generation: Cell<u64>,
    /// It was read once, or need not be.
    ready: Cell<bool>,
    /// When it is to be looked at.
    due: Cell<Duration>,
    /// Until when an event is at it.
    taken: Cell<Duration>,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
enum DenyError {
    #[error("there is no such object")]
    Missing,
    #[error("it has {0} bytes, and {MAX_BYTES} are the most")]
    TooLarge(u64),
    #[error("{0}")]
    List(#[from] hoverboard_denylist::ListError),
    #[error("{0}")]
    Open(#[from] hoverboard_denylist::OpenError),
    #[error("{0}")]
    Platform(#[from] worker::Error),
    #[error("{0}")]
    Spent(#[from] hoverboard_store::ledger::Spent),
}

/// The bucket that has the list, if there is to be one.
pub(crate) fn bucket(env: &Env, config: &Config) -> worker::Result<Option<Bucket>> {
    match &config.denylist {
        Some(_) => env.bucket("DENYLIST").or_else(|_| env.bucket("BUCKET")).map(Some),
        None => Ok(None),
    }
}

impl Deny {
    pub(crate) fn new(settings: Option<Settings>) -> Self {
        Self { ready: Cell::new(settings.is_none()), settings, ..Self::default() }
    }

    /// Whether nothing may be looked up before an event has [looked at it](Self::refresh).
    pub(crate) fn is_pending(&self) -> bool {
        !self.ready.get() && self.due.get() <= now()
    }

    /// What is denied; `None` while nobody knows, when nothing may be told.
    pub(crate) fn policy(&self) -> Option<Arc<Policy>> {
        self.ready.get().then(|| self.policy.borrow().clone())
    }

    /// Whether an event should [look at it](Self::refresh) now, and none is at it.
    pub(crate) fn is_due(&self) -> bool {
        self.settings.is_some() && self.due.get() <= now() && self.taken.get() <= now()
    }

    /// A number that is another one after every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// The answer to a want that is not to be looked up: the block is denied, or nobody knows, and what is not known is not
    /// answered. What it takes is charged to the peer.
    pub(crate) fn judge(&self, cid: &Cid, account: &Account) -> Option<Answer> {
        if !self.ready.get() {
            return Some(Answer::Unknown);
        }
        let policy = self.policy.borrow();
        if policy.is_empty() {
            return None;
        }
        account.charge(&Work { hashed: HASHED, ..Work::default() });
        policy.is_denied(cid).then_some(Answer::Missing)
    }

    /// Reads the list, if it is due and has changed. What was good last counts until there is something better.
    pub(crate) async fn refresh(&self, bucket: &Bucket, account: &Account) {
        let Some(settings) = self.settings.as_ref().filter(|_| self.is_due()) else { return };
        self.taken.set(now() + PATIENCE);
        let read = self.read(bucket, account, settings).await;
        self.taken.set(Duration::ZERO);
        match read {
            Ok(()) => {
                self.ready.set(true);
                self.due.set(now() + settings.refresh);
            }
            Err(error) => {
                let line = serde_json::json!({ "event": "denylist", "key": settings.key, "error": error.to_string() });
                worker::console_warn!("{line}");
                self.ready.set(self.ready.get() || settings.optional);
                self.due.set(now() + AGAIN);
            }
        }
    }

    async fn read(&self, bucket: &Bucket, account: &Account, settings: &Settings) -> Result<(), DenyError> {
        let _permit = account.request(Kind::Read).await?;
        let mut request = bucket.get(&settings.key);
        let known = self.etag.borrow().clone();
        if known.is_some() {
            request = request.only_if(Conditional { etag_does_not_match: known.clone(), ..Conditional::default() });
        }
        let object = request.execute().await?.ok_or(DenyError::Missing)?;
        if known == Some(object.etag()) {
            return Ok(());
        }
        let list = open(&object, account).await?;
        let counts = list.counts();
        let line = serde_json::json!({
            "event": "denylist", "key": settings.key, "rules": counts.enforced(), "exceptions": list.exceptions(),
            "pathRulesNotEnforced": counts.paths, "nameRulesNotEnforced": counts.names,
            "otherHashesNotEnforced": counts.unsupported, "malformed": counts.malformed,
        });
        worker::console_log!("{line}");
        *self.policy.borrow_mut() = Arc::new(Policy::new(vec![list.into()]));
        *self.etag.borrow_mut() = Some(object.etag());
        self.generation.set(self.generation.get() + 1);
        Ok(())
    }
}

/// The list in an object, in any of its forms.
async fn open(object: &Object, account: &Account) -> Result<Denylist, DenyError> {
    if object.size() > MAX_BYTES {
        return Err(DenyError::TooLarge(object.size()));
    }
    let bytes = object.body().ok_or(DenyError::Missing)?.bytes().await?;
    account.charge(&Work { read: bytes.len() as u64, ..Work::default() });
    if Denylist::is_compiled(&bytes) {
        return Ok(Denylist::open(bytes.into())?);
    }
    let mut rules = Rules::new();
    rules.read(&bytes)?;
    drop(bytes);
    Ok(Denylist::open(rules.compile())?)
}
