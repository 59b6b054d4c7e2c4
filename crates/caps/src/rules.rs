//! Whose limits are which, and what is done at a cap.

use core::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use libp2p_identity::PeerId;

use crate::caller::Caller;
use crate::limits::{Limits, LimitsError};
use crate::work::Work;

/// So many times an address's limits are a site's: an IPv6 network of 48 bits is one customer with many networks, or a
/// provider with many customers.
pub const SITE_FACTOR: u64 = 16;

/// Who may have how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What a peer may have.
    pub peer: Limits,
    /// What an address may have: one of IPv4, or a network of 64 bits of IPv6. A network of 48 bits may have
    /// [`SITE_FACTOR`] times that.
    pub address: Limits,
    /// What all together may have. Nobody is exempt from it.
    pub total: Limits,
    /// Whose limits are others. Of several for an address that of the smallest range counts; of several for a peer the
    /// first.
    pub overrides: Vec<Override>,
    /// The largest lease.
    pub lease: Work,
    /// How long a lease is good for, in seconds.
    pub lease_seconds: u64,
}

/// Other limits for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// For whom.
    pub who: Who,
    /// Which. [`Limits::UNLIMITED`] frees from the caps of the peer, its address and its site alike; any others take
    /// the place of those of the peer, or of those of each address in the range.
    pub limits: Limits,
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A peer, wherever it is.
    Peer(PeerId),
    /// All addresses of a range.
    Range(IpNet),
}

/// What is done with the wants of somebody who is at a cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing is said. Peers ask again after a while, and others meanwhile.
    #[default]
    Silent,
    /// DONT_HAVE, where it was asked for: a peer turns to others at once, and may take us for one that has nothing.
    DontHave,
    /// The connection is closed.
    Close,
}

/// The limits that a caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) peer: Limits,
    pub(crate) address: Limits,
    pub(crate) site: Limits,
    /// Whether it is bound by the total alone.
    pub(crate) exempt: bool,
}

impl Rules {
    /// No limits, and leases of a size that suits everybody: 8,192 requests and blocks, 256 MiB, a hundredth of a
    /// dollar; for a quarter of an hour.
    pub fn unlimited() -> Self {
        Self {
            peer: Limits::UNLIMITED,
            address: Limits::UNLIMITED,
            total: Limits::UNLIMITED,
            overrides: Vec::new(),
            lease: Work { requests: 8_192, blocks: 8_192, bytes: 256 << 20, cost: crate::work::Money(10_000_000) },
            lease_seconds: 900,
        }
    }

    /// Whether anybody can come to a cap.
    pub fn are_limits(&self) -> bool {
        let of_all = [&self.peer, &self.address, &self.total].into_iter();
        of_all.chain(self.overrides.iter().map(|other| &other.limits)).any(|limits| *limits != Limits::UNLIMITED)
    }

    pub(crate) fn terms(&self, caller: &Caller) -> Terms {
        let peer = self.overrides.iter().find(|other| matches!(other.who, Who::Peer(peer) if peer == caller.peer));
        let ip = caller.address.ip();
        let ranges = self.overrides.iter().filter_map(|other| match other.who {
            Who::Range(range) if range.contains(&ip) => Some((range.prefix_len(), other)),
            _ => None,
        });
        let range = ranges.max_by_key(|(length, _)| *length).map(|(_, other)| other);
        let address = range.map_or(self.address, |other| other.limits);
        Terms {
            peer: peer.map_or(self.peer, |other| other.limits),
            address,
            site: address.times(SITE_FACTOR),
            exempt: [peer, range].into_iter().flatten().any(|other| other.limits == Limits::UNLIMITED),
        }
    }
}

/// A text that is no override.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// It does not say who is meant.
    #[error("write PEER=LIMITS or RANGE=LIMITS, such as 12D3…=unlimited or 192.0.2.0/24=100GiB/day")]
    NoLimits,
    /// Who is meant cannot be read.
    #[error("{0:?} is neither a peer id nor an address or range such as 192.0.2.0/24 or 2001:db8::/32")]
    Who(String),
    /// A range that ends within what is counted together.
    #[error("{0}: IPv6 addresses are counted by networks of 64 bits: name one, or a larger range")]
    TooNarrow(IpNet),
    /// The limits cannot be read.
    #[error(transparent)]
    Limits(#[from] LimitsError),
}

impl FromStr for Override {
    type Err = OverrideError;

    /// Reads `WHO=LIMITS`: a peer id as `hoverboard id` prints it, an address, or a range in CIDR notation.
    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let (who, limits) = text.split_once('=').ok_or(OverrideError::NoLimits)?;
        let who = who.trim();
        let range = who.parse::<IpNet>().or_else(|_| who.parse::<IpAddr>().map(whole));
        let who = match range {
            Ok(IpNet::V6(range)) if range.prefix_len() > 64 => return Err(OverrideError::TooNarrow(range.into())),
            Ok(range) => Who::Range(range.trunc()),
            Err(_) => Who::Peer(who.parse().map_err(|_| OverrideError::Who(who.to_owned()))?),
        };
        Ok(Self { who, limits: limits.parse()? })
    }
}

/// What is counted together with an address.
fn whole(ip: IpAddr) -> IpNet {
    let bits = if ip.is_ipv4() { 32 } else { 64 };
    // Both are lengths that there are; the other arm is the same network by another way.
    IpNet::new(ip, bits).unwrap_or_else(|_| IpNet::from(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    fn caller(ip: &str) -> Caller {
        let ip: IpAddr = ip.parse().expect("an address");
        Caller { peer: PEER.parse().expect("a peer id"), address: ip.into() }
    }

    fn rules(overrides: &[&str]) -> Rules {
        let overrides = overrides.iter().map(|text| text.parse().expect("an override")).collect();
        Rules { address: "100B/day".parse().expect("limits"), overrides, ..Rules::unlimited() }
    }

    #[test]
    fn a_site_may_have_more_than_an_address() {
        let terms = rules(&[]).terms(&caller("2001:db8::1"));
        assert_eq!((terms.address.day.bytes, terms.site.day.bytes, terms.exempt), (100, 1_600, false));
        assert_eq!(terms.peer, Limits::UNLIMITED);
    }

    #[test]
    fn the_smallest_range_counts_and_a_peer_by_itself() {
        let rules = rules(&["192.0.0.0/8=5B/day", "192.0.2.0/24=7B/day", "192.0.2.9=unlimited"]);
        let bytes = |ip| rules.terms(&caller(ip)).address.day.bytes;
        assert_eq!((bytes("192.0.2.1"), bytes("192.1.0.0"), bytes("10.0.0.1")), (7, 5, 100));
        assert!(rules.terms(&caller("192.0.2.9")).exempt && !rules.terms(&caller("192.0.2.8")).exempt);
    }

    #[test]
    fn a_named_peer_is_free_wherever_it_is_and_others_are_not() {
        let rules = rules(&[&format!("{PEER}=unlimited")]);
        assert!(rules.terms(&caller("10.0.0.1")).exempt);
        let other = Caller { peer: PeerId::from_bytes(&[0, 1, 7]).expect("an id"), ..caller("10.0.0.1") };
        assert!(!rules.terms(&other).exempt);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |text: &str| text.parse::<Override>().expect_err(text).to_string();
        assert!(error("192.0.2.1").contains("RANGE=LIMITS"));
        assert!(error("nobody=unlimited").contains("nobody"));
        assert!(error("2001:db8::/96=unlimited").contains("2001:db8::/96"));
        assert!(error("192.0.2.1=much").contains("much"));
    }
}
