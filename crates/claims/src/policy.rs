//! Which URLs of a claim may be asked. They are an attacker's: whoever makes a claim may write any.
//!
//! A URL is asked only if it is `https` and of a host that the operator allowed, and then only at addresses that are
//! [public](is_public), which the host of this crate has to see to where it resolves the name. Redirects are not
//! followed. An operator may vouch for an origin as a whole, such as `http://10.0.0.5:9000`, whatever its address.
//!
//! URLs of our own CARPARK are not asked at all: the CAR is read from the bucket.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use cid::Cid;
use multihash::Multihash;
use url::{Host, Url};

use crate::Did;

/// The multicodec of a CAR as a block.
const CAR: u64 = 0x0202;
/// The multihash code of sha2-256.
const SHA2_256: u64 = 0x12;

/// What the operator allows. Nothing, by default.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Hosts that may be asked.
    pub allowed: Vec<Allowed>,
    /// Under which URLs our own CARPARK is known.
    pub carparks: Vec<Carpark>,
}

/// A host that may be asked, or hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// `example.com`: this name alone, by https, at public addresses.
    Host(String),
    /// `*.example.com`: every name below it, likewise.
    Below(String),
    /// `http://10.0.0.5:9000`: this origin, wherever it is. The operator vouches for it.
    Origin(url::Origin),
}

/// A text that allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: write a host, *.HOST for all below it, or an origin such as http://10.0.0.5:9000")]
pub struct AllowedError(String);

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let error = || AllowedError(text.to_owned());
        if text.contains("://") {
            let url = Url::parse(text).map_err(|_| error())?;
            let bare = matches!(url.scheme(), "http" | "https") && url.path() == "/" && is_plain(&url);
            return if bare { Ok(Self::Origin(url.origin())) } else { Err(error()) };
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        // As the parser of URLs has it: lower case, punycode, and no address in disguise.
        match Host::parse(name) {
            Ok(Host::Domain(name)) if name.is_empty() || name.contains('*') => Err(error()),
            Ok(Host::Domain(name)) if below => Ok(Self::Below(name)),
            Ok(Host::Domain(name)) => Ok(Self::Host(name)),
            _ => Err(error()),
        }
    }
}

/// A URL under which our own CARPARK is known, such as `https://carpark-prod-0.r2.w3s.link/`: a key of it comes behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carpark(Url);

/// A URL that is no place for CARs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: write the URL that CARs are under, such as https://carpark.example.com/")]
pub struct CarparkError(String);

impl FromStr for Carpark {
    type Err = CarparkError;

    fn from_str(text: &str) -> Result<Self, CarparkError> {
        let error = || CarparkError(text.to_owned());
        let mut url = Url::parse(text).map_err(|_| error())?;
        if !matches!(url.scheme(), "http" | "https") || !is_plain(&url) {
            return Err(error());
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }
}

impl Carpark {
    /// The URL of an object by its key, which has letters, digits, dots and slashes.
    pub fn url_of(&self, key: &str) -> String {
        format!("{}{key}", self.0)
    }

    /// Who holds that name: `did:web:HOST`, or with a port, `did:web:HOST%3APORT`.
    pub fn did(&self) -> Option<Did> {
        let host = self.0.host_str()?;
        let port = self.0.port().map_or(String::new(), |port| format!("%3A{port}"));
        format!("did:web:{host}{port}").parse().ok()
    }

    /// The CAR that a URL names, if what comes behind ours is a key of CARPARK and nothing else.
    fn car_of(&self, url: &Url) -> Option<[u8; 32]> {
        if self.0.origin() != url.origin() || !is_plain(url) {
            return None;
        }
        let (folder, file) = url.path().strip_prefix(self.0.path())?.split_once('/')?;
        if file.strip_suffix(".car") == Some(folder) {
            let cid = Cid::try_from(folder).ok().filter(|cid| cid.codec() == CAR)?;
            return digest(cid.hash());
        }
        if file.strip_suffix(".blob") == Some(folder) {
            let (_, bytes) = multibase::decode(folder).ok()?;
            return digest(&Multihash::from_bytes(&bytes).ok()?);
        }
        None
    }
}

/// Where bytes may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// The CAR with this sha2-256, in our own CARPARK.
    Car([u8; 32]),
    /// A URL.
    Web {
        /// The URL.
        url: Url,
        /// Which addresses may be connected to.
        addresses: Addresses,
    },
}

/// Which addresses of a host may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Those that are [public](is_public).
    Public,
    /// Any: the operator named the origin.
    Any,
}

/// Why a URL is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("no URL")]
    NoUrl,
    /// It has a user name or a password, which nobody asked for.
    #[error("a URL with credentials")]
    Credentials,
    /// It is neither https nor an origin that is vouched for.
    #[error("not https")]
    NotHttps,
    /// It is of another host than those allowed.
    #[error("a host that is not allowed")]
    Host,
    /// It is of an allowed host, at a port that is not https's.
    #[error("a port that is not 443")]
    Port,
}

impl Policy {
    /// Where a URL leads, if it may be asked.
    ///
    /// # Errors
    ///
    /// It may not: see [`Refusal`].
    pub fn admit(&self, url: &str) -> Result<Site, Refusal> {
        let url = Url::parse(url).map_err(|_| Refusal::NoUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        if let Some(car) = self.carparks.iter().find_map(|carpark| carpark.car_of(&url)) {
            return Ok(Site::Car(car));
        }
        let origin = url.origin();
        if self.allowed.iter().any(|allowed| matches!(allowed, Allowed::Origin(vouched) if *vouched == origin)) {
            return Ok(Site::Web { url, addresses: Addresses::Any });
        }
        if url.scheme() != "https" {
            return Err(Refusal::NotHttps);
        }
        // An address in the place of a name was never allowed: only an origin can name one.
        let Some(Host::Domain(host)) = url.host() else { return Err(Refusal::Host) };
        if !self.allowed.iter().any(|allowed| allowed.covers(host)) {
            return Err(Refusal::Host);
        }
        match url.port() {
            None => Ok(Site::Web { url, addresses: Addresses::Public }),
            Some(_) => Err(Refusal::Port),
        }
    }
}

impl Allowed {
    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Host(name) => host == name,
            Self::Below(name) => host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.')),
            Self::Origin(_) => false,
        }
    }
}

fn digest(multihash: &Multihash<64>) -> Option<[u8; 32]> {
    match multihash.code() {
        SHA2_256 => multihash.digest().try_into().ok(),
        _ => None,
    }
}

/// Neither query nor fragment nor credentials.
fn is_plain(url: &Url) -> bool {
    url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
}

/// Whether an address is one of the public Internet: by IANA's registries of special-purpose addresses, those that are
/// globally reachable and lead to nowhere but themselves.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // This network, private, shared by carriers, loopback, link-local, private.
        [0 | 10 | 127, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] => true,
        // Protocol assignments, documentation, relays of 6to4.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => true,
        // Benchmarks, multicast, reserved, broadcast.
        [198, 18 | 19, ..] | [224..=255, ..] => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Addresses that carry an IPv4 address lead there.
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocol assignments (Teredo and benchmarks among them), documentation, 6to4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All unicast that is assigned to be global.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}
