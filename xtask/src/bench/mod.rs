//! `cargo xtask bench`: measurements, written into `bench/README.md` with the command that makes them.
//!
//! Machines are noisy, so what counts are ratios of figures taken in turn in one run. Nothing here is a check: that
//! the blocks are right is for the tests.

mod index;
mod kubo;
mod process;
mod report;
mod worker;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cache::Cache;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Against kubo, on the same blocks in the page cache, over TCP and Noise.
    Kubo {
        /// How often each is measured; the medians are reported.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// The Worker in workerd, against what the platform itself costs.
    Worker(worker::Options),
    /// The block index: reads, bytes, memory, and R2's bill.
    Index(index::Options),
}

pub(crate) fn run(cache: &Cache, options: &Options) -> Result<()> {
    match &options.what {
        What::Kubo { rounds } => kubo::run(cache, *rounds.max(&1)),
        What::Worker(options) => worker::run(cache, options),
        What::Index(options) => index::run(cache, options),
    }
}
