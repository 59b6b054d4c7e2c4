//! Caps on a serving process: what a peer gets before one is reached, what it hears then, and what a restart knows of it.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use assert_cmd::assert::OutputAssertExt;
use cid::Cid;
use libp2p_identity::Keypair;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use crate::dag::Dag;
use crate::peer::Peer;
use crate::process::hoverboard;
use crate::server::{PATIENCE, Server};

/// Blocks of a DAG, beside its root.
const LEAVES: usize = 120;
/// Bytes of each of them.
const LEAF: usize = 10_000;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn dag() -> Dag {
    Dag::new(1, std::iter::repeat_n(LEAF, LEAVES))
}

/// A server over a store that has the DAG, or over its CAR.
struct World {
    dag: Dag,
    store: TempDir,
    state: TempDir,
}

#[derive(Clone, Copy, PartialEq)]
enum From {
    Store,
    Catalog,
}

impl World {
    fn new() -> Self {
        let (dag, store) = (dag(), folder());
        dag.import(store.path(), &[]);
        Self { dag, store, state: folder() }
    }

    fn serve(&self, from: From, flags: &[&str]) -> Server {
        let mut command = hoverboard();
        command.arg("serve").args(flags);
        match from {
            From::Store => command.arg("--store").arg(self.store.path()),
            From::Catalog => command.arg(self.store.path().join("carpark")),
        };
        Server::run(command, self.state.path())
    }

    /// Asks for all of it under this key, until nothing more comes for a while. How many blocks came.
    fn take(&self, server: &Server, key: &Keypair) -> usize {
        let mut peer = Peer::connect(server, key);
        peer.fetch_if([self.dag.root]);
        peer.fetch_if(self.dag.leaves())
    }
}

impl Peer {
    /// Wants blocks, and waits until all are here or refused, or none came for a while; how many are here.
    fn fetch_if(&mut self, cids: impl IntoIterator<Item = Cid>) -> usize {
        let cids: HashSet<Cid> = cids.into_iter().collect();
        self.want(cids.iter().copied());
        let (mut since, mut before) = (Instant::now(), 0);
        while since.elapsed() < Duration::from_millis(400) && self.go_on() {
            let now = self.blocks.len() + self.refused.len();
            if now > before {
                (since, before) = (Instant::now(), now);
            }
            if cids.iter().all(|cid| self.blocks.contains_key(cid) || self.refused.contains(cid)) {
                break;
            }
        }
        self.blocks.len()
    }
}

#[test]
fn a_peer_gets_what_it_may_have_and_then_nothing_and_others_go_on() {
    for from in [From::Catalog, From::Store] {
        let world = World::new();
        let server = world.serve(from, &["--cap-peer", "40blocks/day"]);
        let (one, other) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
        assert_eq!(world.take(&server, &one), 40);
        assert_eq!(world.take(&server, &one), 0, "it comes back");
        assert_eq!(world.take(&server, &other), 40, "another peer of its address");
        assert!(server.metric("capped_wants_total") >= 120);
        assert!(server.metric("cap_refusals_total{cap=\"peer\"}") >= 3);
        assert_eq!(server.metric("dont_haves_sent_total"), 0);
        assert_eq!(server.metric("day_bytes") / LEAF as u64, 78, "its roots are smaller");
    }
}

#[test]
fn a_cap_in_bytes_is_passed_by_a_block_at_most() {
    for from in [From::Catalog, From::Store] {
        let world = World::new();
        let server = world.serve(from, &["--cap-address", "333333B/day"]);
        let all: usize = (0..3).map(|_| world.take(&server, &Keypair::generate_ed25519())).sum();
        // The root has 4 to 5 KB.
        let bytes = server.metric("day_bytes");
        assert!((333_333..333_333 + 3 * LEAF as u64).contains(&bytes), "{bytes} bytes in {all} blocks");
    }
}

#[test]
fn where_the_policy_is_to_say_so_the_rest_is_refused() {
    for from in [From::Catalog, From::Store] {
        let world = World::new();
        let server = world.serve(from, &["--cap-peer", "40blocks/day", "--cap-policy", "dont-have"]);
        let mut peer = Peer::connect(&server, &Keypair::generate_ed25519());
        peer.fetch_if([world.dag.root]);
        peer.fetch_if(world.dag.leaves());
        assert_eq!((peer.blocks.len(), peer.refused.len()), (40, LEAVES + 1 - 40));
    }
}

#[test]
fn where_the_policy_is_to_close_what_was_begun_still_arrives() {
    for from in [From::Catalog, From::Store] {
        let world = World::new();
        let server = world.serve(from, &["--cap-peer", "40blocks/day", "--cap-policy", "close"]);
        let mut peer = Peer::connect(&server, &Keypair::generate_ed25519());
        peer.fetch_if([world.dag.root]);
        peer.want(world.dag.leaves());
        while peer.go_on() {}
        assert_eq!((peer.blocks.len(), peer.refused.len()), (40, 0));
        server.wait_for_metric("connections_closed_total{reason=\"capped\"}", 1);
    }
}

#[test]
fn a_named_peer_has_no_cap_and_takes_nothing_from_others() {
    let world = World::new();
    let (named, other) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let free = format!("{}=unlimited", named.public().to_peer_id());
    let server = world.serve(From::Catalog, &["--cap-address", "40blocks/day", "--cap-for", &free]);
    assert_eq!(world.take(&server, &named), LEAVES + 1);
    assert_eq!(world.take(&server, &other), 40);
}

#[test]
fn a_range_may_be_free() {
    let world = World::new();
    let server = world.serve(From::Store, &["--cap-address", "1blocks/day", "--cap-for", "127.0.0.0/8=unlimited"]);
    world.dag.expect_fetched(&server);
}

#[test]
fn a_restart_knows_what_was_had_after_a_stop_and_after_a_kill() {
    let world = World::new();
    let key = Keypair::generate_ed25519();
    let mut had = 0;
    for (round, signal) in ["TERM", "KILL", "KILL", "TERM"].into_iter().enumerate() {
        let cap = format!("{}blocks/day", 40 * (round + 1));
        let mut server = world.serve(From::Catalog, &["--cap-peer", &cap]);
        let mut peer = Peer::connect(&server, &key);
        if round == 0 {
            peer.fetch_if([world.dag.root]);
        }
        // The same blocks again count again.
        had += peer.fetch_if(world.dag.leaves());
        assert_eq!(had, 40 * (round + 1), "round {round}");
        // It is killed with the peer connected, and what the peer has on lease is used up.
        server.signal(signal);
        server.wait();
    }
}

#[test]
fn what_was_on_lease_when_it_was_killed_counts_and_nothing_is_had_twice() {
    let world = World::new();
    let key = Keypair::generate_ed25519();
    let mut had = 0;
    for _ in 0..6 {
        let mut server = world.serve(From::Catalog, &["--cap-peer", "60blocks/day"]);
        let mut peer = Peer::connect(&server, &key);
        had += peer.fetch_if(world.dag.leaves()[..7].iter().copied());
        server.signal("KILL");
        server.wait();
    }
    assert!((7..=60).contains(&had), "{had}");
}

#[test]
fn the_top_users_are_shown() {
    let world = World::new();
    let server = world.serve(From::Store, &[]);
    let (small, large) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    Peer::connect(&server, &small).fetch([world.dag.root]);
    world.take(&server, &large);
    let admin = server.logged("admin pages").split("addr=").nth(1).expect("said").trim().to_owned();
    let peers = |flags: &[&str]| {
        let mut command: Command = hoverboard();
        command.arg("peers").arg("--admin").arg(&admin).args(flags);
        let output = command.assert().success().get_output().stdout.clone();
        String::from_utf8(output).expect("utf-8")
    };
    let begun = Instant::now();
    let shown = loop {
        let shown = peers(&[]);
        if shown.contains(&large.public().to_peer_id().to_string())
            && shown.contains(&small.public().to_peer_id().to_string())
        {
            break shown;
        }
        assert!(begun.elapsed() < PATIENCE, "{shown}");
    };
    let line =
        |text: &str| shown.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text} in\n{shown}"));
    let (large, small) = (large.public().to_peer_id().to_string(), small.public().to_peer_id().to_string());
    assert!(line("all, today") < line(&large) && line(&large) < line(&small), "{shown}");
    assert!(shown.contains("127.0.0.1/32"), "{shown}");
    assert_eq!(peers(&["--top", "1"]).lines().count(), 3);
    let json: serde_json::Value = serde_json::from_str(&peers(&["--json"])).expect("JSON");
    assert_eq!(json["caps"]["peer"], "unlimited");
    assert!(json["total"]["day"]["blocks"].as_u64() >= Some(LEAVES as u64));
}

#[test]
fn requests_to_the_store_cost_what_the_prices_say_and_money_has_a_cap() {
    let world = World::new();
    // Two dollars a request: whatever the first one is, it is one too many, and so are those that it was begun with.
    let server = world.serve(From::Store, &["--cap-prices", "read=2000000,list=2000000", "--cap-total", "1usd/day"]);
    let key = Keypair::generate_ed25519();
    assert!(world.take(&server, &key) <= 1);
    assert_eq!(world.take(&server, &key), 0);
    server.wait_for_metric("connections_open", 0);
    let spent = server.metric("day_cost_microdollars");
    assert!((2_000_000..=10_000_000).contains(&spent) && spent.is_multiple_of(2_000_000), "{spent}");
    assert!(server.metric("cap_refusals_total{cap=\"total\"}") >= 1);
}

#[test]
fn two_servers_do_not_count_one_cap_each_for_itself() {
    let world = World::new();
    let _first = world.serve(From::Catalog, &["--cap-peer", "40blocks/day"]);
    let mut second = hoverboard();
    second.arg("serve").arg(world.store.path()).args(["--cap-peer", "40blocks/day", "--admin", "127.0.0.1:0"]);
    second.args(["--listen", "/ip4/127.0.0.1/tcp/0"]).arg("--state").arg(world.state.path());
    second.assert().code(64).stderr(contains("in use by another process").and(contains("--state")));
}

#[test]
fn what_cannot_be_a_cap_is_wrong_use() {
    let wrong: [&[&str]; 6] = [
        &["--cap-peer", "much"],
        &["--cap-address", "5GiB/week"],
        &["--cap-total", "5"],
        &["--cap-for", "nobody=unlimited"],
        &["--cap-policy", "loud"],
        &["--cap-prices", "read=free"],
    ];
    for flags in wrong {
        let mut command = hoverboard();
        command.arg("serve").arg(Path::new("/")).args(flags).assert().code(2).stderr(contains(flags[0]));
    }
}
