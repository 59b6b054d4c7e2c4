//! A DAG to import and to fetch.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::assert::OutputAssertExt;
use cid::Cid;
use hoverboard_car::{Options, Reader, Writer};
use tempfile::TempDir;

use crate::common::{cid, data};
use crate::import::import;
use crate::process::hoverboard;
use crate::server::Server;

/// A DAG in a CAR: a node that links to leaves.
pub(crate) struct Dag {
    folder: TempDir,
    pub(crate) root: Cid,
    /// The root first.
    pub(crate) blocks: Vec<(Cid, Vec<u8>)>,
}

impl Dag {
    pub(crate) fn new(seed: u64, sizes: impl IntoIterator<Item = usize>) -> Self {
        let leaves = sizes.into_iter().zip(seed..).map(|(size, seed)| data(seed, size));
        let mut blocks: Vec<(Cid, Vec<u8>)> = leaves.map(|data| (cid(&data), data)).collect();
        let links: Vec<Cid> = blocks.iter().map(|(cid, _)| *cid).collect();
        let node = serde_ipld_dagcbor::to_vec(&links).expect("encodes");
        let root = Cid::new_v1(0x71, hoverboard_dag::multihash(0x12, 32, &node).expect("supported"));
        blocks.insert(0, (root, node));
        let dag = Self { folder: tempfile::tempdir().expect("a folder"), root, blocks };
        let file = fs::File::create(dag.car()).expect("created");
        let mut writer = Writer::new(std::io::BufWriter::new(file), &[root]).expect("begun");
        for (cid, data) in &dag.blocks {
            writer.write(cid, data).expect("written");
        }
        writer.finish().expect("finished");
        dag
    }

    fn car(&self) -> PathBuf {
        self.folder.path().join("dag.car")
    }

    pub(crate) fn leaves(&self) -> Vec<Cid> {
        self.blocks[1..].iter().map(|(cid, _)| *cid).collect()
    }

    /// Imports it, and returns the CID of its CAR.
    pub(crate) fn import(&self, store: &Path, variables: &[(String, String)]) -> String {
        let variables = variables.iter().map(|(name, value)| (name, value));
        let output = import(store).arg(self.car()).envs(variables).assert().success().get_output().stdout.clone();
        let line = String::from_utf8(output).expect("utf-8");
        line.split(' ').next().expect("a CAR").to_owned()
    }

    /// Has `hoverboard get` fetch it, and compares every block.
    pub(crate) fn expect_fetched(&self, server: &Server) {
        let out = self.folder.path().join("out.car");
        let mut get = hoverboard();
        get.args(["get", &self.root.to_string(), "--from", &server.addr, "-o"]).arg(&out).assert().success();
        let reader = Reader::new(fs::File::open(&out).expect("there"), Options::default()).expect("a CAR");
        assert_eq!(reader.header().roots, [self.root]);
        let got: Vec<(Cid, Vec<u8>)> = reader
            .map(|block| {
                let block = block.expect("a block");
                (*block.cid(), block.data.to_vec())
            })
            .collect();
        assert!(got == self.blocks, "{} blocks of {}", got.len(), self.blocks.len());
        fs::remove_file(out).expect("removed");
    }
}

/// Some of every size that there is.
pub(crate) fn mixed() -> impl Iterator<Item = usize> {
    [1 << 10, 256 << 10, 9, 40 << 10, 1 << 20].into_iter().cycle().take(150)
}
