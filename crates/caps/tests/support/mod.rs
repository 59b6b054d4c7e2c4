//! Callers and limits for the tests.

#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part")]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hoverboard_caps::{Caller, Limits, Rules, Work};
use libp2p_identity::PeerId;
use multihash::Multihash;

/// Seconds of a day.
pub const DAY: u64 = 24 * 3_600;

pub fn peer(number: u32) -> PeerId {
    PeerId::from_multihash(Multihash::wrap(0, &number.to_be_bytes()).expect("short")).expect("an id")
}

/// A peer at an IPv4 address.
pub fn caller(number: u32, address: u32) -> Caller {
    Caller { peer: peer(number), address: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + address)).into() }
}

/// A peer in a network of a site of IPv6.
pub fn caller6(number: u32, site: u16, network: u16) -> Caller {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, 1);
    Caller { peer: peer(number), address: IpAddr::V6(ip).into() }
}

pub fn limits(text: &str) -> Limits {
    text.parse().expect("limits")
}

pub fn bytes(bytes: u64) -> Work {
    Work { bytes, ..Work::NONE }
}

pub fn rules(peer: &str, address: &str, total: &str) -> Rules {
    Rules {
        peer: limits(peer),
        address: limits(address),
        total: limits(total),
        lease_seconds: 60,
        ..Rules::unlimited()
    }
}
