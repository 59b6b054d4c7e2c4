//! The programs that take part: ours and other people's, each set up and ready to run.

use std::{
    ffi::OsStr,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use super::process::{Daemon, bounded};
use crate::{cache::Cache, setup, setup::node::Scripts, shell, shell::cargo, shell::root};

const START: Duration = Duration::from_secs(60);
/// The first start of the Worker copies the data into its bucket.
const FIRST_START: Duration = Duration::from_secs(300);
/// helia takes a minute for a DAG that can only be fetched one block after the other.
const FETCH: Duration = Duration::from_secs(240);

/// Other people's programs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) ipfs: PathBuf,
    helia: Scripts,
    beetswap: PathBuf,
}

impl Programs {
    /// Builds and installs what is missing.
    pub(crate) fn ensure(cache: &Cache) -> Result<Self> {
        Ok(Self {
            ipfs: setup::kubo::ensure(cache)?,
            helia: setup::node::ensure_scripts(cache, "helia")?,
            beetswap: setup::beetswap::ensure(cache)?,
        })
    }

    /// helia fetches the DAG under a root from a peer.
    pub(crate) fn helia_fetch(&self, peer: &str, root: &str, out: &Path, scratch: &Path) -> Result<()> {
        let mut fetch = self.helia.script("fetch.mjs");
        bounded(fetch.arg(peer).arg(out).arg(root), FETCH, scratch)?;
        Ok(())
    }

    /// Begins what [`Self::helia_fetch`] does, and dials again when the connection ends before the fetch does.
    pub(crate) fn start_helia_fetch(&self, peer: &str, root: &str, out: &Path, scratch: &Path) -> Result<Daemon> {
        let mut fetch = self.helia.script("fetch.mjs");
        Daemon::spawn("helia-fetch", fetch.arg("--redial").arg(peer).arg(out).arg(root), scratch)
    }

    /// helia serves CARs over a WebSocket.
    pub(crate) fn helia_serve(&self, cars: &[PathBuf], scratch: &Path) -> Result<Served> {
        let mut serve = self.helia.script("serve.mjs");
        serve.arg("/ip4/127.0.0.1/tcp/0/ws").args(cars);
        Served::start("helia", &mut serve, scratch, 1)
    }

    /// beetswap fetches blocks by their CIDs from a peer.
    pub(crate) fn beetswap_fetch(&self, peer: &str, cids: &[String], out: &Path, scratch: &Path) -> Result<()> {
        let list = scratch.join("cids");
        fs::write(&list, cids.join("\n"))?;
        let mut fetch = Command::new(&self.beetswap);
        bounded(fetch.arg("fetch").arg(peer).arg(&list).arg(out), FETCH, scratch)?;
        Ok(())
    }

    /// beetswap serves CARs over TCP.
    pub(crate) fn beetswap_serve(&self, cars: &[PathBuf], scratch: &Path) -> Result<Served> {
        let mut serve = Command::new(&self.beetswap);
        serve.args(["serve", "/ip4/127.0.0.1/tcp/0"]).args(cars);
        Served::start("beetswap", &mut serve, scratch, 1)
    }
}

/// A program that serves blocks, until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) daemon: Daemon,
    pub(crate) addresses: Vec<String>,
}

impl Served {
    /// Starts a program that prints its multiaddrs on stdout, one a line, when it is ready.
    pub(crate) fn start(name: &str, command: &mut Command, scratch: &Path, addresses: usize) -> Result<Self> {
        Self::start_within(START, name, command, scratch, addresses)
    }

    fn start_within(
        time: Duration,
        name: &str,
        command: &mut Command,
        scratch: &Path,
        addresses: usize,
    ) -> Result<Self> {
        let mut daemon = Daemon::spawn(name, command, scratch)?;
        let addresses = daemon.wait_until(time, |printed| {
            let lines: Vec<_> = printed.lines().map(str::to_owned).collect();
            (lines.len() >= addresses).then_some(lines)
        })?;
        Ok(Self { daemon, addresses })
    }

    /// Its loopback address over plain TCP.
    pub(crate) fn tcp(&self) -> Result<&str> {
        self.address("TCP", |address| !address.contains("/ws"))
    }

    /// Its loopback address over a WebSocket.
    pub(crate) fn ws(&self) -> Result<&str> {
        self.address("WebSocket", |address| address.contains("/ws/"))
    }

    fn address(&self, transport: &str, good: impl Fn(&str) -> bool) -> Result<&str> {
        let mut addresses = self.addresses.iter().map(String::as_str);
        addresses
            .find(|address| address.starts_with("/ip4/127.0.0.1/tcp/") && good(address))
            .with_context(|| format!("no {transport} address in {:?}", self.addresses))
    }
}

/// The Worker in workerd on this machine, with `data` in its bucket, which is kept from one start to the next.
pub(crate) fn serve_worker(
    mode: &str,
    data: &[PathBuf],
    variables: &[&str],
    kept: &Path,
    scratch: &Path,
) -> Result<Served> {
    let port = free_port()?.to_string();
    let mut dev = Command::new(std::env::current_exe()?);
    dev.args(["worker", "dev", "--no-build", "--mode", mode, "--port", &port, "--state"]).arg(kept);
    dev.args(data.iter().flat_map(|car| [OsStr::new("--cars"), car.as_os_str()]));
    dev.args(variables.iter().flat_map(|variable| ["--var", variable]));
    Served::start_within(FIRST_START, "worker", &mut dev, scratch, 1)
}

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The program under test.
#[derive(Debug)]
pub(crate) struct Hoverboard(PathBuf);

impl Hoverboard {
    /// Builds it as it is released.
    pub(crate) fn build() -> Result<Self> {
        shell::run(cargo().args(["build", "--release", "--package", "hoverboard"]))?;
        Ok(Self::built())
    }

    /// As it was built last.
    pub(crate) fn built() -> Self {
        Self(root().join("target/release/hoverboard"))
    }

    /// A command with a state folder in `scratch`, and no setting from outside.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOVERBOARD_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Serves files and folders over TCP and over a WebSocket on free ports.
    pub(crate) fn serve(&self, paths: &[PathBuf], extra: &[&str], scratch: &Path) -> Result<Served> {
        self.serve_at(&["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"], paths, extra, scratch)
    }

    /// Serves files and folders at these addresses, under the same identity every time.
    pub(crate) fn serve_at(
        &self,
        listen: &[&str],
        paths: &[PathBuf],
        extra: &[&str],
        scratch: &Path,
    ) -> Result<Served> {
        let mut command = self.command(&["serve", "--admin", "127.0.0.1:0"]);
        command.args(listen.iter().flat_map(|address| ["--listen", address]));
        command.arg("--state").arg(scratch.join("state")).args(extra).args(paths);
        Served::start("hoverboard", &mut command, scratch, listen.len())
    }

    /// Puts CARs into a store.
    pub(crate) fn import(&self, cars: &[PathBuf], store: &Path, scratch: &Path) -> Result<()> {
        let mut command = self.command(&["import", "--to"]);
        bounded(command.arg(store).args(cars), FETCH, scratch)?;
        Ok(())
    }

    /// Fetches a DAG from a peer.
    pub(crate) fn get(&self, root: &str, peer: &str, out: &Path, scratch: &Path) -> Result<()> {
        let mut command = self.command(&["get", root, "--from", peer, "-o"]);
        bounded(command.arg(out), FETCH, scratch)?;
        Ok(())
    }
}
