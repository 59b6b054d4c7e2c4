//! A load generator for Bitswap servers: makes CARs of raw blocks, fetches them over TCP and Noise, and holds idle
//! connections.
//!
//! It shares the wire and message code with the server, and does not hash what it gets: a client that checks every
//! block would be slower than the servers measured. It is no test: `cargo xtask test` checks what is right.

mod generate;
mod peer;

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use multiaddr::Multiaddr;

use crate::peer::Peer;

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
        /// The CAR to write.
        out: PathBuf,
    },
    /// Fetch every block of a CAR, in its order, and print the seconds it took and the bytes that came.
    Fetch {
        /// The server: /ip4/…/tcp/…
        addr: Multiaddr,
        /// The CAR whose blocks are wanted.
        #[arg(long)]
        car: PathBuf,
        /// Blocks wanted at a time.
        #[arg(long, default_value_t = 256)]
        in_flight: usize,
    },
    /// Open connections and hold them until stdin ends; prints a line when all are open.
    Idle {
        /// The server: /ip4/…/tcp/…
        addr: Multiaddr,
        /// Connections to hold.
        #[arg(long)]
        count: usize,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Generate { blocks, size, out } => generate::car(blocks, size, &out),
        Command::Fetch { addr, car, in_flight } => fetch(&addr, &car, in_flight),
        Command::Idle { addr, count } => idle(&addr, count),
    }
}

fn fetch(addr: &Multiaddr, car: &std::path::Path, in_flight: usize) -> Result<()> {
    let cids = generate::cids(car)?;
    let mut peer = Peer::dial(addr)?;
    let begun = Instant::now();
    let bytes = peer.fetch(&cids, in_flight)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{seconds} {bytes}");
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
