//! The manifest's bytes: DAG-CBOR, a map with short keys, runs and pieces of the CAR table as lists.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use xxhash_rust::xxh3::xxh3_64;

use super::{Manifest, ManifestError};
use crate::cars::Segment;
use crate::run::{Run, Shape};
use crate::{Key, ObjectId, Struck};

/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u64,
    #[serde(rename = "gen")]
    generation: u64,
    prev: Option<ByteArray<32>>,
    at: u64,
    key: ByteArray<16>,
    next: u32,
    /// Whether every CAR of the bucket is in the runs.
    complete: bool,
    cars: Vec<WireSegment>,
    runs: Vec<WireRun>,
    struck: Vec<u32>,
    /// XXH3-64, little-endian, of the same bytes with eight zeros here.
    sum: ByteArray<8>,
}

/// Id, first ordinal, CARs.
#[derive(Serialize, Deserialize)]
struct WireSegment(ByteArray<16>, u32, u32);

/// Id, first ordinal, CARs, entries, shard bits, pages.
#[derive(Serialize, Deserialize)]
struct WireRun(ByteArray<16>, u32, u32, u64, u8, u32);

/// As much of any version as says which it is.
#[derive(Deserialize)]
struct AnyVersion {
    v: u64,
}

pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let mut wire: Wire =
        serde_ipld_dagcbor::from_slice(bytes).map_err(|error| {
            match serde_ipld_dagcbor::from_slice::<AnyVersion>(bytes) {
                Ok(AnyVersion { v }) if v != VERSION => ManifestError::Version(v),
                _ => ManifestError::Syntax(error.to_string()),
            }
        })?;
    if wire.v != VERSION {
        return Err(ManifestError::Version(wire.v));
    }
    let claimed = std::mem::replace(&mut wire.sum, ByteArray::new([0; 8]));
    let unsummed = to_vec(&wire);
    if claimed != checksum(&unsummed) {
        return Err(ManifestError::Checksum);
    }
    let segment = |WireSegment(id, first, cars): WireSegment| Segment { id: ObjectId::from_bytes(*id), first, cars };
    let run = |(number, WireRun(id, first, cars, entries, shard_bits, pages)): (usize, WireRun)| {
        let shape = Shape::new(shard_bits, pages).ok_or(ManifestError::Run(number))?;
        Ok(Run { id: ObjectId::from_bytes(*id), first, cars, entries, shape })
    };
    let struck: Struck = wire.struck.iter().copied().collect();
    if struck.len() != wire.struck.len() {
        return Err(ManifestError::NotCanonical);
    }
    Ok(Manifest {
        generation: wire.generation,
        previous: wire.prev.map(ByteArray::into_array),
        at: wire.at,
        key: Key::new(*wire.key),
        next: wire.next,
        complete: wire.complete,
        segments: wire.cars.into_iter().map(segment).collect(),
        runs: wire.runs.into_iter().enumerate().map(run).collect::<Result<_, ManifestError>>()?,
        struck,
    })
}

pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    let id = |id: ObjectId| ByteArray::new(id.to_bytes());
    let segments = manifest.segments.iter().map(|segment| WireSegment(id(segment.id), segment.first, segment.cars));
    let runs = manifest
        .runs
        .iter()
        .map(|run| WireRun(id(run.id), run.first, run.cars, run.entries, run.shape.shard_bits(), run.shape.pages()));
    let mut wire = Wire {
        v: VERSION,
        generation: manifest.generation,
        prev: manifest.previous.map(ByteArray::new),
        at: manifest.at,
        key: ByteArray::new(manifest.key.bytes()),
        next: manifest.next,
        complete: manifest.complete,
        cars: segments.collect(),
        runs: runs.collect(),
        struck: manifest.struck.ordinals().to_vec(),
        sum: ByteArray::new([0; 8]),
    };
    wire.sum = checksum(&to_vec(&wire));
    to_vec(&wire)
}

fn checksum(unsummed: &[u8]) -> ByteArray<8> {
    ByteArray::new(xxh3_64(unsummed).to_le_bytes())
}

fn to_vec(wire: &Wire) -> Vec<u8> {
    // Numbers, bytes and lists into memory: nothing of this can fail, and an empty object would not be read as one.
    serde_ipld_dagcbor::to_vec(wire).unwrap_or_default()
}
