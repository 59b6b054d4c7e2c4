//! The server under test: the built binary over a CAR of its own.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::{Block, age, write_car};
use crate::peer::Peer;
pub(crate) use crate::process::PATIENCE;
use crate::process::{Process, hoverboard};

const MIB: u64 = 1024 * 1024;

pub(crate) struct Server {
    process: Process,
    pub(crate) car: std::path::PathBuf,
    pub(crate) blocks: Vec<Block>,
    rss_at_start: u64,
    _folder: TempDir,
}

impl Server {
    /// Serves `count` blocks of `len` bytes.
    pub(crate) fn start(count: u64, len: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let car = folder.path().join("blocks.car");
        let blocks = write_car(&car, (0..count).map(|n| crate::common::data(n, len)));
        age(&car);
        let mut command = hoverboard();
        command.args(["serve", "--listen", "/ip4/127.0.0.1/tcp/0", "--admin", "127.0.0.1:0", "--rescan", "100ms"]);
        command.arg("--state").arg(folder.path().join("state")).arg(&car);
        let process = Process::serve(command);
        let mut server = Self { process, car, blocks, rss_at_start: 0, _folder: folder };
        server.rss_at_start = server.rss();
        server
    }

    /// Asserts that one peer was dropped, and why.
    pub(crate) fn dropped_once(&self, why: &str) {
        self.dropped_times(1, why);
    }

    /// Asserts that so many peers were dropped, each for this reason.
    pub(crate) fn dropped_times(&self, count: usize, why: &str) {
        let begun = Instant::now();
        while self.dropped() < count {
            assert!(begun.elapsed() < PATIENCE, "{} peers were dropped and not {count}", self.dropped());
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = self.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("peer dropped")).collect();
        assert!(lines.len() == count && lines.iter().all(|line| line.contains(why)), "{why}: {log}");
    }

    pub(crate) fn dropped(&self) -> usize {
        self.log().matches("peer dropped").count()
    }

    fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("is told");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Asserts that the process has grown by no more than this since it started.
    pub(crate) fn grew_at_most(&self, mib: u64) {
        let grown = self.rss().saturating_sub(self.rss_at_start);
        assert!(grown <= mib * MIB, "grew by {} MiB, more than {mib}", grown / MIB);
    }

    /// Asserts that a peer without faults gets its blocks.
    pub(crate) fn serves_others(&self) {
        let mut peer = Peer::connect(self);
        let blocks = &self.blocks[..self.blocks.len().min(8)];
        peer.want(blocks.iter().map(|block| block.cid));
        for _ in blocks {
            let data = peer.next_block();
            assert!(blocks.iter().any(|block| block.data == data), "a block that nobody wanted");
        }
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.figure(name).parse().expect("a number")
    }

    pub(crate) fn wait_for_metric(&self, name: &str, good: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        while !good(self.metric(name)) {
            assert!(begun.elapsed() < PATIENCE, "{name} stays at {}", self.metric(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn car(&self) -> &Path {
        &self.car
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
