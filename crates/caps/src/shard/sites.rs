//! Who is counted by itself, in bounded memory: sites, and their networks and peers.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Site};
use crate::time::{Timestamp, Usage};

use super::Scope;

/// Sites that are told apart.
pub const MAX_SITES: usize = 65_536;
/// Peers of a site that are told apart.
pub const MAX_PEERS: usize = 64;
/// Networks of a site that are told apart.
pub const MAX_NETWORKS: usize = 64;
/// Networks and peers of all sites that are told apart.
pub const MAX_SUBRECORDS: usize = 131_072;

/// Of the sites, so many of a hundred make room at a time when there are too many: going through them costs as much as
/// a thousand reports.
const ROOM: usize = MAX_SITES / 100;

/// Where a caller is counted, below its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slots {
    network: Slot,
    peer: Slot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Slot {
    /// In a record of its own.
    Own,
    /// With all others for whom there was no room.
    Shared,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) all: Usage,
    pub(super) networks: BTreeMap<u16, Usage>,
    pub(super) peers: BTreeMap<PeerId, Usage>,
    pub(super) other_networks: Usage,
    pub(super) other_peers: Usage,
    /// When it was asked for last.
    seen: Timestamp,
}

impl Record {
    fn subrecords(&self) -> usize {
        self.networks.len() + self.peers.len()
    }

    fn prune(&mut self, now: Timestamp) {
        self.networks.retain(|_, usage| !usage.is_over(now));
        self.peers.retain(|_, usage| !usage.is_over(now));
    }

    fn is_over(&self, now: Timestamp) -> bool {
        let usages = [&self.all, &self.other_networks, &self.other_peers];
        self.subrecords() == 0 && usages.into_iter().all(|usage| usage.is_over(now))
    }

    /// Whether nobody at the site, and so none of its peers and networks, has a lease.
    fn holds_nothing(&self) -> bool {
        // Of peers that are exempt only the peer's record knows.
        let usages = [&self.all, &self.other_networks, &self.other_peers];
        usages.into_iter().chain(self.peers.values()).all(Usage::holds_nothing)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sites {
    pub(super) records: BTreeMap<Site, Record>,
    subrecords: usize,
}

impl Sites {
    /// Finds or makes the records of a caller, in the windows of this moment.
    pub(super) fn enter(&mut self, caller: &Caller, now: Timestamp) -> Slots {
        let site = caller.address.site();
        if self.records.len() >= MAX_SITES && !self.records.contains_key(&site) {
            self.make_room(now);
        }
        let record = self.records.entry(site).or_default();
        let before = record.subrecords();
        let elsewhere = self.subrecords - before;
        let network = caller.address.network();
        let is_known = network.is_none_or(|network| record.networks.contains_key(&network))
            && record.peers.contains_key(&caller.peer);
        if !is_known && (is_full(record) || elsewhere + before + 2 > MAX_SUBRECORDS) {
            record.prune(now);
        }
        let has_room = |record: &Record| elsewhere + record.subrecords() < MAX_SUBRECORDS;
        let slots = Slots {
            network: match network {
                Some(network) => slot(
                    record.networks.contains_key(&network),
                    record.networks.len() < MAX_NETWORKS && has_room(record),
                ),
                // Never looked at: an IPv4 address is its site.
                None => Slot::Shared,
            },
            peer: slot(record.peers.contains_key(&caller.peer), record.peers.len() < MAX_PEERS && has_room(record)),
        };
        if let (Some(network), Slot::Own) = (network, slots.network) {
            record.networks.entry(network).or_default();
        }
        // The network may have taken the last room.
        let slots = match slots.peer {
            Slot::Own if !record.peers.contains_key(&caller.peer) && !has_room(record) => {
                Slots { peer: Slot::Shared, ..slots }
            }
            Slot::Own => {
                record.peers.entry(caller.peer).or_default();
                slots
            }
            Slot::Shared => slots,
        };
        self.subrecords = elsewhere + record.subrecords();
        record.seen = now;
        self.each(caller, slots, false, |_, usage| usage.enter(now));
        slots
    }

    /// Calls `f` for each record that a caller is counted in. Whoever is exempt is counted as a peer, and not at the cost of
    /// others of its address. Nothing is called where a record is gone.
    pub(super) fn each(&mut self, caller: &Caller, slots: Slots, exempt: bool, mut f: impl FnMut(Scope, &mut Usage)) {
        let Some(record) = self.records.get_mut(&caller.address.site()) else { return };
        let peer = match slots.peer {
            Slot::Own => record.peers.get_mut(&caller.peer),
            Slot::Shared => Some(&mut record.other_peers),
        };
        if let Some(peer) = peer {
            f(Scope::Peer, peer);
        }
        if exempt {
            return;
        }
        let Some(network) = caller.address.network() else {
            return f(Scope::Address, &mut record.all);
        };
        let network = match slots.network {
            Slot::Own => record.networks.get_mut(&network),
            Slot::Shared => Some(&mut record.other_networks),
        };
        if let Some(network) = network {
            f(Scope::Address, network);
        }
        f(Scope::Site, &mut record.all);
    }

    /// How many sites there are, and how many networks and peers.
    pub(super) fn records(&self) -> (usize, usize) {
        (self.records.len(), self.subrecords)
    }

    /// Forgets what is over.
    pub(super) fn prune(&mut self, now: Timestamp) {
        self.records.retain(|_, record| {
            record.prune(now);
            !record.is_over(now)
        });
        self.subrecords = self.records.values().map(Record::subrecords).sum();
    }

    /// Forgets what is over, and if that is little, the sites that were seen least recently. Whoever has a lease
    /// stays, and there are fewer leases than sites.
    fn make_room(&mut self, now: Timestamp) {
        self.prune(now);
        let surplus = (self.records.len() + ROOM).saturating_sub(MAX_SITES);
        let idle = self.records.iter().filter(|(_, record)| record.holds_nothing());
        let mut idle: Vec<_> = idle.map(|(site, record)| (record.seen, *site)).collect();
        idle.sort_unstable();
        for (_, site) in idle.into_iter().take(surplus) {
            self.records.remove(&site);
        }
        self.subrecords = self.records.values().map(Record::subrecords).sum();
    }

    /// Whether it keeps to its bounds, for what was stored elsewhere.
    pub(super) fn is_sound(&self) -> bool {
        let subrecords: usize = self.records.values().map(Record::subrecords).sum();
        self.records.len() <= MAX_SITES
            && subrecords == self.subrecords
            && subrecords <= MAX_SUBRECORDS
            && self
                .records
                .values()
                .all(|record| record.networks.len() <= MAX_NETWORKS && record.peers.len() <= MAX_PEERS)
    }
}

fn is_full(record: &Record) -> bool {
    record.networks.len() >= MAX_NETWORKS || record.peers.len() >= MAX_PEERS
}

fn slot(is_known: bool, has_room: bool) -> Slot {
    if is_known || has_room { Slot::Own } else { Slot::Shared }
}
