//! CARs made for the cases, and the check that a bucket holds one.

use bytes::Bytes;
use cid::Cid;
use futures_util::TryStreamExt;
use hoverboard_car::index::SortedIndex;
use hoverboard_car::{Options, SectionHead, Writer, wrap};
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};

use super::{Outcome, ensure};
use crate::import::{Survey, Surveyed};
use crate::{Bucket, CarCid, layout};

const RAW: u64 = 0x55;
const DAG_CBOR: u64 = 0x71;

/// A CARv1 of some leaves and a block that links to them.
pub(super) struct Made {
    pub(super) bytes: Bytes,
    pub(super) root: Cid,
    pub(super) blocks: Vec<(Cid, Bytes)>,
}

impl Made {
    /// `leaves` blocks of `len` bytes, which are others for every seed. The header names the root if it is to.
    pub(super) fn new(seed: u64, leaves: u64, len: usize, named: bool) -> Outcome<Self> {
        let mut blocks = Vec::new();
        for number in 0..leaves {
            let data = noise(seed << 32 | number, len);
            blocks.push((cid(RAW, &data)?, data));
        }
        let node = list_of_links(blocks.iter().map(|(cid, _)| cid));
        let root = cid(DAG_CBOR, &node)?;
        blocks.push((root, node));

        let roots = [root];
        let mut writer = Writer::new(Vec::new(), if named { &roots } else { &[] })?;
        for (cid, data) in &blocks {
            writer.write(cid, data)?;
        }
        Ok(Self { bytes: writer.finish()?.into(), root, blocks })
    }

    /// The same as a CARv2, with nothing where its index should be.
    pub(super) fn as_v2(&self) -> Outcome<Bytes> {
        let mut file = Vec::new();
        wrap(&*self.bytes, self.bytes.len() as u64, Some(b"no index at all"), &mut file)?;
        Ok(file.into())
    }

    /// The key that the CAR should have.
    pub(super) fn car(&self) -> CarCid {
        CarCid::of_digest(Sha256::digest(&self.bytes).into())
    }

    /// Checks that the bucket holds this CAR, its index, and an entry for its root.
    pub(super) async fn check(&self, bucket: &Bucket) -> Outcome {
        let car = self.car();
        let stored = bucket.carpark.get(&layout::car(&car)).await?.bytes().await?;
        ensure!(stored == self.bytes, "{car}: other bytes");
        let index = bucket.satnav.get(&layout::index(&car)).await?.bytes().await?;
        let index = SortedIndex::open(index)?;
        index.check()?;
        ensure!(index.len() == self.blocks.len(), "{car}: {} blocks in the index", index.len());
        for (cid, data) in &self.blocks {
            let Some(offset) = index.lookup(cid.hash()).next() else {
                ensure!(false, "{car}: no {cid} in the index");
                continue;
            };
            let section = stored.get(offset.0 as usize..).unwrap_or_default();
            let head = SectionHead::parse(section, offset, 0, &Options::default())?;
            ensure!(head.is_some_and(|head| head.cid == *cid), "{car}: {cid} is not where the index says");
            let head_len = head.map_or(0, |head| head.head_len()) as usize;
            ensure!(section.get(head_len..head_len + data.len()) == Some(&**data), "{car}: {cid} has other bytes");
        }
        ensure!(self.is_entered(bucket).await?, "{car}: no entry for its root");
        Ok(())
    }

    /// Whether its root leads to it.
    pub(super) async fn is_entered(&self, bucket: &Bucket) -> Outcome<bool> {
        let entries = bucket.dudewhere.list(Some(&layout::entries(&self.root)));
        let cars = entries.map_ok(|meta| layout::car_of_entry(&meta.location));
        let cars: Vec<Option<CarCid>> = cars.try_collect().await?;
        Ok(cars.contains(&Some(self.car())))
    }
}

/// Surveys a file, pushed in pieces.
pub(super) fn survey(file: &[u8], roots: &[Cid]) -> Outcome<Surveyed> {
    let pushed = file.chunks(100_000).try_fold(Survey::new(roots), |survey, piece| survey.push(piece));
    Ok(pushed?.finish()?)
}

/// Bytes that look random and are the same for the same seed.
pub(super) fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

fn cid(codec: u64, data: &[u8]) -> Outcome<Cid> {
    Ok(Cid::new_v1(codec, hoverboard_dag::multihash(0x12, 32, data)?))
}

/// A dag-cbor list of links.
fn list_of_links<'a>(cids: impl ExactSizeIterator<Item = &'a Cid>) -> Bytes {
    let mut out = vec![0x99];
    out.extend_from_slice(&(cids.len() as u16).to_be_bytes());
    for cid in cids {
        // Tag 42 on a byte string: a zero and the CID.
        out.extend_from_slice(&[0xd8, 0x2a, 0x58, cid.encoded_len() as u8 + 1, 0]);
        out.extend_from_slice(&cid.to_bytes());
    }
    out.into()
}
