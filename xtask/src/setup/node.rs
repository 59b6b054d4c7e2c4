//! Node, new enough for helia and wrangler, and packages as the `package-lock.json` of a folder in `interop/` pins them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::{
    cache::Cache,
    shell::{self, root},
};

/// The oldest Node that libp2p 3 and helia 7 run on.
const MAJOR: u32 = 22;

/// The scripts of a folder in `interop/`, where their packages are installed.
#[derive(Debug)]
pub(crate) struct Scripts {
    node: PathBuf,
    folder: PathBuf,
}

impl Scripts {
    /// A command that runs one of the scripts.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.folder.join(name));
        command
    }

    /// A command that runs the program of one of the packages.
    pub(crate) fn program(&self, name: &str) -> Command {
        self.script(&format!("node_modules/.bin/{name}"))
    }
}

/// Installs the packages of `interop/NAME` (some 40 s the first time) and brings the scripts up to date.
///
/// The packages are installed beside copies of the scripts, in the cache, so that a fresh checkout finds them there.
pub(crate) fn ensure_scripts(cache: &Cache, name: &str) -> Result<Scripts> {
    let node = ensure(cache)?;
    let source = root().join("interop").join(name);
    let lock = fs::read(source.join("package-lock.json"))?;
    let version = u64::from_be_bytes(first_eight(&Sha256::digest(&lock)));
    let folder = cache.folder(format!("{name}-{version:016x}"))?;
    for entry in fs::read_dir(&source)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
    }
    // npm writes this file last.
    if !folder.join("node_modules/.package-lock.json").exists() {
        shell::run(npm(&node)?.arg("ci").current_dir(&folder))?;
    }
    Ok(Scripts { node, folder })
}

/// Finds a Node that is new enough, or installs one from its npm package into the cache.
pub(crate) fn ensure(cache: &Cache) -> Result<PathBuf> {
    if let Some(node) = shell::find("node")
        && major(&node).is_some_and(|major| major >= MAJOR)
    {
        return Ok(node);
    }
    let folder = cache.folder("node")?;
    let node = folder.join("node_modules/node/bin/node");
    if major(&node) != Some(MAJOR) {
        ensure!(shell::has("npm"), "interop needs Node {MAJOR} or later, or npm to install it with");
        fs::write(folder.join("package.json"), "{\"private\":true}\n")?;
        // The package's own script links the binary of this platform.
        shell::run(
            Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--ignore-scripts=false"])
                .arg(format!("node@{MAJOR}"))
                .current_dir(&folder),
        )?;
        ensure!(major(&node) == Some(MAJOR), "npm installed no working Node {MAJOR} in {}", folder.display());
    }
    Ok(node)
}

fn major(node: &Path) -> Option<u32> {
    let version = shell::read(Command::new(node).arg("--version")).ok()?;
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// npm, run by the given Node.
fn npm(node: &Path) -> Result<Command> {
    let mut path = node.parent().context("a program is in a folder")?.as_os_str().to_owned();
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let mut npm = Command::new("npm");
    npm.env("PATH", path);
    Ok(npm)
}

fn first_eight(digest: &[u8]) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    bytes
}
