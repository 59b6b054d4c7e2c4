//! `cargo xtask`: the one door for developers.
//!
//! Every check that CI makes, every program that the checks need, every measurement and every long run is a
//! subcommand here, and runs the same on a laptop as in CI. It is not part of the product.

mod bench;
mod cache;
mod checks;
mod interop;
mod setup;
mod shell;
mod soak;
mod stages;
mod test;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{cache::Cache, interop::Selection};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Hoverboard's developer tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything CI checks: format, lints, the dependency graph, tests, wasm, fuzz targets, interop.
    Test {
        /// Only the stages whose names contain one of these words.
        only: Vec<String>,
    },
    /// Other people's programs against ours, both ways.
    Interop(Selection),
    /// Measurements, written into bench/README.md.
    Bench(bench::Options),
    /// The Worker: built for the platform, or run on this machine.
    #[command(subcommand)]
    Worker(worker::Task),
    /// The long runs: property tests, interop and fuzzers, round after round.
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let outcome = Cache::locate().and_then(|cache| match Cli::parse().task {
        Task::Test { only } => test::run(&cache, &only),
        Task::Interop(selection) => interop::run(&cache, &selection),
        Task::Bench(options) => bench::run(&cache, &options),
        Task::Worker(task) => worker::run(&cache, task),
        Task::Soak(options) => soak::run(&cache, &options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
