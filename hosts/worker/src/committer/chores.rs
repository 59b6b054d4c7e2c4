//! What there is to do beside changes: merges, the clearing away of what nobody needs, and what CARs that are gone left in
//! DUDEWHERE and SATNAV. All of it in steps; how far it is, is stored.

use std::time::Duration;

use hoverboard_store::CarCid;
use hoverboard_store::index::{Index, IndexError, Merging, Settled, Stepped};
use serde::{Deserialize, Serialize};
use worker::{Result, State};

use crate::host::now;

/// The key under which the object keeps them.
const CHORES: &str = "chores";

/// CARs that are gone and remembered at a time. What more of them leave is harmless: a reader who is led to a CAR that is not
/// there looks on, and `hoverboard remove` clears it away.
const MAX_GONE: usize = 2000;

/// CARs of one sweep: each is looked for in every step.
const MAX_SWEPT: usize = 200;

/// Entries of DUDEWHERE that one step looks at.
const ENTRIES: usize = 50_000;

/// How often objects are looked for that nobody needs any more.
const TIDIED: Duration = Duration::from_secs(24 * 3600);

/// The most of them that one step removes.
const MAX_REMOVED: usize = 2000;

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq, Clone, Serialize, Deserialize)]
pub(super) struct Chores {
    /// The index has changed since it was looked for merges.
    changed: bool,
    merging: Option<Merging>,
    /// CARs that are gone.
    gone: Vec<String>,
    sweep: Option<Sweep>,
    /// When it was last tidied, in seconds since 1970.
    tidied: u64,
    #[serde(skip)]
    stored: Option<String>,
}

/// CARs whose entries are being removed, and how far that is.
#[derive(Debug, PartialEq, Eq, Clone, Serialize, Deserialize)]
struct Sweep {
    cars: Vec<String>,
    after: Option<String>,
}

impl Chores {
    pub(super) async fn load(state: &State) -> Result<Self> {
        let stored: Option<String> = state.storage().get(CHORES).await?;
        // One that an earlier version wrote otherwise is begun anew.
        let chores = stored.as_deref().and_then(|json| serde_json::from_str::<Self>(json).ok());
        Ok(Self { stored, ..chores.unwrap_or_default() })
    }

    /// Writes them down if anything is different.
    pub(super) async fn store(&self, state: &State) -> Result<()> {
        let json = serde_json::to_string(self)?;
        match self.stored.as_ref() == Some(&json) {
            true => Ok(()),
            false => state.storage().put(CHORES, json).await,
        }
    }

    /// There is no room for a change before something is merged.
    pub(super) fn merge_first(&mut self) {
        self.changed = true;
    }

    /// Takes note of what a change did.
    pub(super) fn note(&mut self, cars: &[CarCid], settled: &[Settled]) {
        for (car, settled) in cars.iter().zip(settled) {
            self.changed |= matches!(settled, Settled::Added(_) | Settled::Gone);
            let name = car.to_string();
            if *settled == Settled::Gone && self.gone.len() < MAX_GONE && !self.gone.contains(&name) {
                self.gone.push(name);
            }
        }
    }

    /// Does one step. `false`: there is nothing to do.
    pub(super) async fn step(&mut self, index: &Index) -> std::result::Result<bool, IndexError> {
        if self.merging.is_some() || self.changed {
            return self.merge(index).await.map(|()| true);
        }
        if self.sweep.is_some() || !self.gone.is_empty() {
            return self.sweep(index).await.map(|()| true);
        }
        let day = now().saturating_sub(Duration::from_secs(self.tidied));
        if day >= TIDIED {
            return self.tidy(index).await;
        }
        Ok(false)
    }

    async fn merge(&mut self, index: &Index) -> std::result::Result<(), IndexError> {
        match index.merge_step(self.merging).await {
            Ok(Stepped::Idle) => (self.changed, self.merging) = (false, None),
            Ok(Stepped::On(merging)) => self.merging = Some(merging),
            // There may be another.
            Ok(Stepped::Over) => (self.changed, self.merging) = (true, None),
            // `hoverboard index check` mends it. Until then it is tried again after each change.
            Err(error) if error.is_damage() => {
                (self.changed, self.merging) = (false, None);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn sweep(&mut self, index: &Index) -> std::result::Result<(), IndexError> {
        let many = self.gone.len().min(MAX_SWEPT);
        let sweep = self.sweep.take().unwrap_or_else(|| Sweep { cars: self.gone.drain(..many).collect(), after: None });
        let cars: Vec<CarCid> = sweep.cars.iter().filter_map(|car| car.parse().ok()).collect();
        let swept = index.sweep(&cars, sweep.after.as_deref(), ENTRIES).await;
        match swept {
            Ok(swept) if swept.after.is_none() => Ok(()),
            Ok(swept) => {
                self.sweep = Some(Sweep { after: swept.after, ..sweep });
                Ok(())
            }
            Err(error) => {
                self.sweep = Some(sweep);
                Err(error)
            }
        }
    }

    /// `true`: there is more.
    async fn tidy(&mut self, index: &Index) -> std::result::Result<bool, IndexError> {
        let mut orphans = index.orphans().await?;
        let more = orphans.removable.len() > MAX_REMOVED;
        orphans.removable.truncate(MAX_REMOVED);
        index.collect(&orphans).await?;
        if !more {
            self.tidied = now().as_secs();
        }
        Ok(more)
    }
}
