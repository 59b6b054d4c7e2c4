//! `hoverboard serve --store` as a process, and what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::import::hoverboard;

/// Long enough for a slow machine; a test that waits it out has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    child: Child,
    /// Where it listens, over TCP.
    pub(crate) addr: String,
    admin: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Serves a store, with its state in a folder of the caller's.
    pub(crate) fn start(store: &Path, state: &Path) -> Self {
        let mut command = hoverboard();
        command.arg("serve").arg("--store").arg(store);
        Self::run(command, state)
    }

    /// Runs a command that serves.
    pub(crate) fn run(mut command: Command, state: &Path) -> Self {
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--admin", "127.0.0.1:0"]).arg("--state").arg(state);
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
        let mut server = Self { child, addr: addr.trim().to_owned(), admin: String::new(), log };
        server.admin = server.logged("addr=").split("addr=").nth(1).expect("said").trim().to_owned();
        server
    }

    /// Its TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.addr.split('/').nth(4).and_then(|port| port.parse().ok()).expect("an address with a port")
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// The first line of the log that has this in it, once there is one.
    pub(crate) fn logged(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "the log does not say {text:?}:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A figure of the metrics, under the name without its `hoverboard_`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut socket = TcpStream::connect(&self.admin).expect("connects");
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("answered");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("hoverboard_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
    }

    /// Requests to the store of this kind.
    pub(crate) fn requests(&self, kind: &str) -> u64 {
        self.metric(&format!("store_requests_total{{kind=\"{kind}\"}}"))
    }

    /// Waits until a figure of the metrics is this.
    pub(crate) fn wait_for_metric(&self, name: &str, value: u64) {
        let begun = Instant::now();
        while self.metric(name) != value {
            assert!(begun.elapsed() < PATIENCE, "{name} stays at {}\n{}", self.metric(name), self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
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
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
