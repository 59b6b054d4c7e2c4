//! promtool, which says whether the metrics are what Prometheus expects, out of Debian's package.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Result, ensure};

use crate::{cache::Cache, shell};

/// Finds promtool on the path, or unpacks it from Debian's package into the cache. `None` on a machine that has neither.
pub(crate) fn ensure(cache: &Cache) -> Result<Option<PathBuf>> {
    if let Some(found) = shell::find("promtool") {
        return Ok(Some(found));
    }
    let program = cache.join("promtool/usr/bin/promtool");
    if program.exists() {
        return Ok(Some(program));
    }
    if !["apt-get", "dpkg-deb"].into_iter().all(shell::has) {
        eprintln!("no promtool, and no Debian to get it from: the metrics are not checked with it");
        return Ok(None);
    }
    let downloads = cache.fresh_folder("promtool/packages")?;
    let download =
        || shell::run(Command::new("apt-get").args(["--quiet", "download", "prometheus"]).current_dir(&downloads));
    if download().is_err() {
        // A bare machine has no package lists yet.
        shell::run(Command::new("apt-get").args(["--quiet", "update"]))?;
        download()?;
    }
    for package in fs::read_dir(&downloads)? {
        shell::run(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(cache.join("promtool")))?;
    }
    fs::remove_dir_all(&downloads)?;
    ensure!(program.exists(), "Debian's package prometheus has no promtool");
    Ok(Some(program))
}
