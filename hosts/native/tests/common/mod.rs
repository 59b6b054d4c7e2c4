//! CAR files for the tests, made on the spot.

#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cid::Cid;
use hoverboard::catalog::{Catalog, CatalogError, CatalogOptions, Found, Query, Want};
use hoverboard::metrics::Metrics;
use hoverboard_car::{SectionOffset, Writer};
use indicatif::ProgressBar;
use tempfile::TempDir;

/// A block and where its section lies in the CAR it was written to.
#[derive(Debug, Clone)]
pub struct Block {
    pub cid: Cid,
    pub data: Vec<u8>,
    pub offset: SectionOffset,
}

/// A raw sha2-256 CID.
pub fn cid(data: &[u8]) -> Cid {
    Cid::new_v1(0x55, hoverboard_dag::multihash(0x12, 32, data).expect("supported"))
}

/// Data of `len` bytes that differs for each `seed`.
pub fn data(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut out: Vec<u8> = seed.to_le_bytes().into_iter().chain((0..len / 8).flat_map(|_| next())).collect();
    out.resize(len, 0xaa);
    out
}

/// Writes a CAR of these blocks.
pub fn write_car(path: &Path, blocks: impl IntoIterator<Item = Vec<u8>>) -> Vec<Block> {
    let mut writer = Writer::new(std::io::BufWriter::new(File::create(path).expect("created")), &[]).expect("begun");
    let mut written = Vec::new();
    for data in blocks {
        let cid = cid(&data);
        let offset = writer.write(&cid, &data).expect("written");
        written.push(Block { cid, data, offset });
    }
    writer.finish().expect("finished");
    written
}

/// Writes a CAR of `count` blocks of `len` bytes.
pub fn car_of(path: &Path, seed: u64, count: u64, len: usize) -> Vec<Block> {
    write_car(path, (0..count).map(|n| data(seed * 1_000_000 + n, len)))
}

/// A folder of CARs and a catalog over it.
pub struct Served {
    pub folder: TempDir,
    pub state: TempDir,
    pub metrics: Arc<Metrics>,
    pub options: CatalogOptions,
}

impl Served {
    pub fn new() -> Self {
        let (folder, state) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let options = CatalogOptions {
            paths: vec![folder.path().to_path_buf()],
            state: Some(state.path().to_path_buf()),
            ..CatalogOptions::default()
        };
        Self { folder, state, metrics: Arc::new(Metrics::new()), options }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn try_open(&self) -> Result<Catalog, CatalogError> {
        Catalog::open(self.options.clone(), self.metrics.clone(), &ProgressBar::hidden())
    }

    pub fn open(&self) -> Catalog {
        self.try_open().expect("opened")
    }
}

pub fn want(cid: &Cid) -> Query {
    Query { multihash: *cid.hash(), want: Want::Block }
}

pub fn have(cid: &Cid, inline_limit: usize) -> Query {
    Query { multihash: *cid.hash(), want: Want::Have { inline_limit } }
}

/// The answer to a want-block.
pub fn read(catalog: &Catalog, cid: &Cid) -> Found {
    catalog.read(&[want(cid)]).remove(0)
}

/// Asserts that every block is answered with its bytes.
pub fn assert_served(catalog: &Catalog, blocks: &[Block]) {
    let queries: Vec<Query> = blocks.iter().map(|block| want(&block.cid)).collect();
    for (block, found) in blocks.iter().zip(catalog.read(&queries)) {
        assert!(found == Found::Block(block.data.clone().into()), "{}: {found:?}", block.cid);
    }
}

/// Lets a change be noticed: two looks that see the same.
pub fn settle(catalog: &Catalog) {
    catalog.refresh();
    catalog.refresh();
}

/// Waits until the change time of a file is old enough to be trusted.
pub fn age(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).expect("there");
    let ctime = SystemTime::UNIX_EPOCH + Duration::new(meta.ctime() as u64, meta.ctime_nsec() as u32);
    let trusted = ctime + Duration::from_millis(2_050);
    if let Ok(wait) = trusted.duration_since(SystemTime::now()) {
        std::thread::sleep(wait);
    }
}
