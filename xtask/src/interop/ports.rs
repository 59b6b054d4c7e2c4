//! What the README tells a person to do, on a machine that runs a kubo as it was installed.

use std::{net::TcpListener, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Lab,
    car::Car,
    cases::{cars, export},
    data::SAMPLES,
    kubo::{Identity, Kubo, Ports, Repo},
    programs::Served,
};

/// Longer than the default of `--drain`.
const DRAIN: Duration = Duration::from_secs(15);

/// Both programs start with their defaults, in either order, fetch, and end when asked to.
pub(crate) fn run(lab: &Lab) -> Result<()> {
    let kubo = start_kubo(lab, "kubo-first")?;
    let served = serve(lab)?;
    fetch(lab, &kubo, &served)?;
    drop(kubo);
    let kubo = start_kubo(lab, "kubo-second")?;
    fetch(lab, &kubo, &served)?;

    let mut daemon = served.daemon;
    let printed = daemon.printed()?;
    let odd = printed.lines().find(|line| !line.starts_with('/') || !line.contains("/p2p/"));
    ensure!(odd.is_none(), "stdout is for full multiaddrs, but it says {odd:?}");
    let status = daemon.terminate(DRAIN)?;
    ensure!(status.success(), "SIGTERM is not a failure, but it ended with {status}");
    Ok(())
}

fn start_kubo(lab: &Lab, name: &str) -> Result<Kubo> {
    let repo = Repo::init(&lab.programs.ipfs, &lab.scratch, name, Identity::Ed25519, Ports::Default)?;
    // Its Bitswap port is what the case is about; the other two may be a developer's own.
    for (setting, port) in [("Addresses/API", 5001), ("Addresses/Gateway", 8080)] {
        if TcpListener::bind(("127.0.0.1", port)).is_err() {
            repo.set(setting, json!("/ip4/127.0.0.1/tcp/0"))?;
        }
    }
    repo.start()
}

fn serve(lab: &Lab) -> Result<Served> {
    let mut command = lab.subject.hoverboard()?.command(&["serve"]);
    command.args(cars(&lab.samples(&SAMPLES)));
    command.arg("--state").arg(lab.scratch.join("state"));
    Served::start("hoverboard", &mut command, &lab.scratch, 2)
}

fn fetch(lab: &Lab, kubo: &Kubo, served: &Served) -> Result<()> {
    kubo.connect(served.tcp()?)?;
    for dataset in lab.samples(&SAMPLES) {
        let out = lab.scratch.join("fetched.car");
        export(kubo, &dataset, &out).with_context(|| dataset.name.clone())?;
        same(&dataset.car, &out)?;
    }
    Ok(())
}

fn same(source: &Path, fetched: &Path) -> Result<()> {
    Car::read(source)?.expect_same_blocks(&Car::read(fetched)?)
}
