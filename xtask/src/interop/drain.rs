//! A server that is asked to stop while somebody is in the middle of a DAG, and started again.
//!
//! What was begun is finished, the server ends well and in time, and the client goes on with the next one. What of the
//! DAG comes from which server is not said: a client that reads faster than it works has large blocks in memory when the
//! server ends, and nothing that was sent may be lost then.

use std::{
    fs,
    path::Path,
    slice, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Lab,
    car::Car,
    cases::client,
    data::Dataset,
    kubo::Identity,
    process::Daemon,
    programs::{Hoverboard, Served},
};

/// Large blocks, many of which are under way at any time, and small ones, too many to be asked for at once.
const DATASETS: [&str; 2] = ["big-v0", "dir-plain"];
/// What the server may take to finish what was begun: its default.
const DRAIN: Duration = Duration::from_secs(10);
/// How much has come when the server is stopped. Half of one data set's bytes are its first block.
const MIDWAY: f64 = 0.6;
/// The longest that either half of a fetch may take.
const FETCH: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// kubo connects again when the server is back, as a person would have it do.
pub(crate) fn kubo(lab: &Lab) -> Result<()> {
    let hoverboard = lab.subject.hoverboard()?;
    for dataset in lab.samples(&DATASETS) {
        let served = hoverboard.serve(slice::from_ref(&dataset.car), &[], &lab.scratch)?;
        let source = Car::read(&dataset.car)?;
        let kubo = client(lab, Identity::Ed25519, served.tcp()?)?;
        let mut pin = kubo.start_pin(&dataset.root)?;
        let fetched = || Ok(kubo.repo.stored_blocks()? as f64 / source.cids().count() as f64);
        let served = restart_midway(hoverboard, served, &mut pin, &dataset, &lab.scratch, fetched)?;
        kubo.connect(served.tcp()?)?;
        pin.finish(FETCH).with_context(|| format!("the second server said:\n{}", served.daemon.last_words()))?;
        let out = lab.scratch.join("fetched.car");
        kubo.repo.export(&dataset.root, &out)?;
        source.expect_same_blocks(&Car::read(&out)?)?;
        drop(kubo);
        fs::remove_dir_all(lab.scratch.join("client"))?;
    }
    Ok(())
}

/// helia is told to dial again until somebody answers.
pub(crate) fn helia(lab: &Lab) -> Result<()> {
    let hoverboard = lab.subject.hoverboard()?;
    for dataset in lab.samples(&DATASETS) {
        let served = hoverboard.serve(slice::from_ref(&dataset.car), &[], &lab.scratch)?;
        let out = lab.scratch.join("fetched.car");
        let whole = fs::metadata(&dataset.car)?.len();
        let mut fetch = lab.programs.start_helia_fetch(served.ws()?, &dataset.root, &out, &lab.scratch)?;
        let fetched = || Ok(fs::metadata(&out).map_or(0, |meta| meta.len()) as f64 / whole as f64);
        let served = restart_midway(hoverboard, served, &mut fetch, &dataset, &lab.scratch, fetched)?;
        fetch.finish(FETCH).with_context(|| format!("the second server said:\n{}", served.daemon.last_words()))?;
        Car::read(&dataset.car)?.expect_same_blocks(&Car::read(&out)?)?;
        fs::remove_file(&out)?;
    }
    Ok(())
}

/// Stops the server when a good part of the data set has come, and starts it again on the same ports.
fn restart_midway(
    hoverboard: &Hoverboard,
    mut served: Served,
    client: &mut Daemon,
    dataset: &Dataset,
    scratch: &Path,
    fetched: impl Fn() -> Result<f64>,
) -> Result<Served> {
    let begun = Instant::now();
    let part = loop {
        let part = fetched()?;
        if part >= MIDWAY {
            break part;
        }
        client.expect_alive()?;
        ensure!(begun.elapsed() < FETCH, "only {:.0} % came in {FETCH:?}", part * 100.0);
        thread::sleep(POLL);
    };
    ensure!(part < 1.0, "{} came before the server could be stopped", dataset.name);
    let asked = Instant::now();
    let status = served.daemon.terminate(DRAIN)?;
    let said = served.daemon.last_words();
    ensure!(status.success(), "the server ended with {status}\n{said}");
    ensure!(said.contains(" stopped\n"), "the server did not finish what was begun\n{said}");
    let left = fetched()?;
    eprintln!(
        "    {:<14} {:>3.0} % when stopped after {:.2} s, {:>3.0} % when it ended {:.2} s later",
        dataset.name,
        part * 100.0,
        (asked - begun).as_secs_f64(),
        left * 100.0,
        asked.elapsed().as_secs_f64()
    );
    let listen: Vec<&str> = served.addresses.iter().filter_map(|addr| addr.split("/p2p/").next()).collect();
    hoverboard.serve_at(&listen, slice::from_ref(&dataset.car), &[], scratch)
}
