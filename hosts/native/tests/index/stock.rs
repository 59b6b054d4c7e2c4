//! CARs to index, and what the index of a store says of their blocks.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard::store::{Access, Location};
use hoverboard_dag::Software;
use hoverboard_store::CarCid;
use hoverboard_store::index::lookup::{Runs, Settings};
use hoverboard_store::ledger::{Budget, Ledger};
use hoverboard_store::library::{Config, Located, Locator, NotLocated, Timer};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::common::data;
use crate::process::hoverboard;

/// A CAR file, and what it holds. The first block is its root.
pub(crate) struct Car {
    pub(crate) path: PathBuf,
    pub(crate) cid: CarCid,
    pub(crate) blocks: Vec<Cid>,
}

/// CAR files in a folder.
pub(crate) struct Stock {
    _folder: TempDir,
    pub(crate) cars: Vec<Car>,
}

impl Stock {
    /// So many CARs of so many blocks of their own, and one that all have.
    pub(crate) fn new(cars: u64, blocks: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cars = (1..=cars).map(|number| car(folder.path().join(format!("{number}.car")), number, blocks)).collect();
        Self { _folder: folder, cars }
    }

    /// The block that all CARs have.
    pub(crate) fn common(&self) -> Cid {
        *self.cars[0].blocks.last().expect("a block")
    }
}

fn car(path: PathBuf, number: u64, blocks: u64) -> Car {
    let own = (0..blocks).map(|block| data(number * 1_000_000 + block, 100));
    let datas: Vec<Vec<u8>> = own.chain([b"common".to_vec()]).collect();
    let cids: Vec<Cid> = datas.iter().map(|data| crate::common::cid(data)).collect();
    let file = std::fs::File::create(&path).expect("created");
    let mut writer = hoverboard_car::Writer::new(std::io::BufWriter::new(file), &cids[..1]).expect("begun");
    for (cid, data) in cids.iter().zip(&datas) {
        writer.write(cid, data).expect("written");
    }
    writer.finish().expect("finished");
    let bytes = std::fs::read(&path).expect("there");
    Car { path, cid: CarCid::of_digest(Sha256::digest(&bytes).into()), blocks: cids }
}

/// A store, and how to reach it.
pub(crate) struct Place {
    pub(crate) location: Location,
    pub(crate) variables: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn folder(folder: &TempDir) -> Self {
        Self { location: Location::Folder(folder.path().join("store")), variables: Vec::new() }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = hoverboard();
        command.args(words).envs(self.variables.iter().map(|(name, value)| (name, value)));
        let flag = if words[0] == "import" { "--to" } else { "--store" };
        command.arg(flag).arg(self.location.to_string());
        command
    }

    /// What a reader that has just begun says of these blocks.
    pub(crate) fn locate(&self, blocks: &[Cid]) -> Vec<Said> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let bucket = self.location.open_with(Access::Read, self.variables.clone()).expect("opened");
            let config = Config::new(Arc::new(Software), Arc::new(Tokio), Arc::new(()));
            let runs = Runs::new(bucket, Settings::of(&config));
            let account = Ledger::new(Budget::UNLIMITED).account();
            match runs.locate(blocks.iter().map(|cid| *cid.hash()).collect(), account).await {
                Ok(located) => located.into_iter().map(said).collect(),
                Err(NotLocated::NoIndex) => vec![Said::Nothing; blocks.len()],
                Err(error) => panic!("{error}"),
            }
        })
    }
}

/// What is said of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    In(Vec<CarCid>),
    Missing,
    Unknown,
    /// There is no index.
    Nothing,
}

impl Said {
    pub(crate) fn is_in(&self, car: &Car) -> bool {
        matches!(self, Self::In(cars) if cars.contains(&car.cid))
    }
}

fn said(located: Located) -> Said {
    match located {
        Located::At { places, .. } => Said::In(places.iter().map(|place| place.car).collect()),
        Located::Missing => Said::Missing,
        Located::Unknown | Located::Block(_) => Said::Unknown,
    }
}

struct Tokio;

impl Timer for Tokio {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }
}
