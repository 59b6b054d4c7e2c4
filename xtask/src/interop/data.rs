//! The test data: DAGs that kubo itself makes from content that a seed determines, kept as CARs in the cache.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    car, cbor,
    kubo::{Identity, Ports, Repo},
};
use crate::cache::Cache;

/// Goes up whenever a recipe below changes, so that nobody tests with yesterday's data.
const RECIPE: u32 = 2;

const MIB: usize = 1024 * 1024;
const SMALL_FILES: u32 = 10_000;
const CHAIN: u64 = 5_000;
/// The largest block that still fits kubo's largest Bitswap message.
const LARGEST_BLOCK: usize = 4_194_286;

/// One DAG, whole, in a CAR.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Dataset {
    /// What it is, for messages and file names.
    pub(crate) name: String,
    /// Its root CID.
    pub(crate) root: String,
    /// The CAR that kubo exported.
    pub(crate) car: PathBuf,
    /// The sha2-256 of the file under the root, in hexadecimal, if the root is a file's.
    pub(crate) content: Option<String>,
}

/// How a file is added: its name, its size, and the arguments of `ipfs add`.
const FILES: &[(&str, usize, &[&str])] = &[
    ("empty", 0, &["--cid-version=1"]),
    ("one-byte", 1, &["--cid-version=1"]),
    ("mib-v0", MIB, &["--cid-version=0", "--raw-leaves=false", "--chunker=size-262144"]),
    ("mib-raw", MIB, &["--cid-version=1", "--chunker=size-262144"]),
    ("mib-blake2b", MIB, &["--cid-version=1", "--hash=blake2b-256", "--chunker=size-262144"]),
    ("mib-blake3", MIB, &["--cid-version=1", "--hash=blake3", "--chunker=size-262144"]),
    ("big-v0", 100 * MIB, &["--cid-version=0", "--raw-leaves=false", "--chunker=size-262144"]),
    ("big-raw-1mib", 100 * MIB, &["--cid-version=1", "--chunker=size-1048576"]),
    ("big-dagpb-1mib", 100 * MIB, &["--cid-version=1", "--raw-leaves=false", "--chunker=size-1048576"]),
    ("big-raw-2mib", 100 * MIB, &["--cid-version=1", "--chunker=size-2096896"]),
];

/// kubo takes a size of zero for a block that it does not have, and never serves this one. It fetches it all the same.
pub(crate) const NOT_FROM_KUBO: [&str; 1] = ["empty"];

/// beetswap answers all that is wanted in one message, however long: with these it is longer than Bitswap allows.
pub(crate) const NOT_FROM_BEETSWAP: [&str; 4] = ["big-v0", "big-raw-1mib", "big-dagpb-1mib", "big-raw-2mib"];

/// helia packs no message with a block this close to the limit of one.
pub(crate) const NOT_FROM_HELIA: [&str; 1] = ["largest-block"];

/// Thousands of blocks that kubo would fetch one after the other, and it sends no two messages within 20 ms.
pub(crate) const SLOW_IN_ORDER: [&str; 3] = ["dir-plain", "dir-hamt", "chain"];

/// The data sets small enough to be fetched once more with every kind of key.
pub(crate) const SAMPLES: [&str; 4] = ["one-byte", "mib-v0", "mib-blake2b", "linked"];

/// Finds the data in the cache, or has kubo make it.
pub(crate) fn ensure(cache: &Cache, ipfs: &Path) -> Result<Vec<Dataset>> {
    let name = format!("data-{RECIPE}");
    let manifest = cache.join(&name).join("manifest.json");
    if let Ok(bytes) = fs::read(&manifest) {
        return serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged: delete it", manifest.display()));
    }
    let kitchen = Kitchen::open(ipfs, cache.fresh_folder(&name)?)?;
    let datasets = kitchen.cook()?;
    fs::remove_dir_all(kitchen.scratch)?;
    fs::write(&manifest, serde_json::to_vec_pretty(&datasets)?)?;
    Ok(datasets)
}

/// Where data is made: a repository, and scratch space beside the finished CARs.
struct Kitchen {
    folder: PathBuf,
    scratch: PathBuf,
    repo: Repo,
}

impl Kitchen {
    fn open(ipfs: &Path, folder: PathBuf) -> Result<Self> {
        let scratch = folder.join("scratch");
        let repo = Repo::init(ipfs, &scratch, "repo", Identity::Ed25519, Ports::Free)?;
        Ok(Self { folder, scratch, repo })
    }

    fn cook(&self) -> Result<Vec<Dataset>> {
        let mut datasets = Vec::new();
        for (seed, (name, size, arguments)) in (1..).zip(FILES) {
            let file = self.scratch.join(name);
            let content = write_content(&file, seed, *size)?;
            let root = self.add(&file, arguments)?;
            datasets.push(self.export(name, &root, Some(content))?);
            fs::remove_file(&file)?;
        }
        datasets.extend(self.directories()?);
        datasets.push(self.largest_block()?);
        datasets.push(self.chain()?);
        datasets.push(self.linked(&datasets)?);
        Ok(datasets)
    }

    fn add(&self, path: &Path, arguments: &[&str]) -> Result<String> {
        let path = path.to_str().context("the cache folder's path is not UTF-8")?;
        let fixed = ["add", "--quieter", "--progress=false", "--pin=false", "--recursive"];
        let printed = self.repo.read(&[&fixed[..], arguments, &[path]].concat())?;
        Ok(printed.trim().to_owned())
    }

    fn export(&self, name: &str, root: &str, content: Option<String>) -> Result<Dataset> {
        let car = self.folder.join(format!("{name}.car"));
        self.repo.export(root, &car)?;
        Ok(Dataset { name: name.to_owned(), root: root.to_owned(), car, content })
    }

    /// Ten thousand small files, in one block of links and in a HAMT.
    fn directories(&self) -> Result<Vec<Dataset>> {
        let folder = self.scratch.join("directory");
        fs::create_dir_all(&folder)?;
        for number in 0..SMALL_FILES {
            fs::write(folder.join(format!("file-{number:05}")), format!("the file {number}\n"))?;
        }
        let mut datasets = Vec::new();
        for (name, threshold) in [("dir-plain", "2MiB"), ("dir-hamt", "16KiB")] {
            self.repo.set("Import/UnixFSHAMTDirectorySizeThreshold", json!(threshold))?;
            let root = self.add(&folder, &["--cid-version=1"])?;
            datasets.push(self.export(name, &root, None)?);
        }
        Ok(datasets)
    }

    /// One block that just fits a message.
    fn largest_block(&self) -> Result<Dataset> {
        let file = self.scratch.join("largest-block");
        write_content(&file, 100, LARGEST_BLOCK)?;
        let path = file.to_str().context("the cache folder's path is not UTF-8")?;
        let root = self.repo.read(&["block", "put", "--allow-big-block", "--cid-codec=raw", path])?;
        self.export("largest-block", root.trim(), None)
    }

    /// Nodes of which each links to the next: nobody can ask for two at once.
    fn chain(&self) -> Result<Dataset> {
        let mut blocks: Vec<(cid::Cid, Vec<u8>)> = Vec::new();
        for number in 0..CHAIN {
            let node = match blocks.last() {
                None => cbor::map(&[("n", cbor::unsigned(number))]),
                Some((next, _)) => cbor::map(&[("n", cbor::unsigned(number)), ("next", cbor::link(next))]),
            };
            blocks.push(cbor::block(node));
        }
        blocks.reverse();
        self.import_and_export("chain", &blocks)
    }

    /// A dag-cbor node with links into other data sets, two of them to the same place.
    fn linked(&self, datasets: &[Dataset]) -> Result<Dataset> {
        let linked = ["one-byte", "mib-v0", "one-byte", "mib-blake3"];
        let links = linked.iter().map(|name| {
            let dataset = datasets.iter().find(|dataset| dataset.name == *name);
            let root = &dataset.with_context(|| format!("no data set {name}"))?.root;
            Ok(cbor::link(&cid::Cid::try_from(root.as_str())?))
        });
        let links = links.collect::<Result<Vec<_>>>()?;
        let node = cbor::map(&[("name", cbor::text("linked")), ("links", cbor::list(&links))]);
        self.import_and_export("linked", &[cbor::block(node)])
    }

    fn import_and_export(&self, name: &str, blocks: &[(cid::Cid, Vec<u8>)]) -> Result<Dataset> {
        let (root, _) = blocks.first().context("a CAR of no blocks has no root")?;
        let ours = self.scratch.join(format!("{name}.car"));
        car::write(&ours, blocks)?;
        self.repo.import(&ours)?;
        self.export(name, &root.to_string(), None)
    }
}

/// Writes a file whose bytes a seed determines, and returns their sha2-256 in hexadecimal.
fn write_content(path: &Path, seed: u64, size: usize) -> Result<String> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut hasher = Sha256::new();
    let mut state = seed;
    let mut left = size;
    while left > 0 {
        let bytes = split_mix(&mut state).to_le_bytes();
        let bytes = &bytes[..left.min(bytes.len())];
        out.write_all(bytes)?;
        hasher.update(bytes);
        left -= bytes.len();
    }
    out.flush()?;
    Ok(hex(&hasher.finalize()))
}

/// The sha2-256 of a file, in hexadecimal.
pub(crate) fn digest(path: &Path) -> Result<String> {
    Ok(hex(&Sha256::digest(fs::read(path)?)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The next number of the SplitMix64 generator.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
