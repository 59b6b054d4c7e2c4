//! Fetching whole DAGs from a serving node, in one process: order, sharing, damage.

mod common;

use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use common::{Served, cid, data, write_car};
use hoverboard::address::{Dial, Transport};
use hoverboard::catalog::Catalog;
use hoverboard::config::ServeConfig;
use hoverboard::fetch::{FetchError, fetch};
use hoverboard::listen::bind_all;
use hoverboard::net::client::Client;
use hoverboard::shared::Shared;
use hoverboard_car::Writer;
use libp2p_identity::Keypair;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A node that serves until the guard is dropped, and its address.
async fn node(served: &Served, catalog: Arc<Catalog>) -> (Dial, DropGuard) {
    let identity = Keypair::generate_ed25519();
    let listen = hoverboard::address::Listen {
        socket: "127.0.0.1:0".parse().expect("an address"),
        transport: Transport::Tcp,
        required: true,
    };
    let bound = bind_all(&[listen]).expect("bound");
    let dial = Dial {
        host: hoverboard::address::Host::Ip(bound[0].local.ip()),
        port: bound[0].local.port(),
        transport: Transport::Tcp,
        peer: Some(identity.public().to_peer_id()),
    };
    let config = ServeConfig {
        paths: Vec::new(),
        state: served.state.path().to_path_buf(),
        key: None,
        listen: Vec::new(),
        announce: Vec::new(),
        admin: "127.0.0.1:0".parse().expect("an address"),
        max_connections: 10,
        drain: Duration::from_secs(1),
        rescan: Duration::from_secs(1),
        strict: false,
        always_verify: false,
    };
    let shared = Shared { identity, catalog, metrics: served.metrics.clone(), config, addresses: Vec::new() };
    let stop = CancellationToken::new();
    tokio::spawn(hoverboard::net::serve(Arc::new(shared), bound, stop.clone()));
    (dial, stop.drop_guard())
}

/// A dag-cbor list of links.
fn list(links: &[Cid]) -> (Cid, Vec<u8>) {
    let bytes = serde_ipld_dagcbor::to_vec(&links).expect("encodes");
    (Cid::new_v1(0x71, hoverboard_dag::multihash(0x12, 32, &bytes).expect("supported")), bytes)
}

fn write(served: &Served, blocks: &[(Cid, Vec<u8>)]) {
    let mut writer = Writer::new(std::fs::File::create(served.path("a.car")).expect("created"), &[]).expect("begun");
    for (cid, data) in blocks {
        writer.write(cid, data).expect("written");
    }
    writer.finish().expect("finished");
}

async fn fetched(served: &Served, root: Cid) -> Result<Vec<Cid>, FetchError<std::convert::Infallible>> {
    let (dial, _stop) = node(served, Arc::new(served.open())).await;
    let mut client = Client::connect(&dial).await.expect("connected");
    let mut order = Vec::new();
    fetch(&mut client, root, Duration::from_secs(20), |cid, data| {
        hoverboard_dag::verify(cid, data).expect("checked");
        order.push(*cid);
        Ok(())
    })
    .await
    .map(|()| order)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_dag_comes_whole_in_depth_first_order_with_shared_blocks_once() {
    let served = Served::new();
    let leaf = |n: u64| (cid(&data(n, 3_000)), data(n, 3_000));
    let leaves: Vec<(Cid, Vec<u8>)> = (0..3_000).map(leaf).collect();
    let cids: Vec<Cid> = leaves.iter().map(|(cid, _)| *cid).collect();
    // The second list has the leaves of the first again, and some of its own.
    let (left, right) = (list(&cids[..2_000]), list(&cids[1_000..]));
    let root = list(&[left.0, right.0]);
    let mut expected = vec![root.0, left.0];
    expected.extend(&cids[..2_000]);
    expected.push(right.0);
    expected.extend(&cids[2_000..]);
    let top = root.0;
    write(&served, &[vec![root, left, right], leaves].concat());
    assert_eq!(fetched(&served, top).await.expect("whole"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_comes_whole() {
    let served = Served::new();
    let mut blocks = vec![list(&[])];
    for n in 0..300 {
        blocks.push(list(&[blocks[n].0]));
    }
    write(&served, &blocks);
    let order = fetched(&served, blocks[300].0).await.expect("whole");
    assert!(order.iter().eq(blocks.iter().rev().map(|(cid, _)| cid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_all_sizes_come_whole_and_are_not_held_all_at_once() {
    let served = Served::new();
    let sizes = [0, 1, 1_024, 262_144, 1 << 20, 2 << 20];
    let leaves: Vec<(Cid, Vec<u8>)> =
        (0..60).map(|n| data(n + 1, sizes[n as usize % 6])).map(|data| (cid(&data), data)).collect();
    let root = list(&leaves.iter().map(|(cid, _)| *cid).collect::<Vec<_>>());
    let top = root.0;
    write(&served, &[vec![root], leaves].concat());
    // Blocks of no bytes and of one are the same block each time.
    assert!(fetched(&served, top).await.expect("whole").len() > 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_not_there_is_named() {
    let served = Served::new();
    let absent = cid(b"nowhere");
    let root = list(&[absent]);
    let top = root.0;
    write(&served, &[root]);
    match fetched(&served, top).await {
        Err(FetchError::DontHave(cid)) => assert_eq!(cid, absent),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_neither_sent_nor_called_missing() {
    let served = Served::new();
    let blocks = write_car(&served.path("b.car"), [data(1, 5_000)]);
    let path = served.path("b.car");
    let mut car = std::fs::read(&path).expect("there");
    *car.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, car).expect("written");
    let (dial, _stop) = node(&served, Arc::new(served.open())).await;
    let mut client = Client::connect(&dial).await.expect("connected");
    let got = fetch(&mut client, blocks[0].cid, Duration::from_secs(1), |_, _| Ok::<_, std::convert::Infallible>(()));
    assert!(matches!(got.await, Err(FetchError::Silence { .. })));
    assert_eq!(served.metrics.bitswap.dont_haves_sent.get(), 0);
    assert!(served.metrics.catalog.corrupt.get() > 0);
}
