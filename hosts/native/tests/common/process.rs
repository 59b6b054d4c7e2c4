//! The program as a process: what it says, what it counts, how it ends.

#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Long enough for a slow machine; a test that waits it out has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with no setting from outside.
pub(crate) fn hoverboard() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hoverboard"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOVERBOARD_") || name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
}

/// A `hoverboard serve` that runs, until it is dropped.
pub(crate) struct Process {
    child: Child,
    /// The first address that it printed.
    pub(crate) addr: String,
    admin: String,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Runs a command that serves, with admin pages, and waits until it does.
    pub(crate) fn serve(mut command: Command) -> Self {
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
        let mut process = Self { child, addr: addr.trim().to_owned(), admin: String::new(), log };
        process.admin = process.logged("addr=").split("addr=").nth(1).expect("said").trim().to_owned();
        process
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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

    /// A figure of the metrics, by its whole name.
    pub(crate) fn figure(&self, name: &str) -> String {
        let mut socket = TcpStream::connect(&self.admin).expect("connects");
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("answered");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).to_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().expect("kill runs");
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
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
