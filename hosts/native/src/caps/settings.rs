//! What the flags of `serve` say about caps, checked.

use hoverboard_caps::{Limits, Money, Override, Policy, Prices, Rules, Work};

use crate::cli::{CapArgs, CapPolicy};
use crate::store::Location;

/// The largest lease of a session. It bounds what a peer loses that was connected when the process was killed: what was out on
/// lease counts as spent.
const LEASE: Work = Work { requests: 4_096, blocks: 4_096, bytes: 64 << 20, cost: Money(1_000_000) };

/// How long a lease is good for, in seconds. To ask for another one costs a lock and a write to a file.
const LEASE_SECONDS: u64 = 60;

/// Who may have how much, what is done at a cap, and what things cost.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The limits
    pub rules: Rules,
    /// What is done with the wants of those who are at a cap
    pub policy: Policy,
    /// What requests to the store and bytes sent cost
    pub prices: Prices,
}

impl Settings {
    /// No caps; what is done is counted.
    pub fn unlimited() -> Self {
        let rules = Rules { lease: LEASE, lease_seconds: LEASE_SECONDS, ..Rules::unlimited() };
        Self { rules, policy: Policy::Silent, prices: Prices::FREE }
    }

    /// What the flags say. A folder costs nothing and S3 what R2 costs, unless prices are given.
    pub fn of(args: CapArgs, store: Option<&Location>) -> Self {
        let or_none = |limits: Option<Limits>| limits.unwrap_or_default();
        let usual = match store {
            Some(Location::S3 { .. }) => Prices::R2,
            Some(Location::Folder(_)) | None => Prices::FREE,
        };
        let policy = match args.policy {
            CapPolicy::Silent => Policy::Silent,
            CapPolicy::DontHave => Policy::DontHave,
            CapPolicy::Close => Policy::Close,
        };
        let overrides: Vec<Override> = args.overrides;
        let rules = Rules {
            peer: or_none(args.peer),
            address: or_none(args.address),
            total: or_none(args.total),
            overrides,
            ..Self::unlimited().rules
        };
        Self { rules, policy, prices: args.prices.unwrap_or(usual) }
    }
}
