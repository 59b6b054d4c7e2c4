//! Versity's S3 gateway: a real S3 server over a folder, built at the version that `interop/versitygw/go.mod` names.
//!
//! How the tests start it is in `interop/README.md`.

use std::path::PathBuf;

use anyhow::Result;

use super::go;
use crate::cache::Cache;

/// Builds `versitygw` (a minute the first time, then a second) and returns its path.
pub(crate) fn ensure(cache: &Cache) -> Result<PathBuf> {
    go::build(cache, "versitygw", "github.com/versity/versitygw/cmd/versitygw", "versitygw")
}
