//! `cargo xtask worker`: the Worker, built for the platform or run on this machine. Deploying is wrangler's part.

mod behaviour;
mod build;
mod dev;

use anyhow::{Result, ensure};
use clap::Subcommand;

use crate::{cache::Cache, shell};

use self::behaviour::Form;
use self::build::Build;

/// The largest module that is taken, in bytes as the platform compresses it.
const MAX_COMPRESSED: u64 = 1_000_000;

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Make what `wrangler deploy` takes, in target/worker/dist.
    Build,
    /// Run it in workerd, with local R2, KV and Durable Objects; prints its multiaddr when it is ready.
    Dev(dev::Options),
}

pub(crate) fn run(cache: &Cache, task: Task) -> Result<()> {
    match task {
        Task::Build => {
            let built = build::build(cache, Build::Deployment)?;
            let size = built.compressed()?;
            eprintln!(
                "{}: {} KB of wasm, {} KB compressed",
                built.folder().display(),
                built.size()? / 1_000,
                size / 1_000
            );
            Ok(())
        }
        Task::Dev(options) => dev::run(cache, &options),
    }
}

/// Builds what is deployed, for who runs it with `--no-build`.
pub(crate) fn build(cache: &Cache) -> Result<()> {
    build::build(cache, Build::Deployment).map(drop)
}

/// What CI asks of the Worker: it builds, it is small enough, wrangler would deploy it, the store's suite passes over R2, and
/// it does what it should when things are bad.
pub(crate) fn test(cache: &Cache) -> Result<()> {
    let built = build::build(cache, Build::Deployment)?;
    let size = built.compressed()?;
    ensure!(size <= MAX_COMPRESSED, "the module is {size} bytes compressed; {MAX_COMPRESSED} are allowed");
    let mut wrangler = built.tools().wrangler(built.folder());
    shell::run(wrangler.args(["deploy", "--dry-run", "--outdir", "../dry-run"]))?;
    let trials = build::build(cache, Build::Trials)?;
    shell::run(trials.tools().script("suite.mjs").arg(trials.folder()))?;
    behaviour::run(cache, &built, Form::Short)
}

/// The long form of what [`test`] asks of the Worker when things are bad.
pub(crate) fn soak(cache: &Cache) -> Result<()> {
    behaviour::run(cache, &build::build(cache, Build::Deployment)?, Form::Long)
}
