//! Who uses most, for the operator's eyes.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use crate::caller::{Address, Site};
use crate::time::{Timestamp, Usage};
use crate::work::Work;

use super::sites::Sites;

/// Who a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A peer at a site: an IPv4 address, or a network of 48 bits.
    Peer(PeerId, Site),
    /// All peers of a site that are not told apart.
    OtherPeers(Site),
    /// An address: of IPv4, or a network of 64 bits.
    Address(Address),
    /// A network of 48 bits.
    Site(Site),
}

/// What was done for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// For whom.
    pub subject: Subject,
    /// In this hour.
    pub hour: Work,
    /// In this day.
    pub day: Work,
}

pub(super) fn rows(sites: &Sites, now: Timestamp, most: usize) -> Vec<Row> {
    // By what it cost, by bytes, by requests; no two are equal, as each is about somebody else.
    let mut best = BTreeMap::new();
    let mut offer = |subject, usage: &Usage| {
        let (hour, day) = usage.used(now);
        if day.is_none() {
            return;
        }
        best.insert((day.cost, day.bytes, day.requests, subject), Row { subject, hour, day });
        if best.len() > most {
            best.pop_first();
        }
    };
    for (site, record) in &sites.records {
        for (peer, usage) in &record.peers {
            offer(Subject::Peer(*peer, *site), usage);
        }
        offer(Subject::OtherPeers(*site), &record.other_peers);
        for (network, usage) in &record.networks {
            offer(Subject::Address(site.address(Some(*network))), usage);
        }
        let all = if site.ip().is_ipv4() { Subject::Address(site.address(None)) } else { Subject::Site(*site) };
        offer(all, &record.all);
    }
    best.into_values().rev().collect()
}
