//! beetswap on rust-libp2p, as another program's Bitswap client and server over TCP and Noise.
//!
//! It knows nothing of DAGs: a client is told the CIDs to ask for and writes what came to a CAR. It is not part of
//! Hoverboard's workspace, since rust-libp2p's versions are beetswap's choice.

mod car;

use std::{collections::HashMap, fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use beetswap::QueryId;
use blockstore::{Blockstore, InMemoryBlockstore};
use cid::Cid;
use clap::Parser;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder, futures::StreamExt, identify, noise, ping, swarm::NetworkBehaviour,
    swarm::SwarmEvent, tcp, yamux,
};

/// The longest digest of any multihash in the test data.
const MAX_DIGEST: usize = 64;
/// beetswap's servers keep no more wants than this of a peer.
const QUERIES_AT_ONCE: usize = 1_024;

type Store = InMemoryBlockstore<MAX_DIGEST>;

#[derive(Parser)]
#[command(about)]
enum Command {
    /// Asks a peer for blocks and writes them to a CAR in the order they arrive.
    Fetch {
        /// The peer, with its `/p2p/` part.
        peer: Multiaddr,
        /// A file of CIDs, one a line.
        cids: PathBuf,
        /// The CAR to write.
        out: PathBuf,
    },
    /// Serves the blocks of CARs until killed; prints its multiaddrs when ready.
    Serve {
        /// Where to listen.
        listen: Multiaddr,
        /// The CARs to load.
        #[arg(required = true)]
        cars: Vec<PathBuf>,
    },
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    bitswap: beetswap::Behaviour<MAX_DIGEST, Store>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Command::parse() {
        Command::Fetch { peer, cids, out } => fetch(peer, cids, out).await,
        Command::Serve { listen, cars } => serve(listen, cars).await,
    }
}

async fn fetch(peer: Multiaddr, cids: PathBuf, out: PathBuf) -> Result<()> {
    let list = fs::read_to_string(&cids).with_context(|| format!("cannot read {}", cids.display()))?;
    let mut waiting = list.lines().map(Cid::try_from).collect::<Result<Vec<_>, _>>()?;
    waiting.reverse();

    let mut swarm = swarm(Arc::new(Store::new()))?;
    swarm.dial(peer.clone())?;
    let mut blocks = Vec::with_capacity(waiting.len());
    let mut asked: HashMap<QueryId, Cid> = HashMap::new();
    let mut connected = false;
    while !waiting.is_empty() || !asked.is_empty() {
        while connected && asked.len() < QUERIES_AT_ONCE {
            let Some(cid) = waiting.pop() else { break };
            asked.insert(swarm.behaviour_mut().bitswap.get(&cid), cid);
        }
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => connected = true,
            SwarmEvent::ConnectionClosed { cause, .. } => bail!("{peer} closed the connection: {cause:?}"),
            SwarmEvent::OutgoingConnectionError { error, .. } => bail!("cannot dial {peer}: {error}"),
            SwarmEvent::Behaviour(BehaviourEvent::Bitswap(event)) => match event {
                beetswap::Event::GetQueryResponse { query_id, data } => {
                    let cid = asked.remove(&query_id).context("an answer to nothing that was asked")?;
                    blocks.push((cid, data));
                }
                beetswap::Event::GetQueryError { query_id, error } => {
                    bail!("{:?}: {error}", asked.get(&query_id));
                }
            },
            _ => {}
        }
    }
    car::write(&out, &blocks)?;
    println!("{} blocks", blocks.len());
    Ok(())
}

async fn serve(listen: Multiaddr, cars: Vec<PathBuf>) -> Result<()> {
    let store = Arc::new(Store::new());
    for path in cars {
        for (cid, data) in car::read(&path)? {
            store.put_keyed(&cid, &data).await?;
        }
    }
    let mut swarm = swarm(store)?;
    swarm.listen_on(listen)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            println!("{address}/p2p/{}", swarm.local_peer_id());
        }
    }
}

fn swarm(store: Arc<Store>) -> Result<Swarm<Behaviour>> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new("/ipfs/id/1.0.0".to_owned(), key.public())),
            ping: ping::Behaviour::default(),
            bitswap: beetswap::Behaviour::new(store),
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build())
}
