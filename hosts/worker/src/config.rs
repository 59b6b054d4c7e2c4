//! What a deployment may set: variables, the one secret, and which bindings there are. All of it is read and checked here,
//! when an instance gets its first event; nothing else looks at a variable.
//!
//! | variable | is | default |
//! |---|---|---|
//! | `HOVERBOARD_IDENTITY` | secret; what `hoverboard id --worker` prints | required |
//! | `HOVERBOARD_MODE` | `object` (Durable Objects) or `plain` | `object` |
//! | `HOVERBOARD_OBJECTS` | over how many Durable Objects peers are spread, 1 to 1,000 | 4 |
//! | `HOVERBOARD_MAX_CONNECTIONS` | peers at a time in one object, 1 to 30,000 | 2,000 |
//! | `HOVERBOARD_REQUESTS` | requests an event may make, 20 to 10,000,000 | 10,000 |
//! | `HOVERBOARD_CPU_MS` | CPU time an event may take, in ms, 5 to 300,000 | 30,000 |
//! | `HOVERBOARD_ANNOUNCE` | multiaddrs to tell peers, comma-separated | none |
//! | `HOVERBOARD_PREFIX` | where in `BUCKET` the layout begins | its root |
//! | `HOVERBOARD_INDEX_TOKEN` | secret; the token for `/blocks` and `/claims`, which say where blocks are | none: they are off |
//! | `HOVERBOARD_INDEX_PUBLIC` | `1`: they need no token | |
//! | `HOVERBOARD_CARPARK_URL` | the URL under which others reach CARPARK, for `/claims` to name | none: it answers 501 |
//! | `HOVERBOARD_DENYLIST` | key of the denylist, in the binding `DENYLIST` or else in `BUCKET` | none |
//! | `HOVERBOARD_DENYLIST_REFRESH` | how often it is looked at, in s, 10 to 86,400 | 300 |
//! | `HOVERBOARD_DENYLIST_OPTIONAL` | `1`: serve while it cannot be read | |
//! | `HOVERBOARD_DEBUG` | `1` lets the variables below count | |
//! | `HOVERBOARD_DEBUG_FORGET` | `1`: every session is frozen and thawed after every event | |
//! | `HOVERBOARD_DEBUG_FAULT` | see `js/fault.js` | |
//!
//! The buckets are one binding `BUCKET`, or three: `CARPARK`, `DUDEWHERE`, `SATNAV`, and `INDEX` if there is an index.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use hoverboard_claims::Carpark;
use hoverboard_dag::{Sha256 as _, Software};
use hoverboard_store::ledger::{Budget, Costs};
use hoverboard_store::service::{Access, TokenError};
use hoverboard_wire::identity::Identity;
use multiaddr::Multiaddr;
use object_store::path::Path;
use worker::Env;
use worker::js_sys::Reflect;

use crate::deny;

/// Requests an event may make by the platform's default, on a paid plan as of 2026-11.
const REQUESTS: u64 = 10_000;

/// CPU time an event may take by the platform's default, in ms, as of 2026-11.
const CPU_MS: u64 = 30_000;

/// Of the CPU time that an event may take, what is planned with: the estimate is none of the platform's.
const CPU_PLANNED: f64 = 0.8;

/// Connections that may wait for the head of their answer: a limit of the platform, not of a plan.
const WAITING: usize = 6;

/// Bytes that are read ahead for the peers of one object.
const READ_AHEAD: usize = 8 * 1024 * 1024;

/// What a deployment has set, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) identity: Identity,
    pub(crate) mode: Mode,
    pub(crate) buckets: Buckets,
    pub(crate) announce: Vec<Multiaddr>,
    /// Who is told where blocks are, if anybody.
    pub(crate) told: Option<Told>,
    /// Peers at a time in one object.
    pub(crate) max_connections: usize,
    /// The blocks that are not served.
    pub(crate) denylist: Option<deny::Settings>,
    /// Freeze and thaw every session after every event.
    pub(crate) debug_forget: bool,
    objects: u16,
    requests: u64,
    cpu: Duration,
}

/// Where sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In Durable Objects.
    Object,
    /// In the event of their connection.
    Plain,
}

/// Where the CARs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Buckets {
    /// In the binding `BUCKET`, under a prefix.
    One { prefix: Path },
    /// In a binding for each of the three places.
    Three,
}

/// A variable that is wrong. What it was set to is not said: it may be a secret in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub(crate) struct ConfigError {
    variable: &'static str,
    problem: String,
}

impl Config {
    /// Reads and checks the environment.
    ///
    /// # Errors
    ///
    /// The first variable that is wrong.
    pub(crate) fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let value = |name: &str| Reflect::get(env, &name.into()).ok().filter(|value| !value.is_undefined());
        Self::parse(&|name| value(name).and_then(|value| value.as_string()), &|name| value(name).is_some())
    }

    /// Checks variables, given the text of each and whether there is a binding of a name.
    fn parse(text: &dyn Fn(&str) -> Option<String>, bound: &dyn Fn(&str) -> bool) -> Result<Self, ConfigError> {
        let read = Reader { text };
        let identity = read.required("HOVERBOARD_IDENTITY", "set it with `wrangler secret put HOVERBOARD_IDENTITY`")?;
        let identity = Identity::from_secret(&identity).map_err(|error| wrong("HOVERBOARD_IDENTITY", error))?;
        let mode = match read.optional("HOVERBOARD_MODE").as_deref() {
            None | Some("object") => Mode::Object,
            Some("plain") => Mode::Plain,
            Some(_) => return Err(wrong("HOVERBOARD_MODE", "either `object` or `plain`")),
        };
        if mode == Mode::Object && !bound("PEERS") {
            return Err(wrong(
                "PEERS",
                "there is no such Durable Object binding; without one, HOVERBOARD_MODE is `plain`",
            ));
        }
        let debug = read.optional("HOVERBOARD_DEBUG").as_deref() == Some("1");
        Ok(Self {
            identity,
            mode,
            buckets: Buckets::parse(&read, bound)?,
            announce: read.list("HOVERBOARD_ANNOUNCE", "multiaddrs, such as /dns/example.net/tcp/443/tls/ws")?,
            told: Told::parse(&read)?,
            max_connections: read.number("HOVERBOARD_MAX_CONNECTIONS", 1, 30_000, 2_000)? as usize,
            denylist: denylist(&read, bound)?,
            debug_forget: debug && read.optional("HOVERBOARD_DEBUG_FORGET").as_deref() == Some("1"),
            objects: read.number("HOVERBOARD_OBJECTS", 1, 1_000, 4)? as u16,
            requests: read.number("HOVERBOARD_REQUESTS", 20, 10_000_000, REQUESTS)?,
            cpu: Duration::from_millis(read.number("HOVERBOARD_CPU_MS", 5, 300_000, CPU_MS)?),
        })
    }

    /// What one event may spend.
    pub(crate) fn budget(&self) -> Budget {
        Budget {
            requests: self.requests,
            cpu: self.cpu.mul_f64(CPU_PLANNED),
            bytes: READ_AHEAD,
            waiting: WAITING,
            costs: Costs::default(),
        }
    }

    /// The name of the Durable Object for a client's address: one object for all that one network may use.
    pub(crate) fn object_of(&self, address: &str) -> String {
        let network = match address.parse() {
            Ok(IpAddr::V4(address)) => address.octets().to_vec(),
            // What one subscriber has at the least.
            Ok(IpAddr::V6(address)) => address.octets()[..8].to_vec(),
            Err(_) => Vec::new(),
        };
        let [a, b, ..] = Software.sha256(&network);
        format!("peers-{}", u16::from_be_bytes([a, b]) % self.objects)
    }
}

/// Who is told where blocks are, and under which name.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) access: Access,
    pub(crate) carpark: Option<Carpark>,
}

impl Told {
    fn parse(read: &Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let carpark = read.optional("HOVERBOARD_CARPARK_URL").map(|url| url.parse());
        let carpark = carpark.transpose().map_err(|_| {
            wrong("HOVERBOARD_CARPARK_URL", "the URL that CARs are under, such as https://carpark.example.com/")
        })?;
        let public = read.optional("HOVERBOARD_INDEX_PUBLIC").as_deref() == Some("1");
        let access = match read.optional("HOVERBOARD_INDEX_TOKEN") {
            Some(_) if public => {
                return Err(wrong(
                    "HOVERBOARD_INDEX_PUBLIC",
                    "there is a HOVERBOARD_INDEX_TOKEN too: it is one or the other",
                ));
            }
            Some(token) => {
                Access::Token(token.parse().map_err(|error: TokenError| wrong("HOVERBOARD_INDEX_TOKEN", error))?)
            }
            None if public => Access::Public,
            None => return Ok(None),
        };
        Ok(Some(Self { access, carpark }))
    }
}

impl Buckets {
    fn parse(read: &Reader<'_>, bound: &dyn Fn(&str) -> bool) -> Result<Self, ConfigError> {
        let prefix = read.optional("HOVERBOARD_PREFIX");
        if bound("BUCKET") {
            let prefix = Path::parse(prefix.unwrap_or_default());
            let prefix = prefix.map_err(|_| wrong("HOVERBOARD_PREFIX", "segments of a key, with / between them"))?;
            return Ok(Self::One { prefix });
        }
        let missing = ["CARPARK", "DUDEWHERE", "SATNAV"].into_iter().find(|name| !bound(name));
        match missing {
            Some(_) if prefix.is_some() => Err(wrong("HOVERBOARD_PREFIX", "there is no R2 binding BUCKET")),
            Some(name) => Err(wrong(name, "there is no such R2 binding, and none BUCKET for all of them")),
            None => Ok(Self::Three),
        }
    }
}

fn denylist(read: &Reader<'_>, bound: &dyn Fn(&str) -> bool) -> Result<Option<deny::Settings>, ConfigError> {
    let refresh = Duration::from_secs(read.number("HOVERBOARD_DENYLIST_REFRESH", 10, 86_400, 300)?);
    let optional = read.optional("HOVERBOARD_DENYLIST_OPTIONAL").as_deref() == Some("1");
    let Some(key) = read.optional("HOVERBOARD_DENYLIST") else { return Ok(None) };
    if !bound("DENYLIST") && !bound("BUCKET") {
        return Err(wrong("DENYLIST", "there is no such R2 binding, and none BUCKET either, for the denylist"));
    }
    Ok(Some(deny::Settings { key, refresh, optional }))
}

/// Reads variables one by one. An empty one is as good as none.
struct Reader<'a> {
    text: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn optional(&self, variable: &str) -> Option<String> {
        (self.text)(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn required(&self, variable: &'static str, remedy: &str) -> Result<String, ConfigError> {
        self.optional(variable).ok_or_else(|| wrong(variable, format!("it is not set: {remedy}")))
    }

    fn number(&self, variable: &'static str, least: u64, most: u64, default: u64) -> Result<u64, ConfigError> {
        let Some(text) = self.optional(variable) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| wrong(variable, format!("a number from {least} to {most}")))
    }

    fn list<T: FromStr>(&self, variable: &'static str, what: &str) -> Result<Vec<T>, ConfigError> {
        let text = self.optional(variable).unwrap_or_default();
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| item.parse().map_err(|_| wrong(variable, what))).collect()
    }
}

fn wrong(variable: &'static str, problem: impl fmt::Display) -> ConfigError {
    ConfigError { variable, problem: problem.to_string() }
}

#[cfg(test)]
mod tests;
