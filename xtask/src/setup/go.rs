//! Programs out of Go modules, each built as `interop/NAME/go.mod` and `go.sum` pin it.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, ensure};

use crate::{
    cache::Cache,
    shell::{self, root},
};

/// Builds a package of the module in `interop/MODULE` to `bin/PROGRAM` in the cache, and returns that path.
///
/// Go keeps what it has compiled: the first time takes a minute or more, and every other one a second.
pub(super) fn build(cache: &Cache, module: &str, package: &str, program: &str) -> Result<PathBuf> {
    ensure!(shell::has("go"), "Go 1.26 or later has to be on the path, to build {module}");
    let program = cache.folder("bin")?.join(program);
    shell::run(
        Command::new("go")
            .current_dir(root().join("interop").join(module))
            .args(["build", "-mod=readonly", "-trimpath", "-o"])
            .arg(&program)
            .arg(package),
    )?;
    Ok(program)
}
