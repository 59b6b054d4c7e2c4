//! What is measured: the Worker as it is, the Worker with counters in it, and the floor. Each is a Node process, whose
//! child workerd does the work.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::super::process::{child, cpu_seconds_now};
use crate::{
    cache::Cache,
    interop::{
        process::Daemon,
        programs::{Hoverboard, free_port, serve_worker},
    },
    setup::worker::Tools,
    shell::{self, root},
};

const START: Duration = Duration::from_secs(60);

const END: Duration = Duration::from_secs(10);

/// What follows the last byte, such as a closed connection, takes no longer.
const SETTLE: Duration = Duration::from_millis(300);

const SERVER: &str = "workerd";

/// A bucket with data in it, and the state of the Workers over it.
pub(super) struct Place {
    folder: PathBuf,
    /// The secret of another peer than that of the tests.
    identity: Option<String>,
}

impl Place {
    /// Puts CARs into the local R2 of a folder, if they are not there.
    pub(super) fn fill(
        folder: PathBuf,
        cars: &[PathBuf],
        hoverboard: &Hoverboard,
        tools: &Tools,
        scratch: &Path,
    ) -> Result<Self> {
        let bucket = folder.join("bucket");
        fs::create_dir_all(&bucket)?;
        hoverboard.import(cars, &bucket, scratch)?;
        shell::run(tools.script("fill.mjs").arg(&folder).arg(&bucket))?;
        Ok(Self { folder, identity: None })
    }

    /// Gives its Worker a peer id of its own.
    pub(super) fn own_identity(&mut self, hoverboard: &Hoverboard) -> Result<()> {
        let mut id = hoverboard.command(&["id", "--worker", "--state"]);
        self.identity = Some(shell::read(id.arg(self.folder.join("identity")))?.trim().to_owned());
        Ok(())
    }

    /// The key of the CAR in the bucket that is as long as this one.
    pub(super) fn key_of(&self, car: &Path) -> Result<String> {
        let length = fs::metadata(car)?.len();
        for folder in fs::read_dir(self.folder.join("bucket/carpark"))? {
            for file in fs::read_dir(folder?.path())? {
                let file = file?;
                if file.metadata()?.len() == length {
                    let path = file.path();
                    let key = path.strip_prefix(self.folder.join("bucket"))?;
                    return Ok(key.to_str().context("a key is text")?.to_owned());
                }
            }
        }
        bail!("{} was not imported", car.display())
    }
}

/// A server whose CPU time is measured.
#[derive(Debug)]
pub(super) struct Server {
    node: Daemon,
    workerd: u32,
    pub(super) address: String,
}

impl Server {
    /// The Worker, as `cargo xtask worker dev` runs it.
    pub(super) fn worker(place: &Place, scratch: &Path) -> Result<Self> {
        let served = serve_worker("object", &[], &[], &place.folder, scratch)?;
        let address = served.ws()?.to_owned();
        Ok(Self { workerd: child(served.daemon.id(), SERVER)?, node: served.daemon, address })
    }

    /// What sends the same bytes with no protocol at all.
    pub(super) fn floor(place: &Place, key: &str, tools: &Tools, scratch: &Path) -> Result<Self> {
        let port = free_port()?.to_string();
        let mut floor = tools.script("floor.mjs");
        let mut node = Daemon::spawn("floor", floor.arg(&place.folder).arg(key).arg(&port), scratch)?;
        node.wait_until(START, |printed| (printed == "ready").then_some(()))?;
        Ok(Self { workerd: child(node.id(), SERVER)?, node, address: format!("/ip4/127.0.0.1/tcp/{port}/ws") })
    }

    /// Runs the load generator against it; returns the CPU seconds that it took here, and what was printed.
    pub(super) fn under(&self, load: &mut Command) -> Result<(f64, String)> {
        let before = cpu_seconds_now(self.workerd)?;
        let printed = shell::read(load)?;
        thread::sleep(SETTLE);
        Ok((cpu_seconds_now(self.workerd)? - before, printed))
    }
}

/// The Worker with counters in it.
#[derive(Debug)]
pub(super) struct Counted {
    node: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    workerd: u32,
    pub(super) address: String,
}

/// What was counted.
#[derive(Debug, Deserialize)]
pub(super) struct Counters {
    /// Calls that the platform counts as requests.
    pub(super) requests: u32,
    /// WebSocket messages that came.
    pub(super) messages: u32,
    /// Times that an object woke.
    pub(super) wakes: u32,
    /// Bytes of the wasm instances.
    pub(super) wasm: f64,
    /// Bytes of the JavaScript heap, at the peak of it and what is outside of it.
    #[serde(default)]
    pub(super) heap: f64,
    /// Bytes of buffers, then.
    #[serde(default)]
    pub(super) external: f64,
}

impl Counted {
    /// Starts it, with these options of `measured.mjs`.
    pub(super) fn start(place: &Place, options: &[&str], tools: &Tools, scratch: &Path) -> Result<Self> {
        let mut measured = tools.script("measured.mjs");
        if let Some(identity) = &place.identity {
            measured.env("HOVERBOARD_DEV_IDENTITY", identity);
        }
        measured.arg(root().join("target/worker/dist")).arg(&place.folder).arg(free_port()?.to_string()).args(options);
        let log = fs::File::create(scratch.join("measured.log"))?;
        let mut node = measured.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let (stdin, stdout) = node.stdin.take().zip(node.stdout.take()).context("there are pipes")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = lines.next().context("the Worker with counters does not start: see measured.log")??;
        Ok(Self { workerd: child(node.id(), SERVER)?, node, stdin: Some(stdin), lines, address })
    }

    /// What was counted since this was last asked.
    pub(super) fn counters(&mut self) -> Result<Counters> {
        let stdin = self.stdin.as_mut().context("it has not ended")?;
        stdin.write_all(b"\n")?;
        let line = self.lines.next().context("the Worker with counters went away")??;
        Ok(serde_json::from_str(&line)?)
    }

    /// CPU seconds so far.
    pub(super) fn cpu(&self) -> Result<f64> {
        cpu_seconds_now(self.workerd)
    }
}

// Who kills Node leaves workerd behind: it is asked to end.

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.node.terminate(END);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.node.wait();
    }
}

/// The load generator, and the CARs that it makes.
#[derive(Debug)]
pub(super) struct Generator {
    program: PathBuf,
    folder: PathBuf,
}

impl Generator {
    pub(super) fn new(cache: &Cache) -> Result<Self> {
        Ok(Self { program: root().join("target/release/hoverboard-bench"), folder: cache.folder("bench")? })
    }

    pub(super) fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(what);
        command
    }

    /// A CAR of so many blocks of so many bytes, each followed by one of `filler` bytes, made if it is not there.
    pub(super) fn car(&self, name: &str, blocks: u32, size: u32, filler: u32) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}-{blocks}x{size}.car"));
        if !path.exists() {
            let partial = path.with_extension("partial");
            let [blocks, size, filler] = [blocks, size, filler].map(|number| number.to_string());
            let mut generate = self.command("generate");
            generate.args(["--blocks", &blocks, "--size", &size, "--filler", &filler]);
            shell::run(generate.arg(&partial))?;
            fs::rename(&partial, &path)?;
        }
        Ok(path)
    }

    /// The fetch of a CAR's blocks.
    pub(super) fn fetch(&self, address: &str, car: &Path, in_flight: u32, options: &[&str]) -> Command {
        let mut fetch = self.command("fetch");
        fetch.arg(address).arg("--car").arg(car).arg("--in-flight").arg(in_flight.to_string()).args(options);
        fetch
    }
}

/// The seconds and bytes that the load generator printed.
pub(super) fn seconds(printed: &str, bytes: u64) -> Result<f64> {
    let (seconds, came) = printed.trim().split_once(' ').context("the generator printed no figures")?;
    ensure!(came.parse::<u64>()? >= bytes, "not every byte came");
    Ok(seconds.parse()?)
}
