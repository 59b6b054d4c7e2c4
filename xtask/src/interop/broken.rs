//! CARs of other tools, whole and broken, and CARs that were cut short: what is whole is served.

use std::{fs, path::PathBuf, slice};

use anyhow::{Context, Result, bail, ensure};
use cid::Cid;

use super::{
    Lab,
    car::Car,
    cases::client,
    kubo::{Identity, Kubo},
    programs::Served,
};
use crate::shell::root;

/// Fixtures every block of which can be fetched.
const WHOLE: [&str; 10] = [
    "car/sample-v1.car",
    "car/sample-wrapped-v2.car",
    "car/sample-v2-indexless.car",
    "car/sample-unixfs-v2.car",
    "car/simple-unixfs.car",
    "car/simple-unixfs-missing-blocks.car",
    "eipfs/test-cid1.car",
    "eipfs/test-cid2.car",
    "eipfs/test-cid5.car",
    "eipfs/test-cid8.car",
];
/// Fixtures that are good up to some place.
const WHOLE_AT_FIRST: [&str; 2] =
    ["car/sample-v1-tailing-corrupt-section.car", "car/sample-v1-with-zero-len-section2.car"];
/// Fixtures with nothing to fetch, which lie beside each of the others.
const BROKEN: [&str; 4] = [
    "car/badheaderlength.car",
    "car/badsectionlength.car",
    "car/sample-corrupt-pragma.car",
    "car/sample-rootless-v42.car",
];
/// How many blocks of a fixture are fetched, each by a command of its own: the last ones before the fault or the end.
const FETCHED: usize = 40;

/// Each fixture by itself beside broken ones, so that no other file can serve its blocks.
pub(crate) fn fixtures(lab: &Lab) -> Result<()> {
    for name in WHOLE.iter().chain(&WHOLE_AT_FIRST) {
        let source = fixture(name);
        let car = if WHOLE.contains(name) { Car::read(&source)? } else { Car::read_whole_part(&source)? };
        let folder = lab.scratch.join("cars");
        fs::create_dir_all(&folder)?;
        for file in BROKEN.iter().chain([name]) {
            let file = fixture(file);
            let to = file.file_name().context("a fixture is a file")?;
            fs::copy(&file, folder.join(to))?;
        }
        let served = lab.subject.hoverboard()?.serve(slice::from_ref(&folder), &[], &lab.scratch)?;
        fetch(lab, served, &[&car]).context(*name)?;
        eprintln!("    {name:<42} {:>5} blocks", car.cids().count());
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

fn fixture(name: &str) -> PathBuf {
    root().join("crates/car/tests/fixtures").join(name)
}

/// An empty kubo fetches the last blocks of CARs from a server, which must survive it.
fn fetch(lab: &Lab, mut served: Served, cars: &[&Car]) -> Result<()> {
    let kubo = client(lab, Identity::Ed25519, served.tcp()?)?;
    for car in cars {
        let cids = car.cids_in_order();
        let last = &cids[cids.len().saturating_sub(FETCHED)..];
        fetch_blocks(lab, &kubo, car, last)
            .with_context(|| format!("the server said:\n{}", served.daemon.last_words()))?;
    }
    drop(kubo);
    fs::remove_dir_all(lab.scratch.join("client"))?;
    served.daemon.expect_alive()
}

/// A CAR cut in its middle, and a file that is none, beside a whole CAR: the first half of the blocks is fetched.
pub(crate) fn truncated(lab: &Lab) -> Result<()> {
    let folder = lab.scratch.join("cars");
    fs::create_dir_all(&folder)?;
    let sample = |name: &str| lab.samples(&[name]).pop().context("a sample is missing");
    let (cut, whole) = (sample("mib-raw")?, sample("mib-blake3")?);
    let bytes = fs::read(&cut.car)?;
    fs::write(folder.join("cut.car"), &bytes[..bytes.len() * 5 / 8])?;
    fs::write(folder.join("noise.car"), b"this is no CAR at all")?;
    fs::copy(&whole.car, folder.join("whole.car"))?;

    let served = lab.subject.hoverboard()?.serve(slice::from_ref(&folder), &[], &lab.scratch)?;
    let kept = Car::read_whole_part(&folder.join("cut.car"))?;
    ensure!(kept.cids().count() >= 3, "the cut leaves too little to test with");
    fetch(lab, served, &[&kept, &Car::read(&whole.car)?])
}

/// Fetches blocks each by its CID, and compares them.
fn fetch_blocks(lab: &Lab, kubo: &Kubo, source: &Car, cids: &[&Cid]) -> Result<()> {
    let out = lab.scratch.join("block");
    for cid in cids {
        kubo.repo.block(&cid.to_string(), &out)?;
        if source.block(cid) != Some(&*fs::read(&out)?) {
            bail!("{cid} came with other bytes");
        }
    }
    Ok(())
}
