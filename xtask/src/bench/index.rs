//! `cargo xtask bench index`: what the block index costs, over synthetic CARs in a folder of the cache.
//!
//! All is measured by a program of its own, which counts what it asks of the store and what it allocates.

use std::process::{Command, Stdio};

use anyhow::Result;
use clap::Args;

use super::report;
use crate::{
    cache::Cache,
    shell::{self, cargo, root},
};

/// How it is measured.
#[derive(Args)]
pub(super) struct Options {
    /// Blocks to index. 10^8 take 3.5 GB of disk, and 11 while they are merged; they are kept for the next time.
    #[arg(long, default_value_t = 100_000_000)]
    entries: u64,
}

pub(super) fn run(cache: &Cache, options: &Options) -> Result<()> {
    shell::run(cargo().args([
        "build",
        "--release",
        "--package",
        "hoverboard-bench",
        "--bin",
        "hoverboard-bench-index",
    ]))?;
    let mut bench = Command::new(root().join("target/release/hoverboard-bench-index"));
    bench.args(["--entries", &options.entries.to_string(), "--folder"]).arg(cache.folder("bench-index")?);
    // How it goes on is told there.
    report::write("index", &shell::read(bench.stderr(Stdio::inherit()))?)
}
