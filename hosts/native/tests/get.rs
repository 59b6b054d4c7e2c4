//! Fetching whole DAGs from a serving node, in one process: order, sharing, damage.

mod common;
#[path = "common/node.rs"]
mod node;
#[path = "common/sealer.rs"]
mod sealer;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use common::{Served, cid, data, write_car};
use hoverboard::address::{Dial, Host, Transport};
use hoverboard::catalog::Catalog;
use hoverboard::fetch::{FetchError, fetch};
use hoverboard::net::client::Client;
use hoverboard_car::Writer;
use hoverboard_peer::wire::{Config, Connection, identity::Identity};
use libp2p_identity::Keypair;
use sealer::Sealer;
use tokio_util::sync::DropGuard;

fn node(served: &Served, catalog: Arc<Catalog>) -> (Dial, DropGuard) {
    node::serve(served, catalog, |_| {})
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
    let (dial, _stop) = node(served, Arc::new(served.open()));
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
    let (dial, _stop) = node(&served, Arc::new(served.open()));
    let mut client = Client::connect(&dial).await.expect("connected");
    let got = fetch(&mut client, blocks[0].cid, Duration::from_secs(1), |_, _| Ok::<_, std::convert::Infallible>(()));
    assert!(matches!(got.await, Err(FetchError::Silence { .. })));
    assert_eq!(served.metrics.bitswap.dont_haves_sent.get(), 0);
    assert!(served.metrics.catalog.corrupt.get() > 0);
}

/// A peer that takes a connection, says that it goes away as soon as streams can be opened, and stays.
fn goes_away(mut socket: TcpStream) -> std::io::Result<()> {
    const GO_AWAY: [u8; 12] = [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let sealer = Arc::new(Sealer::default());
    let identity = Identity::new(&Keypair::generate_ed25519(), [1; 32]).expect("signs");
    let config = Arc::new(Config::new(identity, sealer.clone(), hoverboard_peer::protocols()));
    let now = Duration::ZERO;
    let mut connection = Connection::accept(config, None, [2; 32], now).expect("accepts");
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = socket.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        connection.receive(&mut buffer[..n], now).expect("receives");
        let mut out = Vec::new();
        connection.transmit(&mut out, 1 << 16, now).expect("transmits");
        if sealer.has_key() {
            out.extend_from_slice(&sealer.frame(&GO_AWAY));
        }
        socket.write_all(&out)?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_away_ends_the_fetch_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = listener.local_addr().expect("known");
    std::thread::spawn(move || goes_away(listener.accept().expect("accepted").0));
    let dial = Dial { host: Host::Ip(addr.ip()), port: addr.port(), transport: Transport::Tcp, peer: None };
    let mut client = Client::connect(&dial).await.expect("connected");
    let wanted = cid(b"anything");
    let fetching = fetch(&mut client, wanted, Duration::from_secs(20), |_, _| Ok::<_, std::convert::Infallible>(()));
    match tokio::time::timeout(Duration::from_secs(10), fetching).await.expect("before its silence is up") {
        Err(error @ FetchError::GoneAway { .. }) => assert!(error.to_string().contains(&wanted.to_string())),
        other => panic!("{other:?}"),
    }
}
