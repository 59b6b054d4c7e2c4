//! kubo: a repository of its own, cut off from the world, and the commands that a person would type.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::process::{Daemon, bounded, bounded_to};

const START: Duration = Duration::from_secs(60);
/// The longest that one command may take: the largest fetch takes a few seconds.
const COMMAND: Duration = Duration::from_secs(120);

/// What kind of key a node's identity is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Identity {
    Ed25519,
    Rsa,
}

/// Which addresses a node takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ports {
    /// Free ones on loopback, TCP and WebSocket.
    Free,
    /// Those of a fresh installation: 4001, 5001, 8080.
    Default,
}

/// A repository, with nothing running over it.
#[derive(Debug)]
pub(crate) struct Repo {
    program: PathBuf,
    folder: PathBuf,
}

impl Repo {
    /// Makes an empty repository in `parent/name`.
    pub(crate) fn init(program: &Path, parent: &Path, name: &str, identity: Identity, ports: Ports) -> Result<Self> {
        let folder = parent.join(name);
        fs::create_dir_all(&folder)?;
        let repo = Self { program: program.to_owned(), folder };
        let algorithm = match identity {
            Identity::Ed25519 => "ed25519",
            Identity::Rsa => "rsa",
        };
        let mut init = vec!["init", "--empty-repo", "--algorithm", algorithm];
        if matches!(ports, Ports::Free) {
            init.push("--profile=test");
        }
        repo.read(&init)?;
        repo.configure(ports)?;
        Ok(repo)
    }

    /// No routing, no discovery, no relay, no fetches over HTTP, nobody dropped: what arrives came from whom we dialled.
    fn configure(&self, ports: Ports) -> Result<()> {
        let path = self.folder.join("config");
        let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
        for (pointer, value) in [
            ("Bootstrap", json!([])),
            ("Routing/Type", json!("none")),
            ("AutoConf/Enabled", json!(false)),
            ("AutoTLS/Enabled", json!(false)),
            ("Discovery/MDNS/Enabled", json!(false)),
            ("DNS/Resolvers", json!({})),
            ("HTTPRetrieval/Enabled", json!(false)),
            ("Provide/Enabled", json!(false)),
            ("Swarm/ConnMgr/Type", json!("none")),
            ("Swarm/DisableNatPortMap", json!(true)),
            ("Swarm/EnableHolePunching", json!(false)),
            ("Swarm/RelayClient/Enabled", json!(false)),
            ("Swarm/RelayService/Enabled", json!(false)),
            ("Version/SwarmCheckEnabled", json!(false)),
        ] {
            set(&mut config, pointer, value);
        }
        if matches!(ports, Ports::Free) {
            let swarm = json!(["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"]);
            set(&mut config, "Addresses/Swarm", swarm);
            set(&mut config, "Addresses/API", json!("/ip4/127.0.0.1/tcp/0"));
            set(&mut config, "Addresses/Gateway", json!([]));
        }
        // The test data is made again if it is lost: no fsync a block.
        if let Some(mounts) = config.pointer_mut("/Datastore/Spec/mounts").and_then(Value::as_array_mut) {
            for mount in mounts.iter_mut().filter(|mount| mount.get("sync").is_some()) {
                set(mount, "sync", json!(false));
            }
        }
        fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
        Ok(())
    }

    /// Changes one setting. It counts from the next command or start on.
    pub(crate) fn set(&self, pointer: &str, value: Value) -> Result<()> {
        let path = self.folder.join("config");
        let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
        set(&mut config, pointer, value);
        fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
        Ok(())
    }

    /// Runs `ipfs` on this repository and returns what it printed.
    pub(crate) fn read(&self, arguments: &[&str]) -> Result<String> {
        bounded(&mut self.command(arguments), COMMAND, &self.folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("IPFS_PATH", &self.folder);
        // A developer's own settings are not the test's.
        command.env_remove("IPFS_API_AUTH").env_remove("GOLOG_LOG_LEVEL");
        command
    }

    /// Adds the blocks of a CAR.
    pub(crate) fn import(&self, car: &Path) -> Result<()> {
        let car = car.to_str().context("a path that is not UTF-8")?;
        self.read(&["dag", "import", "--pin-roots=false", "--allow-big-block", car])?;
        Ok(())
    }

    /// Writes the DAG under a root to a CAR, fetching what is not here.
    pub(crate) fn export(&self, root: &str, out: &Path) -> Result<()> {
        let mut command = self.command(&["dag", "export", "--progress=false", root]);
        bounded_to(&mut command, COMMAND, &self.folder, out)
    }

    /// Writes the bytes of a file to a file.
    pub(crate) fn cat(&self, root: &str, out: &Path) -> Result<()> {
        bounded_to(&mut self.command(&["cat", "--progress=false", root]), COMMAND, &self.folder, out)
    }

    /// Writes the bytes of one block to a file.
    pub(crate) fn block(&self, cid: &str, out: &Path) -> Result<()> {
        bounded_to(&mut self.command(&["block", "get", cid]), COMMAND, &self.folder, out)
    }

    /// How many blocks are here. kubo keeps each in a file of its own.
    pub(crate) fn stored_blocks(&self) -> Result<usize> {
        let mut count = 0;
        for shard in fs::read_dir(self.folder.join("blocks"))? {
            let shard = shard?;
            if shard.file_type()?.is_dir() {
                let files = fs::read_dir(shard.path())?.flatten();
                count += files.filter(|file| file.path().extension().is_some_and(|name| name == "data")).count();
            }
        }
        Ok(count)
    }

    /// Starts the daemon.
    pub(crate) fn start(self) -> Result<Kubo> {
        let mut command = self.command(&["daemon", "--migrate=false"]);
        let mut daemon = Daemon::spawn("kubo", &mut command, &self.folder)?;
        daemon.wait_until(START, |printed| printed.contains("Daemon is ready").then_some(()))?;
        Ok(Kubo { repo: self, daemon })
    }
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Kubo {
    pub(crate) repo: Repo,
    daemon: Daemon,
}

impl Kubo {
    /// Connects to a peer.
    pub(crate) fn connect(&self, address: &str) -> Result<()> {
        self.repo.read(&["swarm", "connect", address])?;
        Ok(())
    }

    /// Fetches the DAG under a root with many wants at once, and keeps it.
    pub(crate) fn pin(&self, root: &str) -> Result<()> {
        self.repo.read(&["pin", "add", "--progress=false", root])?;
        Ok(())
    }

    /// Begins what [`Self::pin`] does.
    pub(crate) fn start_pin(&self, root: &str) -> Result<Daemon> {
        let mut pin = self.repo.command(&["pin", "add", "--progress=false", root]);
        Daemon::spawn("pin", &mut pin, &self.repo.folder)
    }

    /// The addresses it listens on, with `/p2p/`.
    pub(crate) fn addresses(&self) -> Result<Vec<String>> {
        let printed = self.repo.read(&["id", "--format=<addrs>\n"])?;
        Ok(printed.lines().map(str::to_owned).collect())
    }

    /// The daemon, to see that it lives.
    pub(crate) fn into_daemon(self) -> Daemon {
        self.daemon
    }
}

/// Sets a value at a `/`-separated path, making the objects on the way.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let mut place = config;
    for key in pointer.split('/') {
        place = &mut place[key];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_makes_the_objects_on_the_way() {
        let mut config = json!({"Swarm": {"a": 1}});
        set(&mut config, "Swarm/ConnMgr/Type", json!("none"));
        assert_eq!(config, json!({"Swarm": {"a": 1, "ConnMgr": {"Type": "none"}}}));
    }
}
