//! A load generator for Bitswap servers: makes CARs of raw blocks, fetches them over TCP or WebSocket and
//! Noise, and holds idle connections.
//!
//! It shares the wire and message code with the server, and does not hash what it gets: a client that checks every
//! block would be slower than the servers measured. It is no test: `cargo xtask test` checks what is right.

mod generate;
mod peer;
mod persist;
mod pipe;
mod recorder;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use multiaddr::Multiaddr;

use crate::peer::Peer;
use crate::persist::Manner;
use crate::pipe::Pipe;

#[derive(Parser)]
#[command(name = "hoverboard-bench", about = "Load for a Bitswap server")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a CAR of raw blocks of random bytes.
    Generate {
        /// Blocks in the CAR.
        #[arg(long)]
        blocks: u64,
        /// Bytes a block.
        #[arg(long)]
        size: usize,
        /// Bytes of a block that nobody wants, behind each of them.
        #[arg(long, default_value_t = 0)]
        filler: usize,
        /// The CAR to write.
        out: PathBuf,
    },
    /// Fetch every block of a CAR, the first one first, and print the seconds it took and the bytes that came.
    Fetch {
        /// The server: /ip4/…/tcp/… or /ip4/…/tcp/…/ws
        addr: Multiaddr,
        /// The CAR whose blocks are wanted.
        #[arg(long)]
        car: PathBuf,
        /// Blocks wanted at a time.
        #[arg(long, default_value_t = 256)]
        in_flight: usize,
        /// Fetch in an order that has nothing to do with that of the CAR.
        #[arg(long)]
        shuffle: bool,
    },
    /// Fetch from many connections, a few blocks each and all of them checked, round after round: the root first, then
    /// others. Prints a line after each round and waits for one on stdin.
    Rounds {
        /// The server: /ip4/…/tcp/… or /ip4/…/tcp/…/ws
        addr: Multiaddr,
        /// The CAR whose blocks are wanted.
        #[arg(long)]
        car: PathBuf,
        /// Connections.
        #[arg(long, default_value_t = 100)]
        count: usize,
        /// Rounds after the first.
        #[arg(long, default_value_t = 2)]
        rounds: usize,
        /// Blocks a connection and round.
        #[arg(long, default_value_t = 20)]
        blocks: usize,
    },
    /// Fetch every block of a CAR, checked, from clients that dial again under the same identity whenever they are cut off,
    /// and go on. Prints how often they dialled and the seconds it took. Fails if the server says anything wrong, or seals two
    /// frames under one counter.
    Persist {
        /// The server: /ip4/…/tcp/… or /ip4/…/tcp/…/ws
        addr: Multiaddr,
        /// The CAR whose blocks are wanted.
        #[arg(long)]
        car: PathBuf,
        /// Clients side by side.
        #[arg(long, default_value_t = 1)]
        count: usize,
        /// Blocks wanted at a time.
        #[arg(long, default_value_t = 64)]
        in_flight: usize,
        /// Wants in a Noise frame at most: many frames to a WebSocket message.
        #[arg(long)]
        frame: Option<usize>,
        /// Bytes of a WebSocket message at most: parts of Noise frames.
        #[arg(long)]
        message: Option<usize>,
        /// Seconds without anything after which a client dials again.
        #[arg(long, default_value_t = 5)]
        patience: u64,
        /// Seconds within which all must have come.
        #[arg(long, default_value_t = 60)]
        within: u64,
    },
    /// Ask for every block of a CAR from many connections, read some, by which the windows have grown to MiBs, ask for the
    /// others, and never read again; prints a line when all have asked, and waits until stdin ends.
    Unread {
        /// The server: /ip4/…/tcp/… or /ip4/…/tcp/…/ws
        addr: Multiaddr,
        /// The CAR whose blocks are wanted.
        #[arg(long)]
        car: PathBuf,
        /// Connections.
        #[arg(long, default_value_t = 50)]
        count: usize,
        /// Blocks that each reads.
        #[arg(long, default_value_t = 128)]
        read: usize,
    },
    /// Take bytes from a WebSocket on which no protocol is spoken, and print the seconds it took and the bytes that came.
    Drain {
        /// The server: /ip4/…/tcp/…/ws
        addr: Multiaddr,
        /// Bytes after which it is enough.
        #[arg(long)]
        bytes: u64,
    },
    /// Open connections and hold them until stdin ends; prints a line when all are open.
    Idle {
        /// The server: /ip4/…/tcp/… or /ip4/…/tcp/…/ws
        addr: Multiaddr,
        /// Connections to hold.
        #[arg(long)]
        count: usize,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Generate { blocks, size, filler, out } => generate::car(blocks, size, filler, &out),
        Command::Fetch { addr, car, in_flight, shuffle } => fetch(&addr, &car, in_flight, shuffle),
        Command::Rounds { addr, car, count, rounds, blocks } => self::rounds(&addr, &car, count, rounds, blocks),
        Command::Persist { addr, car, count, in_flight, frame, message, patience, within } => {
            let [patience, within] = [patience, within].map(Duration::from_secs);
            persist::run(&addr, &car, count, Manner { in_flight, frame, message, patience, within })
        }
        Command::Unread { addr, car, count, read } => unread(&addr, &car, count, read),
        Command::Drain { addr, bytes } => drain(&addr, bytes),
        Command::Idle { addr, count } => idle(&addr, count),
    }
}

fn fetch(addr: &Multiaddr, car: &Path, in_flight: usize, shuffle: bool) -> Result<()> {
    let mut cids = generate::cids(car)?;
    if shuffle && let Some((_root, others)) = cids.split_first_mut() {
        // Digests are as good as random, and the same in every run.
        others.sort_unstable();
    }
    let mut peer = Peer::dial(addr)?;
    let begun = Instant::now();
    // Nothing but the root is to be found in a bucket by its name alone.
    let (root, others) = cids.split_at(1);
    let bytes = peer.fetch(root, 1)? + peer.fetch(others, in_flight)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{seconds} {bytes}");
    Ok(())
}

fn drain(addr: &Multiaddr, bytes: u64) -> Result<()> {
    let mut pipe = Pipe::dial(addr)?;
    let begun = Instant::now();
    let mut came = 0;
    while came < bytes {
        came += pipe.read()?.len() as u64;
    }
    println!("{} {came}", begun.elapsed().as_secs_f64());
    Ok(())
}

fn rounds(addr: &Multiaddr, car: &Path, count: usize, rounds: usize, blocks: usize) -> Result<()> {
    let cids = generate::cids(car)?;
    let (root, others) = cids.split_at(1);
    ensure!(others.len() >= blocks, "the CAR has too few blocks");
    let mut peers =
        (0..count).map(|n| Peer::dial(addr).with_context(|| format!("connection {n}"))).collect::<Result<Vec<_>>>()?;
    let mut lines = std::io::stdin().lines();
    for round in 0..=rounds {
        for (n, peer) in peers.iter_mut().enumerate() {
            let from = (n * 7 + round * 31) * blocks % (others.len() - blocks + 1);
            let wanted = if round == 0 { root } else { &others[from..from + blocks] };
            peer.fetch_checked(wanted, blocks).with_context(|| format!("round {round}, connection {n}"))?;
        }
        println!("round {round}");
        lines.next().transpose()?;
    }
    Ok(())
}

fn unread(addr: &Multiaddr, car: &Path, count: usize, read: usize) -> Result<()> {
    let cids = generate::cids(car)?;
    let (root, others) = cids.split_at(1);
    let (first, others) = others.split_at(read.min(others.len()));
    let mut peers = Vec::new();
    for n in 0..count {
        let mut peer = Peer::dial(addr).with_context(|| format!("connection {n}"))?;
        peer.fetch(root, 1)?;
        peer.fetch(first, first.len())?;
        peer.ask(others)?;
        peers.push(peer);
    }
    println!("asked");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(peers);
    Ok(())
}

fn idle(addr: &Multiaddr, count: usize) -> Result<()> {
    let peers: Vec<Peer> =
        (0..count).map(|n| Peer::dial(addr).with_context(|| format!("connection {n}"))).collect::<Result<_>>()?;
    ensure!(peers.len() == count, "connections are missing");
    println!("open");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
