//! `hoverboard get` as a process: where the CAR goes, and what is left when it does not come whole.

mod common;
#[path = "common/process.rs"]
mod process;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::prelude::*;
use cid::Cid;
use common::{cid, data};
use hoverboard_car::Writer;
use process::hoverboard;
use tempfile::TempDir;

/// Long enough for a slow machine; a test that waits it out has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with two DAGs: one is whole, and of the other a block is damaged, so that nothing is ever said of it.
struct Server {
    child: Child,
    addr: String,
    whole: Cid,
    endless: Cid,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // More than a pipe holds.
        let leaves: Vec<(Cid, Vec<u8>)> = (0..8).map(|n| (cid(&data(n, 1 << 20)), data(n, 1 << 20))).collect();
        let links: Vec<Cid> = leaves.iter().map(|(cid, _)| *cid).collect();
        let damaged = (cid(b"right"), b"wrong".to_vec());
        let (whole, endless) = (list(&links), list(&[links.as_slice(), &[damaged.0]].concat()));
        let mut car = Writer::new(File::create(folder.path().join("a.car")).expect("created"), &[]).expect("begun");
        for (cid, data) in leaves.iter().chain([&damaged, &whole, &endless]) {
            car.write(cid, data).expect("written");
        }
        car.finish().expect("finished");
        let mut serve = hoverboard();
        serve.arg("serve").arg(folder.path()).args(["--admin", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        serve.arg("--state").arg(folder.path().join("state")).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = serve.spawn().expect("started");
        let mut addr = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut addr).expect("read");
        Self { child, addr: addr.trim_end().to_owned(), whole: whole.0, endless: endless.0, _folder: folder }
    }

    fn get(&self, root: &Cid, output: &Path) -> Command {
        let mut command = hoverboard();
        command.args(["get", &root.to_string(), "--from", &self.addr, "-o"]).arg(output);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A dag-cbor list of links.
fn list(links: &[Cid]) -> (Cid, Vec<u8>) {
    let bytes = serde_ipld_dagcbor::to_vec(&links).expect("encodes");
    (Cid::new_v1(0x71, hoverboard_dag::multihash(0x12, 32, &bytes).expect("supported")), bytes)
}

/// How many blocks a CAR has.
fn blocks(mut car: impl Read) -> usize {
    let mut bytes = Vec::new();
    car.read_to_end(&mut bytes).expect("read");
    let reader = hoverboard_car::Reader::new(bytes.as_slice(), Default::default()).expect("a CAR");
    reader.inspect(|block| assert!(block.is_ok(), "{block:?}")).count()
}

fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    path
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("listed");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("utf-8")).collect()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal, and waits for the end that should follow.
fn stop(child: &mut Child, signal: &str) -> ExitStatus {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let mut status = None;
    wait_until("it goes on after a signal", || {
        status = child.try_wait().expect("waited");
        status.is_some()
    });
    status.expect("ended")
}

fn complaint(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("utf-8")
}

#[test]
fn a_device_or_a_pipe_is_written_and_not_replaced() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let null = folder.path().join("null");
    symlink("/dev/null", &null).expect("linked");
    server.get(&server.whole, &null).assert().success();
    assert!(fs::metadata(&null).expect("there").file_type().is_char_device());
    assert!(fs::symlink_metadata(&null).expect("there").is_symlink());

    let fifo = fifo(folder.path());
    let mut child = server.get(&server.whole, &fifo).spawn().expect("started");
    assert_eq!(blocks(File::open(&fifo).expect("opened")), 9);
    assert!(child.wait().expect("ended").success());
    assert!(fs::metadata(&fifo).expect("there").file_type().is_fifo());
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn stdout_has_two_names_and_nothing_else_goes_there() {
    let server = Server::start();
    for name in ["-", "/dev/stdout"] {
        let output = server.get(&server.whole, Path::new(name)).output().expect("ran");
        assert!(output.status.success(), "{}", complaint(&output));
        assert_eq!(blocks(output.stdout.as_slice()), 9);
    }
}

#[test]
fn behind_a_link_the_file_is_replaced() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let (file, link) = (folder.path().join("file.car"), folder.path().join("link.car"));
    fs::write(&file, b"before").expect("written");
    symlink("file.car", &link).expect("linked");
    server.get(&server.whole, &link).assert().success();
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(blocks(File::open(&file).expect("there")), 9);
}

#[test]
fn a_folder_is_refused_before_anything_is_fetched() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nobody listens there.
    let args = ["get", "bafkqaaa", "--from", "/ip4/127.0.0.1/tcp/1", "-o"];
    let output = hoverboard().args(args).arg(folder.path()).output().expect("ran");
    assert_eq!(output.status.code(), Some(64), "{}", complaint(&output));
    assert!(complaint(&output).contains("-o"));
}

#[test]
fn a_stop_halfway_leaves_nothing_behind_and_says_which_signal_it_was() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("a.car");
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        fs::write(&path, b"before").expect("written");
        let mut child = server.get(&server.endless, &path).spawn().expect("started");
        let is_begun = || {
            let partial = names(folder.path()).into_iter().find(|name| name.ends_with(".partial"));
            partial.is_some_and(|name| fs::metadata(folder.path().join(name)).is_ok_and(|meta| meta.len() > 0))
        };
        wait_until("nothing is fetched", is_begun);
        assert_eq!(stop(&mut child, signal).code(), Some(code));
        assert_eq!(names(folder.path()), ["a.car"]);
        assert_eq!(fs::read(&path).expect("there"), b"before");
    }
}

#[test]
fn a_reader_that_takes_nothing_does_not_keep_a_stop_from_being_heard() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let fifo = fifo(folder.path());
    let mut child = server.get(&server.whole, &fifo).spawn().expect("started");
    let mut reader = File::open(&fifo).expect("opened");
    reader.read_exact(&mut [0; 1000]).expect("it writes");
    assert_eq!(stop(&mut child, "TERM").code(), Some(143));

    drop(reader);
    let mut child = server.get(&server.whole, &fifo).spawn().expect("started");
    std::thread::sleep(Duration::from_millis(100));
    // No reader at all: it waits for one, or has not come that far.
    assert!(!stop(&mut child, "INT").success());
}

#[test]
fn a_fetch_that_fails_leaves_nothing_behind() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let mut get = server.get(&server.endless, &folder.path().join("a.car"));
    let output = get.args(["--timeout", "300ms"]).output().expect("ran");
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_full_disk_and_a_reader_that_went_away_are_sentences() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let output = server.get(&server.whole, Path::new("/dev/full")).output().expect("ran");
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("cannot write /dev/full: no space is left there"), "{}", complaint(&output));

    let fifo = fifo(folder.path());
    let child = server.get(&server.whole, &fifo).spawn().expect("started");
    drop(File::open(&fifo).expect("opened"));
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("its reader went away"), "{}", complaint(&output));
}
