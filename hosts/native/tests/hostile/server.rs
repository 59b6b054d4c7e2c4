//! The server under test: the built binary over a CAR of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;
use tempfile::TempDir;

use crate::common::{Block, age, write_car};
use crate::peer::Peer;

/// Long enough for a slow machine; a test that waits it out has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const MIB: u64 = 1024 * 1024;

pub(crate) struct Server {
    child: Child,
    pub(crate) addr: String,
    admin: String,
    log: Arc<Mutex<String>>,
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
        let mut command = Command::cargo_bin("hoverboard").expect("built");
        command.args(["serve", "--listen", "/ip4/127.0.0.1/tcp/0", "--admin", "127.0.0.1:0", "--rescan", "100ms"]);
        command.arg("--state").arg(folder.path().join("state")).arg(&car);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, stderr) = (log.clone(), child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = lines.lock().expect("not poisoned");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut addr = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut addr).expect("printed");
        let mut server = Self {
            child,
            addr: addr.trim().to_owned(),
            admin: String::new(),
            log,
            car,
            blocks,
            rss_at_start: 0,
            _folder: folder,
        };
        server.admin = server.logged("addr=").split("addr=").nth(1).expect("said").trim().to_owned();
        server.rss_at_start = server.rss();
        server
    }

    /// The first line of the log that has this in it, once there is one.
    pub(crate) fn logged(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log.lock().expect("not poisoned").clone();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "the log does not say {text:?}:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
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
        let log = self.log.lock().expect("not poisoned").clone();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("peer dropped")).collect();
        assert!(lines.len() == count && lines.iter().all(|line| line.contains(why)), "{why}: {log}");
    }

    pub(crate) fn dropped(&self) -> usize {
        self.log.lock().expect("not poisoned").matches("peer dropped").count()
    }

    fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
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
        let mut socket = TcpStream::connect(&self.admin).expect("connects");
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("answered");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).expect("is there");
        line.parse().expect("a number")
    }

    pub(crate) fn wait_for_metric(&self, name: &str, good: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        while !good(self.metric(name)) {
            assert!(begun.elapsed() < PATIENCE, "{name} stays at {}", self.metric(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn car(&self) -> &Path {
        &self.car
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
