//! promtool, which says whether the metrics are what Prometheus expects, out of Debian's package.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::debian;
use crate::{cache::Cache, shell};

/// Debian's package that has it.
const PACKAGE: &str = "prometheus";

/// Finds promtool on the path, or unpacks it from Debian's package into the cache. `None` on a machine that has neither.
pub(crate) fn ensure(cache: &Cache) -> Result<Option<PathBuf>> {
    if let Some(found) = shell::find("promtool") {
        return Ok(Some(found));
    }
    let folder = cache.folder("promtool")?;
    let program = folder.join("usr/bin/promtool");
    if program.exists() {
        return Ok(Some(program));
    }
    if debian::candidate(PACKAGE)?.is_none() {
        eprintln!("no promtool, and no Debian to get it from: the metrics are not checked with it");
        return Ok(None);
    }
    debian::unpack(&[PACKAGE], &folder)?;
    ensure!(program.exists(), "Debian's package {PACKAGE} has no promtool");
    Ok(Some(program))
}
