//! `/blocks` and `/claims` of a server.

use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use hoverboard_car::{BlockOffset, Options, Reader};
use hoverboard_claims::Location;
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use serde_json::{Value, json};

use crate::common::{Block, car_of, cid, data};
use crate::process::{Process, hoverboard};
use crate::web::{Page, Web, request};

const TOKEN: &str = "a-token-of-some-length";

/// A store with one CAR, and its blocks.
pub(crate) fn store(folder: &Path) -> Vec<Block> {
    let car = folder.join("a.car");
    let blocks = car_of(&car, 1, 20, 1000);
    let root = blocks[0].cid.to_string();
    import(folder).args(["--root", &root]).arg(&car).assert().success();
    blocks
}

fn import(folder: &Path) -> Command {
    let mut command = hoverboard();
    command.arg("import").arg("--to").arg(folder.join("store"));
    command
}

pub(crate) fn serve(folder: &Path, more: &[&str]) -> Process {
    let mut command = hoverboard();
    command.arg("serve").arg("--store").arg(folder.join("store")).arg("--state").arg(folder.join("state"));
    command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--admin", "127.0.0.1:0"]).args(more);
    Process::serve(command)
}

fn admin(server: &Process) -> String {
    server.logged("addr=").split("addr=").nth(1).expect("said").trim().to_owned()
}

#[test]
fn where_blocks_are_is_told_to_whoever_has_the_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = store(folder.path());
    let token = folder.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).expect("written");
    let token = token.to_str().expect("utf-8");
    let server = serve(folder.path(), &["--index-token", token, "--carpark-url", "https://carpark.example.com"]);
    let admin = admin(&server);
    let path = format!("/blocks/{}", blocks[5].cid);
    let (status, _) = request(&admin, "GET", &path, "", "");
    assert_eq!(status, 401);
    let authorized = format!("authorization: Bearer {TOKEN}\r\n");
    let (status, body) = request(&admin, "GET", &path, &authorized, "");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let offset = blocks[5].offset.0 + 38;
    assert_eq!(
        (status, &body["places"][0]["offset"], &body["places"][0]["length"]),
        (200, &json!(offset), &json!(1000))
    );
    let car = body["places"][0]["car"].as_str().expect("a CAR").to_owned();
    let there = fs::read(folder.path().join(format!("store/carpark/{car}/{car}.car"))).expect("the CAR");
    assert_eq!(there[offset as usize..][..1000], blocks[5].data);

    let names = json!([blocks[1].cid.to_string(), cid(b"nowhere").to_string()]).to_string();
    let (status, body) = request(&admin, "POST", "/blocks", &authorized, &names);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let said = [0, 1].map(|number| body["blocks"][number]["status"].clone());
    assert_eq!((status, said), (200, [json!("found"), json!("missing")]));

    let (status, body) = request(&admin, "GET", &format!("/claims/cid/{}", blocks[5].cid), &authorized, "");
    let claims = hoverboard_claims::read(&body).expect("claims").claims;
    assert_eq!((status, claims.len(), claims[0].content), (200, 1, *blocks[5].cid.hash()));
    // The other pages are where they were, and take no body.
    assert_eq!(request(&admin, "GET", "/health/live", "", "").0, 200);
    assert_eq!(request(&admin, "POST", "/metrics", "", "").0, 405);
    assert_eq!(request(&admin, "POST", "/blocks", &authorized, &"x".repeat(20_000)).0, 413);
}

#[test]
fn nothing_is_told_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = store(folder.path());
    let server = serve(folder.path(), &[]);
    assert_eq!(request(&admin(&server), "GET", &format!("/blocks/{}", blocks[5].cid), "", "").0, 404);
    drop(server);
    let server = serve(folder.path(), &["--index-public"]);
    assert_eq!(request(&admin(&server), "GET", &format!("/blocks/{}", blocks[5].cid), "", "").0, 200);
}

#[test]
fn a_token_that_is_none_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path());
    let token = folder.path().join("token");
    fs::write(&token, "short").expect("written");
    let mut command = hoverboard();
    command.arg("serve").arg("--store").arg(folder.path().join("store")).arg("--state").arg(folder.path());
    let refused = command.arg("--index-token").arg(&token).assert().code(64);
    refused.stderr(contains("16 to 512").and(contains("--index-token")).and(contains("short").not()));
}

#[test]
fn a_block_that_others_have_is_served_like_our_own() {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path());
    let web = Web::start();
    let block = data(99, 5000);
    let location = Location {
        content: *cid(&block).hash(),
        url: web.url("/blob"),
        offset: BlockOffset(100),
        length: block.len() as u64,
    };
    let name = multibase::encode(multibase::Base::Base58Btc, location.content.to_bytes());
    let answer = hoverboard_claims::write(&[location], &"did:web:example.com".parse().expect("a DID"), None);
    web.put(&format!("/claims/multihash/{name}"), Page::Bytes(answer));
    web.put("/blob", Page::Bytes([data(1, 100), block.clone(), data(2, 100)].concat()));
    let server = serve(folder.path(), &["--claims", &web.url(""), "--claims-allow", &web.url("")]);
    let out = folder.path().join("out.car");
    let mut get = hoverboard();
    get.args(["get", &cid(&block).to_string(), "--from", &server.addr, "-o"]).arg(&out).assert().success();
    let mut reader = Reader::new(fs::File::open(&out).expect("there"), Options::default()).expect("a CAR");
    assert_eq!(reader.next().expect("a block").expect("whole").data, block);
    assert_eq!(server.figure("hoverboard_claims_blocks_total"), "1");
}
