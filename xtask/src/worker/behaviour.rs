//! What the Worker does when things are bad: the tests of `interop/worker`, in workerd, under a shim.

use std::path::Path;

use anyhow::Result;

use super::build::Built;
use crate::{
    cache::Cache,
    setup,
    shell::{self, cargo, root},
};

/// The tests. Each is a script that says itself what it shows.
const TESTS: [&str; 14] = [
    "hibernate.mjs",
    "frozen.mjs",
    "reset.mjs",
    "memory.mjs",
    "neighbours.mjs",
    "nonces.mjs",
    "bad-reads.mjs",
    "broken.mjs",
    "budget.mjs",
    "frames.mjs",
    "deny.mjs",
    "indexer.mjs",
    "kv.mjs",
    "unread.mjs",
];

/// How long they may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As long as one waits for a check.
    Short,
    /// As long as it takes.
    Long,
}

/// Runs all of them.
pub(super) fn run(cache: &Cache, built: &Built, form: Form) -> Result<()> {
    shell::run(cargo().args(["build", "--release", "--package", "hoverboard", "--package", "hoverboard-bench"]))?;
    let programs = root().join("target/release");
    let ipfs = setup::kubo::ensure(cache)?;
    for test in TESTS {
        one(test, built, &programs, &ipfs, form)?;
    }
    Ok(())
}

fn one(test: &str, built: &Built, programs: &Path, ipfs: &Path, form: Form) -> Result<()> {
    let mut script = built.tools().script(test);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOVERBOARD_") {
            script.env_remove(name);
        }
    }
    script
        .env("TRIAL_WORKER", built.folder())
        .env("TRIAL_HOVERBOARD", programs.join("hoverboard"))
        .env("TRIAL_BENCH", programs.join("hoverboard-bench"))
        .env("TRIAL_IPFS", ipfs)
        .env("TRIAL_LONG", if form == Form::Long { "1" } else { "0" });
    shell::run(&mut script)
}
