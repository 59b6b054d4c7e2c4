//! `hoverboard serve --store` as a process, and what it says.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) use crate::process::PATIENCE;
use crate::process::{Process, hoverboard};

pub(crate) struct Server(Process);

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
        Self(Process::serve(command))
    }

    /// Its TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.addr.split('/').nth(4).and_then(|port| port.parse().ok()).expect("an address with a port")
    }

    /// A figure of the metrics, under the name without its `hoverboard_`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.figure(&format!("hoverboard_{name}")).parse().expect("a number")
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
        self.signal("TERM");
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.0
    }
}
