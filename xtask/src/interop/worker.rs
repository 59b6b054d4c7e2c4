//! The Worker in workerd, in both modes: kubo and helia fetch the same data from it as from the native program.

use anyhow::Result;

use super::{
    Lab,
    cases::{cars, client, export, fetch_all},
    data::{Dataset, SLOW_IN_ORDER},
    kubo::Identity,
    programs::{Served, serve_worker},
};

/// Where the local buckets are kept, with the data in them.
const BUCKETS: &str = "worker-buckets";

pub(super) fn object_kubo(lab: &Lab) -> Result<()> {
    kubo(lab, "object", &[])
}

pub(super) fn object_helia(lab: &Lab) -> Result<()> {
    helia(lab, "object", &[])
}

pub(super) fn plain_kubo(lab: &Lab) -> Result<()> {
    kubo(lab, "plain", &[])
}

pub(super) fn plain_helia(lab: &Lab) -> Result<()> {
    helia(lab, "plain", &[])
}

/// Every session is frozen and thawed after every event.
pub(super) fn frozen(lab: &Lab) -> Result<()> {
    const FORGETFUL: [&str; 2] = ["HOVERBOARD_DEBUG=1", "HOVERBOARD_DEBUG_FORGET=1"];
    kubo(lab, "object", &FORGETFUL)?;
    helia(lab, "object", &FORGETFUL)
}

fn kubo(lab: &Lab, mode: &str, variables: &[&str]) -> Result<()> {
    let datasets = datasets(lab);
    let served = serve(lab, mode, variables)?;
    let kubo = client(lab, Identity::Ed25519, served.ws()?)?;
    fetch_all(&datasets, lab, served, |dataset, out| {
        if SLOW_IN_ORDER.contains(&dataset.name.as_str()) {
            kubo.pin(&dataset.root)?;
        }
        export(&kubo, dataset, out)
    })
}

fn helia(lab: &Lab, mode: &str, variables: &[&str]) -> Result<()> {
    let served = serve(lab, mode, variables)?;
    let address = served.ws()?.to_owned();
    fetch_all(&datasets(lab), lab, served, |dataset, out| {
        lab.programs.helia_fetch(&address, &dataset.root, out, &lab.scratch)
    })
}

/// The chain has no blocks to be had at once: over one transport is enough, and the native program shows it.
fn datasets(lab: &Lab) -> Vec<Dataset> {
    lab.all_but(&["chain"])
}

fn serve(lab: &Lab, mode: &str, variables: &[&str]) -> Result<Served> {
    let kept = lab.data_folder()?.join(BUCKETS);
    serve_worker(mode, &cars(&datasets(lab)), variables, &kept, &lab.scratch)
}
