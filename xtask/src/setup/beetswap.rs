//! The rust-libp2p peer of `interop/beetswap`, built with a lockfile of its own.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    cache::Cache,
    shell::{self, cargo},
};

/// Builds the peer (some minutes the first time) and returns its path.
pub(crate) fn ensure(cache: &Cache) -> Result<PathBuf> {
    let target = cache.folder("beetswap")?;
    shell::run(
        cargo()
            .args(["build", "--locked", "--manifest-path", "interop/beetswap/Cargo.toml"])
            .env("CARGO_TARGET_DIR", &target),
    )?;
    Ok(target.join("debug/hoverboard-interop-beetswap"))
}
