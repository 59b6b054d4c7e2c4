//! The cases that move all of the test data from one program to another.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use super::{
    Lab, broken, caps,
    car::Car,
    data::{self, Dataset, SAMPLES, SLOW_IN_ORDER},
    drain, faults, keys,
    kubo::{Identity, Kubo, Ports, Repo},
    ports,
    programs::Served,
    store, worker,
};

/// One program's way to another.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What happens, in a few words.
    pub(crate) says: &'static str,
    /// Whether kubo can take Hoverboard's part in it.
    pub(crate) control: bool,
    pub(crate) run: fn(&Lab) -> Result<()>,
}

const fn case(name: &'static str, says: &'static str, run: fn(&Lab) -> Result<()>) -> Case {
    Case { name, says, control: true, run }
}

const fn ours(name: &'static str, says: &'static str, run: fn(&Lab) -> Result<()>) -> Case {
    Case { name, says, control: false, run }
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    case("kubo-tcp", "kubo fetches over TCP, many blocks at once", kubo_tcp),
    case("kubo-ws", "kubo exports over a WebSocket, block after block", kubo_ws),
    case("kubo-rsa", "kubo with an RSA identity fetches, and serves", kubo_rsa),
    case("get-kubo", "kubo serves over TCP and over a WebSocket", get_kubo),
    case("helia", "helia fetches over a WebSocket", helia),
    case("get-helia", "helia serves over a WebSocket", get_helia),
    case("beetswap", "beetswap fetches over TCP", beetswap),
    case("get-beetswap", "beetswap serves over TCP", get_beetswap),
    ours("keys", "kubo fetches from an RSA, secp256k1, ECDSA or Ed25519 identity", keys::run),
    ours("fixtures", "kubo fetches whole CARs of other tools beside broken ones", broken::fixtures),
    ours("truncated", "kubo fetches what is whole of a CAR that was cut short", broken::truncated),
    ours("kubo-store", "kubo fetches over TCP from a store that the CARs were imported into", store::kubo),
    ours("drain-kubo", "kubo fetches while the server is stopped and started again", drain::kubo),
    ours("drain-helia", "helia fetches while the server is stopped and started again", drain::helia),
    ours("caps-kubo", "kubo reaches a cap in the middle of a DAG, and is freed from it", caps::kubo),
    ours("worker-kubo", "kubo fetches from Durable Objects", worker::object_kubo),
    ours("worker-helia", "helia fetches from Durable Objects", worker::object_helia),
    ours("worker-frozen", "both fetch while sessions are frozen and thawed after every event", worker::frozen),
    ours("worker-panic", "four peers fetch while the Worker panics under one of them", faults::panic),
    ours("worker-oom", "four peers fetch while the Worker's memory runs out under one of them", faults::out_of_memory),
    ours("worker-plain-kubo", "kubo fetches from a Worker without Durable Objects", worker::plain_kubo),
    ours("worker-plain-helia", "helia fetches from a Worker without Durable Objects", worker::plain_helia),
    ours("default-ports", "kubo with its default ports on the same machine", ports::run),
];

fn kubo_tcp(lab: &Lab) -> Result<()> {
    let served = serve(lab)?;
    let kubo = client(lab, Identity::Ed25519, served.tcp()?)?;
    fetch_all(&lab.served(), lab, served, |dataset, out| {
        kubo.pin(&dataset.root)?;
        export(&kubo, dataset, out)
    })
}

fn kubo_ws(lab: &Lab) -> Result<()> {
    let served = serve(lab)?;
    let kubo = client(lab, Identity::Ed25519, served.ws()?)?;
    let mut datasets = lab.served();
    // The chain has no blocks to be had at once: over one transport is enough.
    datasets.retain(|dataset| dataset.name != "chain");
    fetch_all(&datasets, lab, served, |dataset, out| {
        if SLOW_IN_ORDER.contains(&dataset.name.as_str()) {
            kubo.pin(&dataset.root)?;
        }
        export(&kubo, dataset, out)
    })
}

fn kubo_rsa(lab: &Lab) -> Result<()> {
    let samples = lab.samples(&SAMPLES);
    let served = serve(lab)?;
    for address in [served.tcp()?.to_owned(), served.ws()?.to_owned()] {
        let kubo = client(lab, Identity::Rsa, &address)?;
        each(&samples, lab, |dataset, out| export(&kubo, dataset, out))?;
        fs::remove_dir_all(lab.scratch.join("client"))?;
    }
    let server = server(lab, Identity::Rsa, &samples)?;
    let address = server.tcp()?.to_owned();
    fetch_all(&samples, lab, server, |dataset, out| lab.subject.get(&dataset.root, &address, out, &lab.scratch))
}

fn get_kubo(lab: &Lab) -> Result<()> {
    let datasets = lab.all_but(&data::NOT_FROM_KUBO);
    let server = server(lab, Identity::Ed25519, &datasets)?;
    let (tcp, ws) = (server.tcp()?.to_owned(), server.ws()?.to_owned());
    each(&lab.samples(&SAMPLES), lab, |dataset, out| lab.subject.get(&dataset.root, &ws, out, &lab.scratch))?;
    fetch_all(&datasets, lab, server, |dataset, out| lab.subject.get(&dataset.root, &tcp, out, &lab.scratch))
}

fn helia(lab: &Lab) -> Result<()> {
    let served = serve(lab)?;
    let address = served.ws()?.to_owned();
    fetch_all(&lab.served(), lab, served, |dataset, out| {
        lab.programs.helia_fetch(&address, &dataset.root, out, &lab.scratch)
    })
}

fn get_helia(lab: &Lab) -> Result<()> {
    let datasets = lab.all_but(&data::NOT_FROM_HELIA);
    let served = lab.programs.helia_serve(&cars(&datasets), &lab.scratch)?;
    let address = served.ws()?.to_owned();
    fetch_all(&datasets, lab, served, |dataset, out| lab.subject.get(&dataset.root, &address, out, &lab.scratch))
}

fn beetswap(lab: &Lab) -> Result<()> {
    let served = serve(lab)?;
    let address = served.tcp()?.to_owned();
    fetch_all(&lab.served(), lab, served, |dataset, out| {
        let cids: Vec<_> = Car::read(&dataset.car)?.cids().map(ToString::to_string).collect();
        lab.programs.beetswap_fetch(&address, &cids, out, &lab.scratch)
    })
}

fn get_beetswap(lab: &Lab) -> Result<()> {
    let datasets = lab.all_but(&data::NOT_FROM_BEETSWAP);
    let served = lab.programs.beetswap_serve(&cars(&datasets), &lab.scratch)?;
    let address = served.tcp()?.to_owned();
    fetch_all(&datasets, lab, served, |dataset, out| lab.subject.get(&dataset.root, &address, out, &lab.scratch))
}

/// The program under test, serving all of the data.
fn serve(lab: &Lab) -> Result<Served> {
    lab.subject.serve(&cars(&lab.served()), &lab.scratch)
}

/// An empty kubo, connected to a peer.
pub(crate) fn client(lab: &Lab, identity: Identity, peer: &str) -> Result<Kubo> {
    let repo = Repo::init(&lab.programs.ipfs, &lab.scratch, "client", identity, Ports::Free)?;
    let kubo = repo.start()?;
    kubo.connect(peer)?;
    Ok(kubo)
}

/// A kubo that has the data.
fn server(lab: &Lab, identity: Identity, datasets: &[Dataset]) -> Result<Served> {
    let repo = Repo::init(&lab.programs.ipfs, &lab.scratch, "server", identity, Ports::Free)?;
    for dataset in datasets {
        repo.import(&dataset.car)?;
    }
    let kubo = repo.start()?;
    Ok(Served { addresses: kubo.addresses()?, daemon: kubo.into_daemon() })
}

/// kubo writes the DAG to a CAR and, where the root is a file's, shows that it can read the file.
pub(crate) fn export(kubo: &Kubo, dataset: &Dataset, out: &Path) -> Result<()> {
    kubo.repo.export(&dataset.root, out)?;
    if let Some(expected) = &dataset.content {
        let file = out.with_extension("file");
        kubo.repo.cat(&dataset.root, &file)?;
        if data::digest(&file)? != *expected {
            bail!("`ipfs cat` gives other bytes than the file had");
        }
        fs::remove_file(&file)?;
    }
    Ok(())
}

/// Fetches data sets one by one from a server, which must survive it.
pub(crate) fn fetch_all(
    datasets: &[Dataset],
    lab: &Lab,
    mut server: Served,
    fetch: impl Fn(&Dataset, &Path) -> Result<()>,
) -> Result<()> {
    each(datasets, lab, fetch).with_context(|| format!("the server said:\n{}", server.daemon.last_words()))?;
    server.daemon.expect_alive()
}

/// Fetches data sets one by one and compares each with its source. All of them are tried, whatever fails.
pub(crate) fn each(datasets: &[Dataset], lab: &Lab, fetch: impl Fn(&Dataset, &Path) -> Result<()>) -> Result<()> {
    let mut failed = Vec::new();
    for dataset in datasets {
        let out = lab.scratch.join(format!("{}.car", dataset.name));
        let begun = Instant::now();
        let outcome = fetch(dataset, &out).and_then(|()| {
            let time = begun.elapsed();
            let source = Car::read(&dataset.car)?;
            source.expect_same_blocks(&Car::read(&out)?)?;
            Ok((time, source))
        });
        match outcome {
            Ok((time, source)) => eprintln!(
                "    {:<14} {:>6} blocks {:>9} KiB {:>8.2} s",
                dataset.name,
                source.cids().count(),
                source.block_bytes() / 1024,
                time.as_secs_f64()
            ),
            Err(error) => {
                eprintln!("    {:<14} FAILED after {:.1?}: {error:#}", dataset.name, begun.elapsed());
                failed.push(dataset.name.as_str());
            }
        }
        if out.exists() {
            fs::remove_file(&out)?;
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} data sets failed: {}", failed.len(), datasets.len(), failed.join(", "));
    }
    Ok(())
}

/// The CARs of data sets.
pub(crate) fn cars(datasets: &[Dataset]) -> Vec<PathBuf> {
    datasets.iter().map(|dataset| dataset.car.clone()).collect()
}
