//! Denied blocks are not served, from files or from a store, from the moment that a list says so.

mod common;
#[path = "common/process.rs"]
mod process;
#[path = "store/versitygw.rs"]
mod versitygw;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cid::Cid;
use hoverboard_dag::{Sha256 as _, Software};
use process::{PATIENCE, Process, hoverboard};
use tempfile::TempDir;
use versitygw::{BUCKET, Versitygw};

/// Within which a change of a file counts, as docs/denylist.md says.
const STATED: Duration = Duration::from_secs(5);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A legacy anchor of a block, as of a CID with another codec than it is asked for by.
fn anchor(cid: &Cid) -> String {
    let cid = Cid::new_v1(0x70, *cid.hash());
    let digest = Software.sha256(format!("{cid}/").as_bytes());
    digest.iter().fold("//".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A process that serves `cars` in place, or the store that they were imported to.
fn serve(cars: &Path, from_store: bool, state: &Path, flags: &[&str]) -> Process {
    let mut command = hoverboard();
    command.arg("serve");
    if from_store {
        let store = state.join("store");
        let imported = hoverboard().arg("import").arg(cars).arg("--to").arg(&store).output();
        assert!(imported.expect("ran").status.success());
        command.arg("--store").arg(store);
    } else {
        command.arg(cars);
    }
    command.args(["--admin", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--state"]).arg(state).args(flags);
    Process::serve(command)
}

/// What a peer is told that asks whether a block is there.
fn told(server: &Process, cid: &Cid) -> String {
    let asked = hoverboard().args(["check", &server.addr, &cid.to_string(), "--timeout", "5s"]).output().expect("ran");
    let text = String::from_utf8(asked.stdout).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("block       {cid} ")));
    line.unwrap_or_else(|| panic!("nothing about the block in {text}")).to_owned()
}

/// What comes of fetching a block.
fn get(server: &Process, cid: &Cid) -> Output {
    let args = ["get", &cid.to_string(), "--from", &server.addr, "--timeout", "3s", "--output", "-"];
    hoverboard().args(args).output().expect("ran")
}

fn append(list: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(list).expect("opened");
    writeln!(file, "{line}").expect("written");
}

fn figure(server: &Process, name: &str) -> u64 {
    server.figure(&format!("hoverboard_{name}")).parse().expect("a number")
}

#[test]
fn a_block_that_is_denied_while_it_runs_is_not_served_within_the_stated_time() {
    for from_store in [false, true] {
        let (cars, state) = (folder(), folder());
        let blocks = common::car_of(&cars.path().join("a.car"), 1, 3, 2_000);
        let list = state.path().join("own.deny");
        std::fs::write(&list, "# nothing yet\n").expect("written");
        let server = serve(cars.path(), from_store, state.path(), &["--denylist", list.to_str().expect("text")]);
        for block in &blocks {
            assert_eq!(told(&server, &block.cid), "has it");
            assert!(get(&server, &block.cid).status.success());
        }
        assert_eq!(figure(&server, "denylist_rules"), 0);
        append(&list, &anchor(&blocks[0].cid));
        append(&list, &format!("/ipfs/{}", blocks[1].cid));
        let begun = Instant::now();
        while figure(&server, "denylist_rules") != 2 {
            assert!(begun.elapsed() < STATED, "{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        for block in &blocks[..2] {
            assert_eq!(told(&server, &block.cid), "does not have it");
            let got = get(&server, &block.cid);
            assert!(!got.status.success());
            let sent = got.stdout.windows(block.data.len()).any(|window| window == block.data);
            assert!(!sent, "the block was sent");
        }
        assert_eq!(told(&server, &blocks[2].cid), "has it");
        assert!(figure(&server, "denied_wants_total") >= 4);

        // An exception takes it back.
        append(&list, &format!("!/ipfs/{}", blocks[0].cid));
        let begun = Instant::now();
        while told(&server, &blocks[0].cid) != "has it" {
            assert!(begun.elapsed() < STATED, "{}", server.log());
        }
    }
}

#[test]
fn what_is_no_list_any_more_or_is_gone_leaves_the_last_good_one() {
    let (cars, state) = (folder(), folder());
    let blocks = common::car_of(&cars.path().join("a.car"), 1, 1, 100);
    let list = state.path().join("own.deny");
    std::fs::write(&list, anchor(&blocks[0].cid)).expect("written");
    let server = serve(cars.path(), false, state.path(), &["--denylist", list.to_str().expect("text")]);
    assert_eq!(told(&server, &blocks[0].cid), "does not have it");
    for bad in ["<html>\n<body>\n", ""] {
        let before = figure(&server, "denylist_failures_total");
        std::fs::write(&list, bad).expect("written");
        let begun = Instant::now();
        while figure(&server, "denylist_failures_total") == before {
            assert!(begun.elapsed() < PATIENCE, "{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(told(&server, &blocks[0].cid), "does not have it", "{bad:?}");
    }
    std::fs::remove_file(&list).expect("removed");
    server.logged("No such file");
    assert_eq!(told(&server, &blocks[0].cid), "does not have it");
    assert!(server.log().contains("it is no denylist"), "{}", server.log());
}

/// An HTTP server with one answer at a time, and how often it was asked.
struct Web {
    addr: SocketAddr,
    state: Arc<Mutex<(String, usize)>>,
}

impl Web {
    fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let addr = listener.local_addr().expect("known");
        let state = Arc::new(Mutex::new((answer, 0)));
        let shared = state.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let answer = {
                    let mut state = shared.lock().expect("not poisoned");
                    state.1 += 1;
                    state.0.clone()
                };
                answer_one(socket, &answer);
            }
        });
        Self { addr, state }
    }

    fn answers(&self, answer: String) -> usize {
        let mut state = self.state.lock().expect("not poisoned");
        state.0 = answer;
        state.1
    }

    fn wait_asked(&self, more_than: usize) {
        let begun = Instant::now();
        while self.state.lock().expect("not poisoned").1 <= more_than {
            assert!(begun.elapsed() < PATIENCE, "it is not asked");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn url(&self) -> String {
        format!("http://{}/list.deny?token=secret", self.addr)
    }
}

/// Answers 304 to whoever has the list by its ETag.
fn answer_one(mut socket: TcpStream, answer: &str) {
    let mut known = false;
    for line in BufReader::new(socket.try_clone().expect("cloned")).lines().map_while(Result::ok) {
        known |= line.eq_ignore_ascii_case(r#"if-none-match: "one""#);
        if line.is_empty() {
            break;
        }
    }
    let same = known && answer.contains(r#""one""#);
    let answer = if same { "HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\nConnection: close\r\n\r\n" } else { answer };
    let _ = socket.write_all(answer.as_bytes());
}

fn ok(etag: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[test]
fn a_list_from_a_server_is_asked_for_again_and_outlives_the_server() {
    let (cars, state) = (folder(), folder());
    let blocks = common::car_of(&cars.path().join("a.car"), 1, 2, 100);
    let anchors = |blocks: &[common::Block]| {
        let items = blocks.iter().map(|block| format!(r#"{{"anchor":"{}"}}"#, &anchor(&block.cid)[2..]));
        format!("[{}]", items.collect::<Vec<_>>().join(","))
    };
    let web = Web::start(ok("one", &anchors(&blocks[..1])));
    let url = web.url();
    let flags = ["--denylist", url.as_str(), "--denylist-refresh", "1s"];
    {
        let server = serve(cars.path(), false, state.path(), &flags);
        assert_eq!(told(&server, &blocks[0].cid), "does not have it");
        assert_eq!(told(&server, &blocks[1].cid), "has it");
        web.wait_asked(2);
        let loads = |server: &Process| server.log().matches(" loaded ").count();
        assert_eq!(loads(&server), 1, "it was unchanged: {}", server.log());
        web.answers(ok("two", &anchors(&blocks)));
        let begun = Instant::now();
        while told(&server, &blocks[1].cid) == "has it" {
            assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        }
        let asked = web.answers(BROKEN.to_owned());
        web.wait_asked(asked + 1);
        server.logged("500");
        assert_eq!(told(&server, &blocks[1].cid), "does not have it");
        assert!(!server.log().contains("secret"), "{}", server.log());
    }
    let server = serve(cars.path(), false, state.path(), &flags);
    server.logged("the copy of an earlier run counts");
    assert_eq!(told(&server, &blocks[1].cid), "does not have it");
    assert_eq!(figure(&server, "denylist_checked_timestamp_seconds"), 0);
}

#[test]
fn an_object_of_s3_is_a_list_too() {
    let Some(s3) = Versitygw::start() else { return };
    let (cars, state) = (folder(), folder());
    let blocks = common::car_of(&cars.path().join("a.car"), 1, 2, 100);
    let object = s3.object("lists/own.deny");
    std::fs::create_dir_all(object.parent().expect("a folder")).expect("made");
    std::fs::write(&object, anchor(&blocks[0].cid)).expect("written");
    let mut command = hoverboard();
    command.arg("serve").arg(cars.path()).envs(s3.variables()).args([
        "--denylist-refresh",
        "1s",
        "--admin",
        "127.0.0.1:0",
    ]);
    command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--denylist", &format!("s3://{BUCKET}/lists/own.deny")]);
    command.arg("--state").arg(state.path());
    let server = Process::serve(command);
    assert_eq!(told(&server, &blocks[0].cid), "does not have it");
    std::fs::write(&object, format!("# of two\n{}\n{}\n", anchor(&blocks[0].cid), anchor(&blocks[1].cid)))
        .expect("written");
    let begun = Instant::now();
    while told(&server, &blocks[1].cid) == "has it" {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
    }
}

#[test]
fn without_a_list_it_does_not_start_unless_told_to() {
    let (cars, state) = (folder(), folder());
    let blocks = common::car_of(&cars.path().join("a.car"), 1, 1, 100);
    let list = state.path().join("later.deny");
    let list = list.to_str().expect("text");
    let mut command = hoverboard();
    command.arg("serve").arg(cars.path()).args(["--admin", "127.0.0.1:0", "--denylist", list, "--state"]);
    let refused = command.arg(state.path()).output().expect("ran");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains("later.deny") && said.contains("--denylist-optional"), "{said}");

    let server = serve(cars.path(), false, state.path(), &["--denylist", list, "--denylist-optional"]);
    assert_eq!(told(&server, &blocks[0].cid), "has it");
    std::fs::write(list, anchor(&blocks[0].cid)).expect("written");
    let begun = Instant::now();
    while told(&server, &blocks[0].cid) == "has it" {
        assert!(begun.elapsed() < STATED, "{}", server.log());
    }
}

#[test]
fn lists_are_compiled_described_and_asked() {
    let folder = folder();
    let (one, two, compiled) =
        (folder.path().join("1.deny"), folder.path().join("2.json"), folder.path().join("c.bin"));
    let worked = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q";
    let other = "bafybeihrw75yfhdx5qsqgesdnxejtjybscwuclpusvxkuttep6h7pkgmze";
    let anchor = "9114ba0c4aa2a162ac02d1c77cbb09eaa65f10e9c66484a5bd65902640387a5b";
    std::fs::write(&one, format!("version: 1\n---\n/ipfs/{other}\n/ipfs/{other}/path\nnonsense\n")).expect("written");
    std::fs::write(&two, format!(r#"[{{"anchor":"{anchor}"}}]"#)).expect("written");

    let made =
        hoverboard().args(["denylist", "compile", "-o"]).arg(&compiled).args([&one, &two]).output().expect("ran");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() && said.contains("line 5"), "{said}");

    let stats = hoverboard().args(["denylist", "stats"]).arg(&compiled).output().expect("ran");
    let said = String::from_utf8_lossy(&stats.stdout);
    for line in ["1 legacy anchors", "1 modern", "1 rules about paths", "1 lines that are no rules", "116 bytes"] {
        assert!(said.contains(line), "{line}: {said}");
    }

    let check = |cids: &[&str]| {
        let lists = [&compiled, &one].map(|list| list.to_str().expect("text"));
        let flags = ["--denylist", lists[0], "--denylist", lists[1]];
        let asked = hoverboard().args(["denylist", "check"]).args(flags).args(cids).output().expect("ran");
        (asked.status.code(), String::from_utf8_lossy(&asked.stdout).into_owned())
    };
    let (code, said) = check(&[worked, other, "bafkqaaa"]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("{worked} denied by {}, as a legacy anchor", compiled.display())), "{said}");
    assert!(said.contains(&format!("{other} denied by {}\n", one.display())), "{said}");
    assert!(said.contains("bafkqaaa not listed"), "{said}");
    assert_eq!(check(&["bafkqaaa"]).0, Some(0));

    let cut = std::fs::read(&compiled).expect("read");
    std::fs::write(&compiled, &cut[..cut.len() - 1]).expect("written");
    let refused = hoverboard().args(["denylist", "stats"]).arg(&compiled).output().expect("ran");
    assert_eq!(refused.status.code(), Some(1));
}
