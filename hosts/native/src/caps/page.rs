//! What the operator sees of the ledger: who got most today, as JSON at `/peers` and as a table from `hoverboard peers`.

use hoverboard_caps::shard::{Row, Subject};
use hoverboard_caps::{Policy, Work};
use serde::{Deserialize, Serialize};

use super::Caps;

/// Rows of the page.
const MOST: usize = 1_000;

/// The page.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// What all together got in this hour, and this day of UTC
    pub total: Used,
    /// What they may have
    pub caps: Limited,
    /// Those who got most today, by what it cost, then by bytes; 1,000 at most
    pub top: Vec<User>,
}

/// An hour and a day.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// In this hour
    pub hour: Amount,
    /// In this day
    pub day: Amount,
}

/// What was done.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    /// Wants looked up
    pub requests: u64,
    /// Blocks given
    pub blocks: u64,
    /// Bytes of them
    pub bytes: u64,
    /// US dollars
    pub cost: f64,
}

/// The caps, as the flags have them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Limited {
    /// Of a peer
    pub peer: String,
    /// Of an address
    pub address: String,
    /// Of all together
    pub total: String,
    /// What is done at a cap
    pub policy: String,
}

/// Who got something.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The peer id; none in the row of an address
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The address, as a network: of 32 bits for IPv4, of 64 or 48 for IPv6
    pub address: String,
    /// What it got
    #[serde(flatten)]
    pub used: Used,
}

impl From<Work> for Amount {
    fn from(work: Work) -> Self {
        let Work { requests, blocks, bytes, cost } = work;
        Self { requests, blocks, bytes, cost: cost.0 as f64 / 1e9 }
    }
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        let (peer, address) = match row.subject {
            Subject::Peer(peer, site) => (Some(peer.to_string()), site.to_string()),
            Subject::OtherPeers(site) => (Some("(others)".to_owned()), site.to_string()),
            Subject::Address(address) => (None, address.to_string()),
            Subject::Site(site) => (None, site.to_string()),
        };
        Self { peer, address, used: Used { hour: row.hour.into(), day: row.day.into() } }
    }
}

impl Caps {
    /// The page, as of now. What is out on lease is not in it: it follows within a minute.
    pub fn page(&self) -> Page {
        let (top, [hour, day]) = self.top(MOST);
        let rules = &self.settings.rules;
        let policy = match self.settings.policy {
            Policy::Silent => "silent",
            Policy::DontHave => "dont-have",
            Policy::Close => "close",
        };
        Page {
            total: Used { hour: hour.into(), day: day.into() },
            caps: Limited {
                peer: rules.peer.to_string(),
                address: rules.address.to_string(),
                total: rules.total.to_string(),
                policy: policy.to_owned(),
            },
            top: top.into_iter().map(User::from).collect(),
        }
    }
}

impl Page {
    /// As a table, with the first so many users.
    pub fn table(&self, most: usize) -> String {
        let mut lines = vec![format!(
            "{:>10} {:>10} {:>10} {:>12}  {:<24} {}",
            "BYTES", "BLOCKS", "REQUESTS", "COST", "ADDRESS", "PEER"
        )];
        let mut line = |day: &Amount, address: &str, peer: &str| {
            let bytes = indicatif::BinaryBytes(day.bytes).to_string();
            let cost = format!("${:.6}", day.cost);
            let line = format!("{bytes:>10} {:>10} {:>10} {cost:>12}  {address:<24} {peer}", day.blocks, day.requests);
            lines.push(line.trim_end().to_owned());
        };
        line(&self.total.day, "all, today", "");
        for user in self.top.iter().take(most) {
            line(&user.used.day, &user.address, user.peer.as_deref().unwrap_or_default());
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_total_and_so_many_users() {
        let amount = |bytes| Amount { requests: 2, blocks: 1, bytes, cost: 0.000_36 };
        let used = |bytes| Used { hour: amount(bytes), day: amount(bytes) };
        let user = |peer: Option<&str>| User {
            peer: peer.map(str::to_owned),
            address: "192.0.2.1/32".to_owned(),
            used: used(1 << 20),
        };
        let limited =
            Limited { peer: String::new(), address: String::new(), total: String::new(), policy: String::new() };
        let top = vec![user(None), user(Some("12D3")), user(Some("QmX"))];
        let page = Page { total: used(3 << 20), caps: limited, top };
        let table = page.table(2);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(lines[1].contains("3.00 MiB") && lines[1].ends_with("all, today"), "{table}");
        assert!(lines[3].ends_with("192.0.2.1/32             12D3"), "{table}");
        let json = serde_json::to_string(&page).expect("encodes");
        assert_eq!(serde_json::from_str::<Page>(&json).expect("decodes"), page);
    }
}
