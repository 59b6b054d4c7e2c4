//! `hoverboard serve` as a process: what it prints, what it serves, how it stops.

mod common;
#[path = "common/process.rs"]
mod process;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::prelude::*;
use process::hoverboard;
use tempfile::TempDir;

/// Long enough for a slow machine; a test that waits it out has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    child: Child,
    addrs: Vec<String>,
    admin: String,
    _log: std::thread::JoinHandle<()>,
    _state: TempDir,
}

impl Server {
    fn start(paths: &[&Path], extra: &[&str]) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let mut command = hoverboard();
        command.arg("serve").args(paths).args(["--admin", "127.0.0.1:0", "--log-format", "json", "--rescan", "50ms"]);
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/tcp/0/ws"]);
        command.args(extra).arg("--state").arg(state.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let admin = admin_addr(&mut log);
        let log = std::thread::spawn(move || drop(std::io::copy(&mut log, &mut std::io::sink())));
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let addrs = (0..2)
            .map(|_| {
                let mut line = String::new();
                out.read_line(&mut line).expect("read");
                line.trim_end().to_owned()
            })
            .collect();
        Self { child, addrs, admin, _log: log, _state: state }
    }

    fn admin(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(&self.admin).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(socket, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("answered");
        answer
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
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

/// Reads log lines up to the one that says where the admin pages are.
fn admin_addr(log: &mut BufReader<ChildStderr>) -> String {
    for line in log.lines() {
        let line = line.expect("a line");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        if event["message"] == "admin pages" {
            return event["addr"].as_str().expect("an address").to_owned();
        }
    }
    panic!("the log ended");
}

#[test]
fn it_prints_full_addresses_and_answers_the_admin_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    common::car_of(&folder.path().join("a.car"), 1, 10, 100);
    let server = Server::start(&[folder.path()], &[]);
    assert!(server.addrs[0].starts_with("/ip4/127.0.0.1/tcp/") && server.addrs[0].contains("/p2p/12D3KooW"));
    assert!(server.addrs[1].contains("/ws/p2p/12D3KooW"), "{:?}", server.addrs);
    assert!(server.admin("GET /health/live").starts_with("HTTP/1.1 200"));
    assert!(server.admin("GET /health/ready").starts_with("HTTP/1.1 200"));
    assert!(server.admin("GET /other").starts_with("HTTP/1.1 404"));
    assert!(server.admin("POST /metrics").starts_with("HTTP/1.1 405"));
    let metrics = server.admin("GET /metrics");
    assert!(
        metrics.contains("\nhoverboard_cars 1\n") && metrics.contains("\nhoverboard_index_records 10\n"),
        "{metrics}"
    );
}

#[test]
fn the_metrics_pass_promtool() {
    let promtool = std::env::var("HOVERBOARD_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    if Command::new(&promtool).arg("--version").output().is_err() {
        eprintln!("not checked: there is no promtool here (Debian: the package prometheus)");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[folder.path()], &[]);
    let answer = server.admin("GET /metrics");
    let (_, metrics) = answer.split_once("\r\n\r\n").expect("a body");
    let mut check = Command::new(promtool).args(["check", "metrics"]).stdin(Stdio::piped()).spawn().expect("started");
    check.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("written");
    assert!(check.wait().expect("ended").success());
}

#[test]
fn what_get_writes_is_what_was_served_over_tcp_and_websocket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.car");
    let blocks = common::car_of(&path, 1, 1, 1_000_000);
    let server = Server::start(&[&path], &[]);
    for addr in &server.addrs {
        let out = folder.path().join("out.car");
        hoverboard()
            .args(["get", &blocks[0].cid.to_string(), "--from", addr, "-o"])
            .arg(&out)
            .assert()
            .success()
            .stdout("");
        let car = std::fs::read(&out).expect("written");
        assert!(car.ends_with(&blocks[0].data));
        let piped = hoverboard().args(["get", &blocks[0].cid.to_string(), "--from", addr]).assert().success();
        assert_eq!(piped.get_output().stdout, car);
        std::fs::remove_file(out).expect("removed");
    }
}

#[test]
fn a_get_that_fails_leaves_no_file_and_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.car");
    common::car_of(&path, 1, 1, 100);
    let server = Server::start(&[&path], &[]);
    let absent = common::cid(b"nowhere").to_string();
    let out = folder.path().join("out.car");
    let failed = hoverboard().args(["get", &absent, "--from", &server.addrs[0], "-o"]).arg(&out).assert().code(1);
    let error = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert!(error.contains(&format!("does not have {absent}")), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "only the CAR is there");
}

#[test]
fn check_says_what_the_peer_speaks_and_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.car");
    let blocks = common::car_of(&path, 1, 2, 5_000);
    let server = Server::start(&[&path], &[]);
    let (here, absent) = (blocks[0].cid.to_string(), common::cid(b"nowhere").to_string());
    let good = hoverboard().args(["check", &server.addrs[0], &here]).assert().success();
    let text = String::from_utf8_lossy(&good.get_output().stdout).into_owned();
    for part in
        [&format!("{here} has it"), "bitswap     yes", "round trip", "/ipfs/bitswap/1.2.0", "agent       hoverboard"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let bad = hoverboard().args(["check", &server.addrs[1], &here, &absent]).assert().code(1);
    let text = String::from_utf8_lossy(&bad.get_output().stdout).into_owned();
    assert!(text.contains(&format!("{absent} does not have it")), "{text}");
}

#[test]
fn a_car_added_while_it_runs_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[folder.path()], &[]);
    let blocks = common::car_of(&folder.path().join("a.car"), 1, 1, 100);
    let start = Instant::now();
    while !server.admin("GET /metrics").contains("\nhoverboard_cars 1\n") {
        assert!(start.elapsed() < PATIENCE, "it is not noticed");
        std::thread::sleep(Duration::from_millis(20));
    }
    hoverboard().args(["check", &server.addrs[0], &blocks[0].cid.to_string()]).assert().success();
}

#[test]
fn a_stop_signal_ends_it_with_exit_code_0() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["TERM", "INT"] {
        let mut server = Server::start(&[folder.path()], &[]);
        server.signal(name);
        assert!(server.wait().success());
    }
}

#[test]
fn strict_exits_1_over_a_damaged_car_and_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("bad.car"), b"bad").expect("written");
    let mut command = hoverboard();
    command.arg("serve").arg(folder.path()).args(["--strict", "--admin", "127.0.0.1:0"]);
    command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--state"]).arg(folder.path());
    let failed = command.assert().code(1).stdout("");
    let error = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert!(error.contains("bad.car") && error.contains("byte"), "{error}");
}
