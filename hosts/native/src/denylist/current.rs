//! The denylists that count at this moment. A change of one takes effect for the next want of every peer, and for every
//! block that is not yet handed to a connection.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cid::Cid;
use hoverboard_denylist::{Denylist, Policy};
use multihash::Multihash;
use parking_lot::{Mutex, RwLock};
use tokio::task::JoinSet;

use super::kept::Kept;
use super::list::{List, Looked};
use super::{DenylistError, Settings};
use crate::metrics::Metrics;

/// The denylists of a process.
#[derive(Debug, Default)]
pub struct Denylists {
    policy: RwLock<Arc<Policy>>,
    /// Goes up when the policy changes.
    generation: AtomicU64,
    slots: Mutex<Vec<Slot>>,
}

/// One of the lists.
#[derive(Debug, Default)]
struct Slot {
    list: Option<Arc<Denylist>>,
    /// When it was last known to be what its source has.
    checked: Option<SystemTime>,
}

/// What keeps the lists up to date while it [runs](Self::run).
#[derive(Debug)]
pub struct Watch {
    lists: Vec<List>,
    denylists: Arc<Denylists>,
    metrics: Arc<Metrics>,
}

impl Denylists {
    /// Loads them all. `state` is the state folder, which has the last good copies.
    ///
    /// # Errors
    /// One has to be there and can neither be loaded nor found among the copies.
    pub async fn load(settings: &Settings, state: &Path, metrics: &Arc<Metrics>) -> Result<Watch, Box<DenylistError>> {
        let denylists = Arc::new(Self::default());
        denylists.slots.lock().resize_with(settings.sources.len(), Slot::default);
        let mut lists = Vec::new();
        for (place, source) in settings.sources.iter().enumerate() {
            let mut list = List::new(source.clone(), settings.refresh, Kept::of(source, state));
            match list.load(false).await {
                Looked::New(loaded) => denylists.set(place, loaded, Some(SystemTime::now())),
                Looked::Same | Looked::Waiting => {}
                Looked::Failed(error) => match list.last_good().await {
                    Some(last) => {
                        tracing::warn!(denylist = %source, rules = last.counts().enforced(), "the copy of an earlier run counts");
                        denylists.set(place, last, None);
                    }
                    None if settings.optional => {
                        tracing::warn!(denylist = %source, "blocks are served without this denylist until it is there");
                    }
                    None => return Err(DenylistError { from: source.clone(), error }.into()),
                },
            }
            lists.push(list);
        }
        denylists.count(metrics);
        Ok(Watch { lists, denylists, metrics: metrics.clone() })
    }

    /// Whether the block that is asked for by this CID is denied.
    pub fn is_denied(&self, cid: &Cid) -> bool {
        let policy = self.policy.read();
        !policy.is_empty() && policy.is_denied(cid)
    }

    /// Whether the block with this multihash is denied.
    pub fn is_multihash_denied(&self, multihash: &Multihash<64>) -> bool {
        let policy = self.policy.read();
        !policy.is_empty() && policy.is_multihash_denied(multihash)
    }

    /// A number that is another one after every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Has these lines as the one list from now on.
    #[cfg(test)]
    pub(crate) fn put(&self, lines: &str) {
        let mut rules = hoverboard_denylist::Rules::new();
        rules.read(lines.as_bytes()).expect("a list");
        self.slots.lock().resize_with(1, Slot::default);
        self.set(0, Arc::new(Denylist::open(rules.compile()).expect("as it was written")), None);
    }

    fn set(&self, place: usize, list: Arc<Denylist>, checked: Option<SystemTime>) {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get_mut(place) {
            *slot = Slot { list: Some(list), checked: checked.or(slot.checked) };
        }
        *self.policy.write() = Arc::new(Policy::new(slots.iter().filter_map(|slot| slot.list.clone()).collect()));
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn check(&self, place: usize) {
        if let Some(slot) = self.slots.lock().get_mut(place) {
            slot.checked = Some(SystemTime::now());
        }
    }

    /// Brings the metrics up to date.
    fn count(&self, metrics: &Metrics) {
        let slots = self.slots.lock();
        let rules: u32 = slots.iter().filter_map(|slot| slot.list.as_ref()).map(|list| list.counts().enforced()).sum();
        metrics.denylist.rules.set(rules.into());
        let seconds =
            |slot: &Slot| slot.checked.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |at| at.as_secs());
        let oldest = slots.iter().map(seconds).min().unwrap_or(0);
        metrics.denylist.checked.set(i64::try_from(oldest).unwrap_or(i64::MAX));
    }
}

impl Watch {
    /// The lists.
    pub fn denylists(&self) -> Arc<Denylists> {
        self.denylists.clone()
    }

    /// Looks at the lists for as long as it is polled: each by itself, so that a slow server holds up none of the others.
    pub async fn run(self) {
        let mut tasks = JoinSet::new();
        for (place, list) in self.lists.into_iter().enumerate() {
            tasks.spawn(watch(place, list, self.denylists.clone(), self.metrics.clone()));
        }
        tasks.join_all().await;
    }
}

async fn watch(place: usize, mut list: List, denylists: Arc<Denylists>, metrics: Arc<Metrics>) {
    loop {
        list.wait().await;
        match list.look().await {
            Looked::New(loaded) => denylists.set(place, loaded, Some(SystemTime::now())),
            Looked::Same => denylists.check(place),
            Looked::Waiting => {}
            Looked::Failed(_) => metrics.denylist.failures.inc(),
        }
        denylists.count(&metrics);
    }
}
