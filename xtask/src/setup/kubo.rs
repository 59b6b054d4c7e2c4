//! kubo, built from its Go module at the version that `interop/kubo/go.mod` names.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, ensure};

use crate::{
    cache::Cache,
    shell::{self, root},
};

const PROGRAM: &str = "github.com/ipfs/kubo/cmd/ipfs";

/// Builds `ipfs` (two or three minutes the first time, then a second) and returns its path.
pub(crate) fn ensure(cache: &Cache) -> Result<PathBuf> {
    ensure!(shell::has("go"), "interop needs Go 1.26 or later on the path, to build kubo");
    let program = cache.folder("bin")?.join("ipfs");
    shell::run(
        Command::new("go")
            .current_dir(root().join("interop/kubo"))
            .args(["build", "-mod=readonly", "-trimpath", "-o"])
            .arg(&program)
            .arg(PROGRAM),
    )?;
    Ok(program)
}
