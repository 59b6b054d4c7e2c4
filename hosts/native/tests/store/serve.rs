//! `hoverboard serve --store`: what is imported is served, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;
use cid::Cid;
use libp2p_identity::Keypair;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use crate::common::car_of;
use crate::dag::{Dag, mixed};
use crate::peer::Peer;
use crate::process::hoverboard;
use crate::server::Server;
use crate::versitygw::Versitygw;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Where an object of the store lies, by its place.
fn object(store: &Path, place: &str, car: &str) -> PathBuf {
    let end = if place == "satnav" { ".car.idx" } else { ".car" };
    store.join(place).join(car).join(format!("{car}{end}"))
}

/// Asks for the root, which says where to look whether or not it can be had, then for the rest, and waits until each
/// was looked for.
fn ask_for_all(peer: &mut Peer, dag: &Dag, server: &Server) {
    for some in [vec![dag.root], dag.leaves()] {
        let due = server.metric("store_lookups_total") + some.len() as u64;
        peer.want(some);
        peer.go_on_until(|_| server.metric("store_lookups_total") == due);
    }
    peer.stay(Duration::from_millis(200));
}

#[test]
fn what_was_imported_is_fetched_whole() {
    let (store, state) = (folder(), folder());
    let dags = [Dag::new(1, mixed()), Dag::new(10_000, (0..3_000).map(|_| 100)), Dag::new(20_000, [])];
    for dag in &dags {
        dag.import(store.path(), &[]);
    }
    let server = Server::start(store.path(), state.path());
    dags.iter().for_each(|dag| dag.expect_fetched(&server));
    assert_eq!(server.metric("store_faults_total"), 0, "{}", server.log());
    assert_eq!(server.metric("lookups_missing_total"), 0, "nobody asked the catalog, which has nothing");
    // A record of 40 bytes a block at the least.
    assert!(server.metric("store_index_cache_bytes") > 3_150 * 40);
}

#[test]
fn what_is_imported_while_it_runs_is_served() {
    let (store, state) = (folder(), folder());
    let server = Server::start(store.path(), state.path());
    server.logged("the store has no roots yet");
    let dag = Dag::new(1, mixed());
    dag.import(store.path(), &[]);
    dag.expect_fetched(&server);
}

#[test]
fn a_bucket_of_s3_is_served_too() {
    let Some(s3) = Versitygw::start() else { return };
    let (dag, state) = (Dag::new(1, mixed()), folder());
    let store = Path::new("s3://cars/some/prefix");
    dag.import(store, &s3.variables());
    let mut command = hoverboard();
    command.arg("serve").env("HOVERBOARD_STORE", store).envs(s3.variables());
    let server = Server::run(command, state.path());
    dag.expect_fetched(&server);
    // Some 40 MiB, as runs and not as blocks.
    assert!(server.requests("car") < 30, "{}", server.requests("car"));
}

#[test]
fn without_an_index_a_peer_that_comes_back_mid_dag_is_served_without_a_listing_and_a_stranger_is_not() {
    let (store, state, key) = (folder(), folder(), Keypair::generate_ed25519());
    let dag = Dag::new(1, mixed());
    dag.import(store.path(), &[]);
    remove_index(store.path());
    let (first, rest) = dag.blocks.split_at(10);
    let rest: Vec<Cid> = rest.iter().map(|(cid, _)| *cid).collect();

    let server = Server::start(store.path(), state.path());
    let at_start = server.requests("listing");
    let mut peer = Peer::connect(&server, &key);
    peer.fetch([dag.root]);
    peer.fetch(first.iter().map(|(cid, _)| *cid));
    assert_eq!(server.requests("listing"), at_start + 1);
    drop(peer);
    Peer::connect(&server, &key).fetch(rest[..20].iter().copied());
    assert_eq!(server.requests("listing"), at_start + 1);

    // Also from another process, which has only what was written down.
    drop(server);
    let server = Server::start(store.path(), state.path());
    Peer::connect(&server, &key).fetch(rest.iter().copied());
    assert_eq!(server.requests("listing"), at_start);

    // Nobody knows where a stranger was reading: it is not told that the blocks are not here.
    let mut stranger = Peer::connect(&server, &Keypair::generate_ed25519());
    stranger.want([rest[0]]);
    stranger.go_on_until(|_| server.metric("store_lookups_unknown_total") == 1);
    assert_eq!(server.requests("listing"), at_start + 1);
    stranger.stay(Duration::from_millis(200));
    assert!(stranger.blocks.is_empty() && stranger.refused.is_empty());
}

#[test]
fn a_stranger_is_served_mid_dag_and_told_what_is_not_there() {
    let (store, state) = (folder(), folder());
    let dags = [Dag::new(1, mixed()), Dag::new(10_000, mixed())];
    dags.iter().for_each(|dag| drop(dag.import(store.path(), &[])));
    let server = Server::start(store.path(), state.path());
    let at_start = server.requests("listing");
    let mut stranger = Peer::connect(&server, &Keypair::generate_ed25519());
    stranger.fetch(dags.iter().map(|dag| dag.blocks[30].0));
    assert_eq!((server.requests("listing"), server.requests("index")), (at_start, 0));
    stranger.fetch(dags.iter().flat_map(|dag| dag.leaves()).collect::<Vec<_>>());
    assert_eq!(server.requests("listing"), at_start);

    let nowhere = Dag::new(50_000, [1_000]).root;
    stranger.want([nowhere]);
    stranger.go_on_until(|peer| !peer.refused.is_empty());
    assert_eq!(stranger.refused, [nowhere]);

    // Of an index that cannot be read nothing is known.
    for shard in walk(&store.path().join("index/runs")) {
        fs::write(shard, [0; 16 << 10]).expect("written");
    }
    let server = Server::start(store.path(), folder().path());
    let mut stranger = Peer::connect(&server, &Keypair::generate_ed25519());
    stranger.want([nowhere]);
    stranger.go_on_until(|_| server.metric("store_lookups_unknown_total") == 1);
    stranger.stay(Duration::from_millis(200));
    assert!(stranger.refused.is_empty());
    server.logged("runs/");
    stranger.fetch([dags[0].root]);
}

/// All files in a folder and those within.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// A bucket that was filled before there were indexes of every block.
fn remove_index(store: &Path) {
    fs::remove_dir_all(store.join("index")).expect("removed");
}

#[test]
fn the_paths_come_first_and_the_store_has_what_they_do_not() {
    let (cars, store, state) = (folder(), folder(), folder());
    let local = car_of(&cars.path().join("local.car"), 7, 5, 1_000);
    let dag = Dag::new(1, mixed());
    dag.import(store.path(), &[]);
    let mut command = hoverboard();
    command.arg("serve").arg(cars.path()).arg("--store").arg(store.path());
    let server = Server::run(command, state.path());
    let mut peer = Peer::connect(&server, &Keypair::generate_ed25519());
    peer.fetch([dag.root]);
    let rest = local.iter().map(|block| block.cid).chain(dag.leaves());
    peer.fetch(rest.collect::<Vec<_>>());
    assert!(local.iter().all(|block| peer.blocks[&block.cid] == block.data));
    assert!(dag.blocks.iter().all(|(cid, data)| peer.blocks[cid] == *data));
    assert_eq!(server.metric("store_lookups_total"), dag.blocks.len() as u64);

    // A block that the paths have lost is in the store as well.
    let path = cars.path().join("copy.car");
    let copy = crate::common::write_car(&path, [dag.blocks[1].1.clone()]);
    server.wait_for_metric("cars", 2);
    let mut bytes = fs::read(&path).expect("there");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&path, bytes).expect("written");
    let mut peer = Peer::connect(&server, &Keypair::generate_ed25519());
    peer.fetch([dag.root, copy[0].cid]);
}

#[test]
fn a_car_that_is_gone_or_another_one_costs_a_line_in_the_log_and_no_wrong_block() {
    let (store, state) = (folder(), folder());
    let dags = [1, 1_000, 2_000].map(|seed| Dag::new(seed, [5_000, 6_000, 7_000]));
    let cars = dags.each_ref().map(|dag| dag.import(store.path(), &[]));
    let gone = object(store.path(), "carpark", &cars[0]);
    fs::remove_file(gone).expect("removed");
    // One block is damaged, and the others are what they were.
    let damaged = object(store.path(), "carpark", &cars[1]);
    let mut bytes = fs::read(&damaged).expect("there");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&damaged, bytes).expect("written");
    // Another CAR altogether, shorter than the first.
    fs::write(object(store.path(), "carpark", &cars[2]), &fs::read(&damaged).expect("there")[..9_000])
        .expect("written");

    let server = Server::start(store.path(), state.path());
    let mut peer = Peer::connect(&server, &Keypair::generate_ed25519());
    for dag in &dags {
        ask_for_all(&mut peer, dag, &server);
    }
    // Three whole blocks of the damaged one.
    assert_eq!(server.metric("blocks_sent_total"), 3, "{}", server.log());
    assert!(dags[1].blocks[..3].iter().all(|(cid, data)| peer.blocks[cid] == *data));
    // Those of the CAR that is gone are missing; what is damaged may be mended.
    let (mut refused, mut gone) = (peer.refused.clone(), [vec![dags[0].root], dags[0].leaves()].concat());
    refused.sort_unstable();
    gone.sort_unstable();
    assert_eq!(refused, gone);
    for car in &cars {
        server.logged(&format!("{car}/{car}.car"));
    }
}

#[test]
fn an_index_that_lies_is_named_in_the_log_and_no_unchecked_block_is_sent() {
    // After 30 bytes of heads: four digests of 32 bytes, each with an offset of 8.
    type Lie = fn(&mut [[u8; 40]]) -> usize;
    let lies: [(Lie, u64); 3] = [
        // Cut short: it is no index.
        (|_| 3, 0),
        // Not sorted: neither.
        (
            |records| {
                records.swap(0, 3);
                4
            },
            0,
        ),
        // Two offsets changed for one another: two blocks are where it says.
        (
            |records| {
                let (first, last) = records.split_at_mut(1);
                first[0][32..].swap_with_slice(&mut last[2][32..]);
                4
            },
            2,
        ),
    ];
    for (number, (lie, sent)) in lies.into_iter().enumerate() {
        let (store, state) = (folder(), folder());
        let dag = Dag::new(1, [5_000, 6_000, 7_000]);
        let car = dag.import(store.path(), &[]);
        remove_index(store.path());
        let path = object(store.path(), "satnav", &car);
        let mut index = fs::read(&path).expect("there");
        let (records, []) = index[30..].as_chunks_mut() else { panic!("no records of 40 bytes") };
        assert_eq!(records.len(), 4);
        let kept = lie(records);
        fs::write(&path, &index[..30 + 40 * kept]).expect("written");
        let server = Server::start(store.path(), state.path());
        let mut peer = Peer::connect(&server, &Keypair::generate_ed25519());
        ask_for_all(&mut peer, &dag, &server);
        assert_eq!(server.metric("blocks_sent_total"), sent, "lie {number}\n{}", server.log());
        assert_eq!(peer.blocks.len() as u64, sent);
        assert!(peer.refused.is_empty());
        assert!(server.metric("store_faults_total") > 0);
        server.logged(&format!("{car}/{car}.car"));
    }
}

#[test]
fn what_was_begun_is_finished_when_it_is_asked_to_stop() {
    let (store, state) = (folder(), folder());
    let dag = Dag::new(1, (0..200).map(|_| 200_000));
    dag.import(store.path(), &[]);
    let mut server = Server::start(store.path(), state.path());
    let mut peer = Peer::connect(&server, &Keypair::generate_ed25519());
    peer.fetch([dag.root]);
    peer.want(dag.leaves());
    peer.go_on_until(|_| server.metric("wants_total") == 201);
    server.terminate();
    server.logged("stopping");
    assert!(peer.blocks.len() < 201, "too fast to see what happens halfway");
    while peer.go_on() {}
    assert!(dag.blocks.iter().all(|(cid, data)| peer.blocks.get(cid).is_some_and(|got| got == data)));
    assert!(server.wait().success());
}

#[test]
fn a_peer_that_takes_nothing_does_not_keep_ranges_open_and_is_served_when_it_takes_again() {
    let (store, state) = (folder(), folder());
    let dag = Dag::new(1, (0..100).map(|_| 1 << 20));
    dag.import(store.path(), &[]);
    let server = Server::start(store.path(), state.path());
    let mut peer = Peer::connect(&server, &Keypair::generate_ed25519());
    peer.fetch([dag.root]);
    peer.want(dag.leaves());
    peer.go_on_until(|_| server.metric("wants_total") == 101);
    std::thread::sleep(Duration::from_secs(7));
    let read = server.metric("store_read_bytes_total");
    assert!(read < 40 << 20, "{read} bytes were read for a peer that takes none");
    peer.fetch(dag.leaves());
    assert_eq!(server.metric("store_faults_total"), 0, "{}", server.log());
}

#[test]
fn a_store_that_cannot_be_read_ends_it_with_a_sentence() {
    let (state, file) = (folder(), folder());
    let file = file.path().join("file");
    fs::write(&file, b"").expect("written");
    let serve = |store: &str| {
        let mut command = hoverboard();
        command.args(["serve", "--store", store, "--listen", "/ip4/127.0.0.1/tcp/0", "--admin", "127.0.0.1:0"]);
        command.arg("--state").arg(state.path());
        command
    };
    serve("gs://bucket").assert().code(2).stdout("").stderr(contains("s3://BUCKET"));
    serve("/nowhere/at/all").assert().code(64).stdout("").stderr(contains("/nowhere/at/all"));
    serve(file.to_str().expect("utf-8")).assert().code(64).stdout("").stderr(contains("file"));
    serve("s3://bucket").assert().code(64).stdout("").stderr(contains("AWS_ACCESS_KEY_ID"));
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    // The port of a listener that was closed again: nobody is there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let nobody = ("AWS_ENDPOINT_URL", format!("http://{free}"));
    let refused = serve("s3://bucket").envs(keys).env(nobody.0, nobody.1).assert().code(64);
    refused.stdout("").stderr(contains("cannot read s3://bucket").and(contains("--store")));
    if let Some(s3) = Versitygw::start() {
        let wrong = [("AWS_SECRET_ACCESS_KEY", "wrong")];
        let refused = serve("s3://cars").envs(s3.variables()).envs(wrong).assert().code(64);
        refused.stderr(contains("cannot read s3://cars"));
        let absent = serve("s3://other").envs(s3.variables()).assert().code(64);
        absent.stderr(contains("cannot read s3://other"));
    }
}
