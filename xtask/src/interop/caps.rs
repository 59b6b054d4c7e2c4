//! A cap that is reached while kubo is in the middle of a DAG. It gets as much as it may have and no more, is told
//! nothing, and goes on with a server that gives it the rest.

use std::{
    fs, slice, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Lab,
    car::Car,
    cases::client,
    kubo::{Identity, Kubo},
};

/// Many blocks, so that the cap is in the middle.
const DATASET: &str = "dir-plain";
/// How long nothing more comes at a cap.
const SILENCE: Duration = Duration::from_secs(3);
/// The longest that either half of the fetch may take.
const FETCH: Duration = Duration::from_secs(60);

pub(crate) fn kubo(lab: &Lab) -> Result<()> {
    let hoverboard = lab.subject.hoverboard()?;
    let samples = lab.samples(&[DATASET]);
    let dataset = samples.first().context("no such data")?;
    let source = Car::read(&dataset.car)?;
    let may_have = source.cids().count() / 2;
    let cap = format!("{may_have}blocks/day");
    let served = hoverboard.serve(slice::from_ref(&dataset.car), &["--cap-peer", &cap], &lab.scratch)?;
    let kubo = client(lab, Identity::Ed25519, served.tcp()?)?;
    // A new repository has an empty folder already.
    let had = kubo.repo.stored_blocks()?;
    let mut pin = kubo.start_pin(&dataset.root)?;
    let got = wait_for_silence(&kubo, may_have)? - had;
    pin.expect_alive()?;
    ensure!(got <= may_have, "{got} blocks came of {may_have} that it may have");
    eprintln!("    {:<14} {got} blocks came, and {may_have} may", dataset.name);

    drop(served);
    let peer = format!("{}=unlimited", kubo.repo.read(&["id", "--format=<id>"])?.trim());
    let served =
        hoverboard.serve(slice::from_ref(&dataset.car), &["--cap-peer", &cap, "--cap-for", &peer], &lab.scratch)?;
    kubo.connect(served.tcp()?)?;
    pin.finish(FETCH).with_context(|| format!("the second server said:\n{}", served.daemon.last_words()))?;
    let out = lab.scratch.join("fetched.car");
    kubo.repo.export(&dataset.root, &out)?;
    source.expect_same_blocks(&Car::read(&out)?)?;
    fs::remove_file(out)?;
    Ok(())
}

/// Waits until blocks come no more, which they must not do long before the cap. How many have come.
fn wait_for_silence(kubo: &Kubo, may_have: usize) -> Result<usize> {
    let (begun, mut last) = (Instant::now(), (0, Instant::now()));
    while last.1.elapsed() < SILENCE || last.0 < may_have / 2 {
        ensure!(begun.elapsed() < FETCH, "only {} of {may_have} blocks came in {FETCH:?}", last.0);
        let stored = kubo.repo.stored_blocks()?;
        if stored > last.0 {
            last = (stored, Instant::now());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(last.0)
}
