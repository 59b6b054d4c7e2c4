//! Hoverboard under an identity of each kind, dialled by kubo.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use libp2p_identity::Keypair;

use super::{
    Lab,
    cases::{cars, client, each, export},
    data::SAMPLES,
    kubo::{Identity, Ports, Repo},
};

/// The kinds of key that libp2p knows, in the order of its specification.
const KINDS: [&str; 4] = ["rsa", "ed25519", "secp256k1", "ecdsa"];

pub(crate) fn run(lab: &Lab) -> Result<()> {
    let hoverboard = lab.subject.hoverboard()?;
    let samples = lab.samples(&SAMPLES);
    for kind in KINDS {
        let key = key_file(lab, kind).with_context(|| format!("no {kind} key could be made"))?;
        let key = key.to_str().context("the cache folder's path is not UTF-8")?;
        let served = hoverboard.serve(&cars(&samples), &["--key", key], &lab.scratch)?;
        for address in [served.tcp()?, served.ws()?] {
            eprintln!("    {kind}: {address}");
            let kubo = client(lab, Identity::Ed25519, address)?;
            each(&samples, lab, |dataset, out| export(&kubo, dataset, out))
                .with_context(|| format!("with a {kind} identity"))?;
            drop(kubo);
            fs::remove_dir_all(lab.scratch.join("client"))?;
        }
    }
    Ok(())
}

/// A private key in libp2p's protobuf form: by kubo's own export where it makes such keys.
fn key_file(lab: &Lab, kind: &str) -> Result<PathBuf> {
    let file = lab.scratch.join(format!("{kind}.key"));
    let path = file.to_str().context("the cache folder's path is not UTF-8")?;
    let ours = match kind {
        "secp256k1" => Keypair::generate_secp256k1(),
        "ecdsa" => Keypair::generate_ecdsa(),
        "rsa" | "ed25519" => {
            let name = format!("{kind}-repo");
            let repo = Repo::init(&lab.programs.ipfs, &lab.scratch, &name, Identity::Ed25519, Ports::Free)?;
            repo.read(&["key", "gen", "--type", kind, "served"])?;
            repo.read(&["key", "export", "--format=libp2p-protobuf-cleartext", "-o", path, "served"])?;
            ensure!(file.exists(), "`ipfs key export` wrote no file");
            return Ok(file);
        }
        _ => bail!("an unknown kind of key"),
    };
    fs::write(&file, ours.to_protobuf_encoding()?)?;
    Ok(file)
}
