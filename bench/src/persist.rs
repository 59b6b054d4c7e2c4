//! Clients that come back: each fetches every block of a CAR, checks it, dials again under the same identity whenever its
//! connection ends or nothing comes, and goes on with what it has not got.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cid::Cid;
use libp2p_identity::Keypair;
use multiaddr::Multiaddr;

use crate::generate;
use crate::peer::{Peer, Wrong};
use crate::pipe::Pipe;
use crate::recorder::Recorder;

/// Before dialling again.
const PAUSE: Duration = Duration::from_millis(100);

/// How the clients behave.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Blocks wanted at a time.
    pub(crate) in_flight: usize,
    /// Wants in a Noise frame, and bytes of a WebSocket message, at most; as many as fit if it is not said.
    pub(crate) frame: Option<usize>,
    pub(crate) message: Option<usize>,
    /// How long each waits for something to come.
    pub(crate) patience: Duration,
    /// How long all of it may take.
    pub(crate) within: Duration,
}

/// Runs so many clients side by side, each on a thread, and prints how often they dialled and the seconds it took.
pub(crate) fn run(addr: &Multiaddr, car: &Path, count: usize, manner: Manner) -> Result<()> {
    let cids = generate::cids(car)?;
    let begun = Instant::now();
    let dials = thread::scope(|scope| {
        let clients: Vec<_> = (0..count).map(|_| scope.spawn(|| client(addr, &cids, manner))).collect();
        clients.into_iter().try_fold(0, |dials, client| {
            Ok::<_, anyhow::Error>(dials + client.join().expect("a client that panics is a bug of it")?)
        })
    })?;
    println!("{dials} {}", begun.elapsed().as_secs_f64());
    Ok(())
}

/// One client; returns how often it dialled.
fn client(addr: &Multiaddr, cids: &[Cid], manner: Manner) -> Result<usize> {
    let identity = Keypair::generate_ed25519();
    let begun = Instant::now();
    let mut dials = 0;
    // The root is asked for first: it says where the others are. A server that lost its memory right then has to be told
    // again, which shows by a connection that brings nothing.
    let (root, mut rest) = (&cids[..1], cids[1..].to_vec());
    let mut has_root = false;
    while !has_root || !rest.is_empty() {
        ensure!(begun.elapsed() < manner.within, "{} blocks have not come within the time", rest.len());
        dials += 1;
        let before = rest.len();
        let recorder = Arc::new(Recorder::default());
        let fetched = connect(addr, &identity, &recorder, manner).and_then(|mut peer| {
            if !has_root {
                peer.fetch_checked(root, 1)?;
                has_root = true;
            }
            let fetched = peer.fetch_checked(&rest, manner.in_flight);
            let none = HashSet::new();
            let missing = peer.missing().unwrap_or(&none);
            rest.retain(|cid| missing.contains(cid));
            fetched
        });
        ensure!(!recorder.has_repeated(), Wrong("two frames were sealed under one counter".to_owned()));
        if let Err(error) = fetched {
            if error.is::<Wrong>() {
                return Err(error);
            }
            has_root &= rest.len() < before;
            eprintln!("connection {dials}: {error:#}; {} blocks are missing", rest.len());
            thread::sleep(PAUSE);
        }
    }
    Ok(dials)
}

fn connect(addr: &Multiaddr, identity: &Keypair, recorder: &Arc<Recorder>, manner: Manner) -> Result<Peer> {
    let mut pipe = Pipe::dial(addr)?;
    pipe.set_patience(manner.patience)?;
    if let Some(message) = manner.message {
        pipe.set_message(message);
    }
    let mut peer = Peer::dial_as(identity, recorder.clone(), pipe).context("no handshake")?;
    if let Some(frame) = manner.frame {
        peer.set_frame(frame);
    }
    Ok(peer)
}
