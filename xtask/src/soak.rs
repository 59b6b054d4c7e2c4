//! `cargo xtask soak`: the long runs, for a night rather than a push.
//!
//! A round is the property tests with many more cases, then all of interop, the long form of the Worker's tests, then every
//! fuzz target for a while. Rounds repeat until they are as many as asked for, or something fails.

use anyhow::Result;
use clap::Args;

use crate::{
    cache::Cache,
    interop,
    shell::{self, cargo, root},
    stages::Stages,
    worker,
};

/// How long to go on.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How many rounds.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Cases of each property test, a round.
    #[arg(long, default_value_t = 20_000)]
    cases: u32,
    /// Seconds for each fuzz target, a round; needs cargo-fuzz and a nightly toolchain.
    #[arg(long, default_value_t = 300)]
    fuzz_seconds: u32,
}

pub(crate) fn run(cache: &Cache, options: &Options) -> Result<()> {
    let fuzzers = fuzzers()?;
    let mut stages = Stages::default();
    for round in 1..=options.rounds {
        stages.step(&format!("round {round}: property tests"), || {
            shell::run(cargo().args(["test", "--workspace"]).env("PROPTEST_CASES", options.cases.to_string()))
        });
        interop::stages(cache, &interop::Selection::default(), &mut stages);
        stages.step(&format!("round {round}: the Worker when things are bad"), || worker::soak(cache));
        for target in &fuzzers {
            stages.step(&format!("round {round}: fuzz {target}"), || fuzz(target, options));
        }
    }
    stages.finish()
}

/// The fuzz targets, or none where there is nothing to run them with.
fn fuzzers() -> Result<Vec<String>> {
    if !shell::has("cargo-fuzz") {
        eprintln!("cargo-fuzz is not installed: no fuzzing");
        return Ok(Vec::new());
    }
    let listed = shell::read(cargo().args(["fuzz", "list"]))?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn fuzz(target: &str, options: &Options) -> Result<()> {
    // rustup's proxy, and not the toolchain's own cargo that runs us, knows what `+nightly` means.
    let seconds = format!("-max_total_time={}", options.fuzz_seconds);
    let mut command = std::process::Command::new("cargo");
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(root());
    shell::run(command.args(["+nightly", "fuzz", "run", target, "--", &seconds]))
}
