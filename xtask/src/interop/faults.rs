//! The loss of the Worker's wasm instance, with four peers in the middle of a DAG. The guilty one loses its connection, and
//! comes back for the rest. The others notice nothing if what is under way for them fits where sessions are kept: if it
//! does not, they come back as well.

use std::{fs, path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{Lab, car::Car, cases::cars, process::Daemon, programs::serve_worker};

const PEERS: usize = 4;
/// At which message of an isolate the fault is: each peer sends some hundreds.
const MESSAGE: u32 = 400;
const FETCH: Duration = Duration::from_secs(120);
/// How long the last lines of the log may take.
const LOG: Duration = Duration::from_millis(500);

/// One block is wanted at a time: little is under way for any peer.
const LITTLE: &str = "chain";
/// Hundreds of blocks are wanted at a time, and what is unsent is more than can be kept.
const MUCH: &str = "big-v0";

/// Rust code that panics.
pub(super) fn panic(lab: &Lab) -> Result<()> {
    survive(lab, "panic", LITTLE, 1)?;
    survive(lab, "panic", MUCH, PEERS)
}

/// Memory that runs out.
pub(super) fn out_of_memory(lab: &Lab) -> Result<()> {
    survive(lab, "oom", LITTLE, 1)?;
    survive(lab, "oom", MUCH, PEERS)
}

/// Has one of the peers' messages take the instance with it, and no more than so many connections.
fn survive(lab: &Lab, kind: &str, name: &str, most: usize) -> Result<()> {
    let datasets = lab.samples(&[name]);
    let dataset = datasets.first().context("there is no such data set")?;
    let fault = format!("HOVERBOARD_DEBUG_FAULT={kind}@{MESSAGE}");
    let variables = ["HOVERBOARD_DEBUG=1", &fault];
    let state = lab.scratch.join(format!("state-{name}"));
    let served = serve_worker("object", &cars(&datasets), &variables, &state, &lab.scratch)?;

    let hoverboard = lab.subject.hoverboard()?;
    let out = |peer: usize| -> PathBuf { lab.scratch.join(format!("{peer}.car")) };
    let get = |peer: usize| -> Result<Daemon> {
        let mut get = hoverboard.command(&["get", &dataset.root, "--from", served.ws()?, "-o"]);
        Daemon::spawn(&format!("get-{peer}"), get.arg(out(peer)), &lab.scratch)
    };
    let mut gets = (0..PEERS).map(get).collect::<Result<Vec<_>>>()?;
    let ended: Vec<_> = gets.iter_mut().map(|get| get.finish(FETCH)).collect();
    let cut_off: Vec<_> = (0..PEERS).filter(|peer| ended[*peer].is_err()).collect();
    ensure!((1..=most).contains(&cut_off.len()), "a {kind} ended {cut_off:?} of {PEERS} connections, not up to {most}");
    eprintln!("    {name}: {kind} ended {} of {PEERS} connections", cut_off.len());
    for peer in cut_off {
        get(peer)?.finish(FETCH).with_context(|| format!("after the {kind} a peer came back"))?;
    }
    let source = Car::read(&dataset.car)?;
    for peer in 0..PEERS {
        source.expect_same_blocks(&Car::read(&out(peer))?)?;
        fs::remove_file(out(peer))?;
    }

    thread::sleep(LOG);
    let log = fs::read_to_string(lab.scratch.join("worker.log"))?;
    let losses = log.matches(r#""event":"instance lost""#).count();
    let said = served.daemon.last_words();
    ensure!(losses == 1, "the log says {losses} times that the instance was lost, not once\n{said}");
    ensure!(!log.contains("hoverboard:1:"), "the secret is in the log");
    Ok(())
}
