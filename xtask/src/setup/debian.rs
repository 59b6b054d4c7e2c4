//! Files out of Debian's packages, unpacked into the cache: nothing is installed.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use crate::shell;

/// The version of a package that apt would install. `None` where there is no Debian, or none that has it.
pub(super) fn candidate(package: &str) -> Result<Option<String>> {
    if !["apt-get", "apt-cache", "dpkg-deb"].into_iter().all(shell::has) {
        return Ok(None);
    }
    let known = listed(package)?;
    // A bare machine has no package lists yet. One that cannot get any is as good as no Debian.
    if known.is_some() || update().is_err() {
        return Ok(known);
    }
    listed(package)
}

/// Downloads packages, each `NAME` or `NAME=VERSION`, and unpacks them into a folder.
pub(super) fn unpack(packages: &[&str], prefix: &Path) -> Result<()> {
    let downloads = prefix.join("packages");
    if downloads.exists() {
        fs::remove_dir_all(&downloads)?;
    }
    fs::create_dir_all(&downloads)?;
    let download =
        || shell::run(Command::new("apt-get").args(["--quiet", "download"]).args(packages).current_dir(&downloads));
    if download().is_err() {
        // Lists that are older than a package's last update name a file that is gone.
        update()?;
        download()?;
    }
    for package in fs::read_dir(&downloads)? {
        shell::run(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(prefix))?;
    }
    fs::remove_dir_all(&downloads)?;
    Ok(())
}

/// Brings the package lists up to date, which on most machines is for root alone.
fn update() -> Result<()> {
    shell::run(Command::new("apt-get").args(["--quiet", "update"]))
}

fn listed(package: &str) -> Result<Option<String>> {
    let policy = shell::read(Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C"))?;
    Ok(version(&policy).map(str::to_owned))
}

/// Reads what `apt-cache policy` says of one package.
fn version(policy: &str) -> Option<&str> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"));
    version.map(str::trim).filter(|version| *version != "(none)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_cannot_be_installed_has_no_version() {
        let policy = |candidate: &str| format!("prometheus:\n  Installed: (none)\n  Candidate: {candidate}\n");
        assert_eq!(version(&policy("2.42.0+ds-5+b5")), Some("2.42.0+ds-5+b5"));
        assert_eq!(version(&policy("(none)")), None);
        assert_eq!(version(""), None);
    }
}
