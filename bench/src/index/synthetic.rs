//! CARs that are not there, as far as an indexer looks: their names and sizes in CARPARK, and their indexes in SATNAV, made
//! as they are read. A bucket of 10^8 blocks of 256 KiB would have 26 TB.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use hoverboard_car::SectionOffset;
use hoverboard_car::index::{Codec, IndexBuilder};
use hoverboard_store::{CarCid, layout};
use md5::{Digest as _, Md5};
use multihash::Multihash;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::counting::unneeded;

/// Blocks of a CAR.
pub(crate) const BLOCKS: u64 = 10_000;
/// Bytes of a section with a block of 256 KiB: a varint of 3, a CID of 36, and the data.
const SECTION: u64 = 3 + 36 + (256 << 10);
/// Bytes of a CARv1's head with one root.
const HEAD: u64 = 59;
/// Bytes of a CAR.
pub(crate) const CAR_LEN: u64 = HEAD + BLOCKS * SECTION;

const SHA2_256: u64 = 0x12;

/// The multihash of the block with this number: as random as a digest is, and the same every time.
pub(crate) fn block(number: u64) -> Multihash<64> {
    let mut digest = [0; 32];
    for (part, word) in digest.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&mixed(number.wrapping_mul(4).wrapping_add(part as u64)).to_le_bytes());
    }
    // Thirty-two bytes fit in sixty-four, so the default is never taken.
    Multihash::wrap(SHA2_256, &digest).unwrap_or_default()
}

/// The finaliser of SplitMix64: no two numbers give the same.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The CAR with this number, which has the blocks from `number * BLOCKS` on.
fn car(number: u64) -> CarCid {
    let mut digest = [0xca; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    CarCid::of_digest(digest)
}

fn number_of(key: &Path) -> Option<u64> {
    let (cid, _) = key.filename()?.split_once('.')?;
    let car: CarCid = cid.parse().ok()?;
    car.digest().first_chunk().map(|le| u64::from_le_bytes(*le))
}

/// CARPARK with so many CARs.
#[derive(Debug)]
pub(crate) struct Carpark(pub(crate) Range<u64>);

/// SATNAV with their indexes. Those that were made before are held, and the others made as they are read.
#[derive(Debug)]
pub(crate) struct Satnav {
    cars: Range<u64>,
    held: Vec<(Bytes, String)>,
}

impl Satnav {
    pub(crate) fn new(cars: Range<u64>) -> Self {
        Self { cars, held: Vec::new() }
    }

    /// With all of them in memory, 400 KB each, so that making them is not measured.
    pub(crate) fn held(cars: Range<u64>) -> Self {
        Self { held: cars.clone().map(index).collect(), cars }
    }
}

/// The index of a CAR, and the ETag that R2 gives it, which is its MD5.
fn index(number: u64) -> (Bytes, String) {
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    for position in 0..BLOCKS {
        builder.push(&block(number * BLOCKS + position), SectionOffset(HEAD + position * SECTION));
    }
    let bytes = Bytes::from(builder.finish());
    let md5: [u8; 16] = Md5::digest(&bytes).into();
    (bytes, format!("\"{:032x}\"", u128::from_be_bytes(md5)))
}

fn meta(location: Path, size: u64, e_tag: String) -> ObjectMeta {
    ObjectMeta { location, last_modified: Default::default(), size, e_tag: Some(e_tag), version: None }
}

fn not_found(location: &Path) -> Error {
    Error::NotFound { path: location.to_string(), source: "there is no such CAR".into() }
}

impl ReadOnly for Carpark {
    fn list_all(&self) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = |number| Ok(meta(layout::car(&car(number)), CAR_LEN, format!("\"{number:032x}\"")));
        stream::iter(self.0.clone()).map(listed).boxed()
    }

    fn read(&self, location: &Path, _: &GetOptions) -> Result<GetResult> {
        // Whoever reads a CAR whose index is there does what is not to be measured.
        Err(not_found(location))
    }
}

impl ReadOnly for Satnav {
    fn list_all(&self) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([Err(unneeded("a listing of SATNAV"))]).boxed()
    }

    fn read(&self, location: &Path, options: &GetOptions) -> Result<GetResult> {
        if options.range.is_some() {
            return Err(unneeded("a part of an index"));
        }
        let number = number_of(location).filter(|number| self.cars.contains(number));
        let number = number.ok_or_else(|| not_found(location))?;
        let held = usize::try_from(number - self.cars.start).ok().and_then(|place| self.held.get(place));
        let (bytes, e_tag) = held.cloned().unwrap_or_else(|| index(number));
        let len = bytes.len() as u64;
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            meta: meta(location.clone(), len, e_tag),
            range: 0..len,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }
}

/// A store that can be read and listed.
trait ReadOnly: fmt::Debug + Send + Sync + 'static {
    fn list_all(&self) -> BoxStream<'static, Result<ObjectMeta>>;
    fn read(&self, location: &Path, options: &GetOptions) -> Result<GetResult>;
}

/// It as an object store.
#[derive(Debug)]
pub(crate) struct Synthetic<S>(pub(crate) S);

impl<S> fmt::Display for Synthetic<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("synthetic")
    }
}

#[async_trait]
impl<S: ReadOnly> ObjectStore for Synthetic<S> {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(unneeded("a write"))
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unneeded("an upload in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.read(location, &options)
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::iter([Err(unneeded("a removal"))]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_all()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(unneeded("a listing by folders"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unneeded("a copy"))
    }
}
