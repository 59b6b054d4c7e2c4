//! kubo, built from its Go module at the version that `interop/kubo/go.mod` names.

use std::path::PathBuf;

use anyhow::Result;

use super::go;
use crate::cache::Cache;

/// Builds `ipfs` (two or three minutes the first time, then a second) and returns its path.
pub(crate) fn ensure(cache: &Cache) -> Result<PathBuf> {
    go::build(cache, "kubo", "github.com/ipfs/kubo/cmd/ipfs", "ipfs")
}
