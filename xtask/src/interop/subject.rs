//! The program that the others are tried against: ours, or kubo in its place.
//!
//! With kubo in its place a failure is the harness's or the data's: `cargo xtask interop --control` proves both.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{
    kubo::{Identity, Ports, Repo},
    programs::{Hoverboard, Served},
};

#[derive(Debug)]
pub(crate) enum Subject {
    Hoverboard(Hoverboard),
    /// kubo, by the path of its program.
    Control(PathBuf),
}

impl Subject {
    /// Serves CARs over TCP and over a WebSocket.
    pub(crate) fn serve(&self, cars: &[PathBuf], scratch: &Path) -> Result<Served> {
        match self {
            Self::Hoverboard(hoverboard) => hoverboard.serve(cars, &[], scratch),
            Self::Control(ipfs) => {
                let repo = Repo::init(ipfs, scratch, "subject", Identity::Ed25519, Ports::Free)?;
                for car in cars {
                    repo.import(car)?;
                }
                let kubo = repo.start()?;
                Ok(Served { addresses: kubo.addresses()?, daemon: kubo.into_daemon() })
            }
        }
    }

    /// Fetches the DAG under a root from a peer into a CAR.
    pub(crate) fn get(&self, root: &str, peer: &str, out: &Path, scratch: &Path) -> Result<()> {
        match self {
            Self::Hoverboard(hoverboard) => hoverboard.get(root, peer, out, scratch),
            Self::Control(ipfs) => {
                let name = format!("getter-{root}");
                let repo = Repo::init(ipfs, scratch, &name, Identity::Ed25519, Ports::Free)?;
                let kubo = repo.start()?;
                kubo.connect(peer)?;
                // An export alone waits some 20 ms for each block.
                kubo.pin(root)?;
                kubo.repo.export(root, out)
            }
        }
    }

    /// The program under test, for cases that no other program could take its part in.
    pub(crate) fn hoverboard(&self) -> Result<&Hoverboard> {
        match self {
            Self::Hoverboard(hoverboard) => Ok(hoverboard),
            Self::Control(_) => None.context("kubo cannot take Hoverboard's part in this case"),
        }
    }
}
