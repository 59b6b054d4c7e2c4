//! The command line as a user meets it: help, exit codes, and sentences that say what to do.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use clap::CommandFactory;
use predicates::prelude::*;
use predicates::str::contains;

fn hoverboard() -> Command {
    let mut command = Command::cargo_bin("hoverboard").expect("built");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOVERBOARD_")) {
        command.env_remove(name);
    }
    command
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/car/tests/fixtures/car").join(name)
}

#[test]
fn every_flag_has_an_environment_twin_and_a_help_line() {
    let cli = hoverboard::cli::Cli::command();
    let mut flags = 0;
    for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
        for arg in command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
            let name = format!("{} {}", command.get_name(), arg.get_id());
            assert!(arg.get_help().is_some_and(|help| !help.to_string().is_empty()), "{name} has no help");
            if let Some(long) = arg.get_long() {
                flags += 1;
                let twin = arg.get_env().unwrap_or_else(|| panic!("{name} has no twin")).to_str().expect("utf-8");
                assert_eq!(twin, format!("HOVERBOARD_{}", long.to_uppercase().replace('-', "_")));
            }
        }
    }
    assert!(flags > 15, "{flags} flags were looked at");
    hoverboard().args(["serve", "--help"]).assert().success().stdout(contains("HOVERBOARD_LISTEN"));
}

#[test]
fn wrong_use_exits_2_with_a_sentence() {
    let wrong: [&[&str]; 7] = [
        &["serve"],
        &["fly"],
        &["serve", "a.car", "--listen", "somewhere"],
        &["serve", "a.car", "--drain", "10"],
        &["serve", "a.car", "--admin", "4043"],
        &["get", "notacid", "--from", "/ip4/127.0.0.1/tcp/1"],
        &["check"],
    ];
    for words in wrong {
        hoverboard().args(words).assert().code(2).stdout("").stderr(contains("error:"));
    }
}

#[test]
fn bad_configuration_exits_64_and_names_what_to_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let junk = folder.path().join("junk.key");
    std::fs::write(&junk, b"junk").expect("written");
    let text = |path: &Path| path.to_str().expect("utf-8").to_owned();
    let (folder, junk) = (text(folder.path()), text(&junk));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let busy = taken.local_addr().expect("bound").port();
    let (busy_listen, busy_admin) = (format!("/ip4/127.0.0.1/tcp/{busy}"), format!("127.0.0.1:{busy}"));
    let busy_name = format!("localhost:{busy}");
    let free = "/ip4/127.0.0.1/tcp/0";
    let cases: [(&[&str], &str); 9] = [
        (&["serve", "/nowhere/a.car", "--state", &folder], "/nowhere/a.car"),
        (&["serve", &folder, "--state", &folder, "--listen", "/ip4/127.0.0.1/udp/1/quic-v1"], "--listen"),
        (&["serve", &folder, "--state", &folder, "--listen", free, "--key", &junk], "junk.key"),
        (&["serve", &folder, "--state", &junk, "--listen", free], "--state"),
        (&["serve", &folder, "--state", &folder, "--listen", &busy_listen], "--listen"),
        (&["serve", &folder, "--state", &folder, "--listen", free, "--admin", &busy_admin], "--admin"),
        (&["serve", &folder, "--state", &folder, "--listen", free, "--admin", &busy_name], &busy_name),
        (&["ls", "/nowhere"], "/nowhere"),
        (&["id", "--state", &folder, "--log", "a=b=c"], "--log"),
    ];
    for (words, names) in cases {
        hoverboard().args(words).assert().code(64).stdout("").stderr(contains(names).and(contains("hoverboard: ")));
    }
}

#[test]
fn the_environment_stands_in_for_flags_and_gives_way_to_them() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    hoverboard().arg("id").env("HOVERBOARD_STATE", one.path()).assert().success();
    assert!(one.path().join("identity.key").exists());
    hoverboard().arg("id").arg("--state").arg(two.path()).env("HOVERBOARD_STATE", "/nowhere").assert().success();
    assert!(two.path().join("identity.key").exists());
}

#[test]
fn a_switch_takes_yes_and_no_from_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    common::car_of(&folder.path().join("a.car"), 1, 1, 100);
    let ls = |value: &str| hoverboard().arg("ls").arg(folder.path()).env("HOVERBOARD_JSON", value).assert();
    ls("1").success().stdout(contains("{"));
    ls("no").success().stdout(contains("{").not());
    ls("perhaps").code(2);
}

#[test]
fn id_is_the_same_every_time() {
    let state = tempfile::tempdir().expect("a folder");
    let id = || hoverboard().arg("id").arg("--state").arg(state.path()).assert().success().get_output().stdout.clone();
    let first = id();
    assert_eq!(first, id());
    let text = String::from_utf8(first).expect("utf-8");
    assert!(text.starts_with("12D3KooW") && text.ends_with(" Ed25519\n"), "{text}");
}

#[test]
fn the_secret_for_a_worker_is_of_the_same_peer_and_new_each_time() {
    use hoverboard_peer::wire::identity::Identity;
    let state = tempfile::tempdir().expect("a folder");
    let id = |more: &[&str]| {
        let output = hoverboard().arg("id").arg("--state").arg(state.path()).args(more).assert().success();
        String::from_utf8(output.get_output().stdout.clone()).expect("UTF-8")
    };
    let (peer, first, second) = (id(&[]), id(&["--worker"]), id(&["--worker"]));
    assert_eq!((first.lines().count(), second.lines().count()), (1, 1));
    assert_ne!(first, second);
    let identity = Identity::from_secret(&first).expect("a secret");
    assert!(peer.starts_with(&format!("{} ", identity.peer_id())), "{peer}");
}

#[test]
fn id_reads_keys_of_every_type() {
    use libp2p_identity::{Keypair, ecdsa, secp256k1};
    let file = tempfile::NamedTempFile::new().expect("a file");
    for key in [Keypair::from(secp256k1::Keypair::generate()), Keypair::from(ecdsa::Keypair::generate())] {
        std::fs::write(file.path(), key.to_protobuf_encoding().expect("encodes")).expect("written");
        let line = format!("{} {}\n", key.public().to_peer_id(), key.key_type());
        hoverboard().arg("id").arg("--key").arg(file.path()).assert().success().stdout(line);
    }
    let rsa = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rsa-2048.key");
    let line = predicates::str::is_match("^Qm[1-9A-Za-z]{44} RSA\n$").expect("a pattern");
    hoverboard().arg("id").arg("--key").arg(rsa).assert().success().stdout(line);
}

#[test]
fn ls_lists_every_block_where_it_lies() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.car");
    let blocks = common::car_of(&path, 1, 3, 500);
    let output = hoverboard().args(["ls", "--json"]).arg(folder.path()).assert().success().get_output().stdout.clone();
    let lines: Vec<serde_json::Value> = output
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 1 + blocks.len());
    let car = std::fs::read(&path).expect("there");
    for (line, block) in lines[1..].iter().zip(&blocks) {
        assert_eq!(line["cid"], block.cid.to_string());
        let offset = line["offset"].as_u64().expect("a number") as usize;
        assert_eq!(car[offset..offset + line["length"].as_u64().expect("a number") as usize], block.data);
    }
    hoverboard()
        .arg("ls")
        .arg(&path)
        .assert()
        .success()
        .stdout(contains("CARv1, 0 roots").and(contains("3 blocks, 1500 bytes")));
}

#[test]
fn verify_tells_good_from_damaged_by_its_exit_code_and_names_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.car");
    let blocks = common::car_of(&path, 1, 3, 500);
    hoverboard()
        .arg("verify")
        .arg(folder.path())
        .assert()
        .success()
        .stdout(contains("1 file, 3 blocks, 1500 bytes: all good"));
    let mut car = std::fs::read(&path).expect("there");
    let at = blocks[1].offset.0 as usize;
    car[at + 200] ^= 1;
    std::fs::write(&path, car).expect("written");
    let place = contains(format!("section at byte {at} does not verify")).and(contains("1 file damaged"));
    hoverboard().arg("verify").arg(&path).assert().code(1).stdout(place.and(contains("2 blocks")));
}

#[test]
fn verify_and_ls_say_what_is_wrong_with_broken_fixtures() {
    for name in ["badheaderlength.car", "badsectionlength.car", "sample-v1-tailing-corrupt-section.car"] {
        hoverboard().arg("verify").arg(fixture(name)).assert().code(1).stdout(contains("byte"));
        hoverboard().arg("ls").arg(fixture(name)).assert().code(1).stderr(contains(name).and(contains("byte")));
    }
    for name in ["sample-v1.car", "sample-wrapped-v2.car", "simple-unixfs.car"] {
        hoverboard().arg("verify").arg(fixture(name)).assert().success();
        hoverboard().arg("ls").arg(fixture(name)).assert().success();
    }
}
