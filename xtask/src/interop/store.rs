//! CARs that are imported into a store, and fetched from there.

use anyhow::{Context, Result};

use super::{
    Lab,
    cases::{cars, client, export, fetch_all},
    kubo::Identity,
};

/// kubo fetches the data from a store, many blocks at once.
pub(super) fn kubo(lab: &Lab) -> Result<()> {
    let hoverboard = lab.subject.hoverboard()?;
    let store = lab.scratch.join("store");
    hoverboard.import(&cars(&lab.served()), &store, &lab.scratch)?;
    let path = store.to_str().context("the cache folder's path is not UTF-8")?;
    let served = hoverboard.serve(&[], &["--store", path], &lab.scratch)?;
    let kubo = client(lab, Identity::Ed25519, served.tcp()?)?;
    // kubo takes minutes for the chain, whoever serves it.
    fetch_all(&lab.all_but(&["chain"]), lab, served, |dataset, out| {
        kubo.pin(&dataset.root)?;
        export(&kubo, dataset, out)
    })
}
