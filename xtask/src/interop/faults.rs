//! The loss of the Worker's wasm instance, with four peers in the middle of a DAG: the guilty one loses its connection, comes
//! back and gets the rest, and the others notice nothing.

use std::{fs, path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{Lab, car::Car, cases::cars, process::Daemon, programs::serve_worker};

const PEERS: usize = 4;
/// At which message of an isolate the fault is: each peer sends some hundreds.
const MESSAGE: u32 = 400;
const FETCH: Duration = Duration::from_secs(120);
/// How long the last lines of the log may take.
const LOG: Duration = Duration::from_millis(500);

/// Rust code that panics.
pub(super) fn panic(lab: &Lab) -> Result<()> {
    survive(lab, "panic")
}

/// Memory that runs out.
pub(super) fn out_of_memory(lab: &Lab) -> Result<()> {
    survive(lab, "oom")
}

fn survive(lab: &Lab, kind: &str) -> Result<()> {
    let datasets = lab.samples(&["big-v0"]);
    let dataset = datasets.first().context("there is no such data set")?;
    let fault = format!("HOVERBOARD_DEBUG_FAULT={kind}@{MESSAGE}");
    let variables = ["HOVERBOARD_DEBUG=1", &fault];
    let served = serve_worker("object", &cars(&datasets), &variables, &lab.scratch.join("state"), &lab.scratch)?;

    let hoverboard = lab.subject.hoverboard()?;
    let out = |peer: usize| -> PathBuf { lab.scratch.join(format!("{peer}.car")) };
    let get = |peer: usize| -> Result<Daemon> {
        let mut get = hoverboard.command(&["get", &dataset.root, "--from", served.ws()?, "-o"]);
        Daemon::spawn(&format!("get-{peer}"), get.arg(out(peer)), &lab.scratch)
    };
    let mut gets = (0..PEERS).map(get).collect::<Result<Vec<_>>>()?;
    let ended: Vec<_> = gets.iter_mut().map(|get| get.finish(FETCH)).collect();
    let guilty: Vec<_> = ended.iter().enumerate().filter(|(_, ended)| ended.is_err()).map(|(peer, _)| peer).collect();
    ensure!(guilty.len() == 1, "a {kind} has ended {} of {PEERS} connections, not one: {ended:?}", guilty.len());
    for peer in guilty {
        get(peer)?.finish(FETCH).with_context(|| format!("after the {kind} the guilty peer came back"))?;
    }
    let source = Car::read(&dataset.car)?;
    for peer in 0..PEERS {
        source.expect_same_blocks(&Car::read(&out(peer))?)?;
    }

    thread::sleep(LOG);
    let log = fs::read_to_string(lab.scratch.join("worker.log"))?;
    let losses = log.matches(r#""event":"instance lost""#).count();
    ensure!(
        losses == 1,
        "the log says {losses} times that the instance was lost, not once\n{}",
        served.daemon.last_words()
    );
    ensure!(!log.contains("hoverboard:1:"), "the secret is in the log");
    Ok(())
}
