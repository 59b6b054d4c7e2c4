//! Who work is done for: a peer, which has proved its id, and the address that it comes from.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

/// What stands for one customer of the network: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address(IpAddr);

/// What stands for one site: an IPv4 address, or an IPv6 network of 48 bits, which has 65,536 of 64 bits to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Site(IpAddr);

/// A peer at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// Who it is.
    pub peer: PeerId,
    /// Where it comes from.
    pub address: Address,
}

impl From<IpAddr> for Address {
    /// An IPv4 address in IPv6 clothes is an IPv4 address.
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(IpAddr::V4(ip)),
            IpAddr::V6(ip) => Self(IpAddr::V6(masked(ip, 64))),
        }
    }
}

impl Address {
    /// The site that it is in.
    pub fn site(self) -> Site {
        match self.0 {
            IpAddr::V4(_) => Site(self.0),
            IpAddr::V6(ip) => Site(IpAddr::V6(masked(ip, 48))),
        }
    }

    /// Which of its site's networks it is; `None` for an IPv4 address, which is all of its site.
    pub(crate) fn network(self) -> Option<u16> {
        match self.0 {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip.segments()[3]),
        }
    }

    /// The first address that is meant.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

impl Site {
    /// The address of one of its networks.
    pub(crate) fn address(self, network: Option<u16>) -> Address {
        match (self.0, network) {
            (IpAddr::V6(ip), Some(network)) => {
                let [a, b, c, ..] = ip.segments();
                Address(IpAddr::V6(Ipv6Addr::new(a, b, c, network, 0, 0, 0, 0)))
            }
            _ => Address(self.0),
        }
    }

    /// The first address of the site.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

fn masked(ip: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - bits)))
}

impl fmt::Display for Address {
    /// As a network: `192.0.2.1/32`, `2001:db8::/64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { Ipv4Addr::BITS } else { 64 })
    }
}

impl fmt::Display for Site {
    /// As a network: `192.0.2.1/32`, `2001:db8::/48`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { Ipv4Addr::BITS } else { 48 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn addresses_of_one_customer_are_one() {
        assert_eq!(address("2001:db8:1:2::3"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::3"), address("2001:db8:1:3::3"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_eq!(address("2001:db8:1:2::3").to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn a_site_has_many_networks_and_one_ipv4_address() {
        let (one, other) = (address("2001:db8:1:2::3"), address("2001:db8:1:7::"));
        assert_eq!(one.site(), other.site());
        assert_eq!(one.site().to_string(), "2001:db8:1::/48");
        assert_eq!(one.site().address(other.network()), other);
        let v4 = address("192.0.2.1");
        assert_eq!((v4.network(), v4.site().address(None)), (None, v4));
        assert_eq!(v4.site().to_string(), "192.0.2.1/32");
    }
}
