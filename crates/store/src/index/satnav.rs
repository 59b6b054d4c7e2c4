//! The index of a CAR in SATNAV, read to be indexed: checked from end to end, and sure.

use futures_util::StreamExt;
use hoverboard_car::SectionOffset;
use hoverboard_index::Extent;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::described::Source;
use super::gather::Listed;
use super::records::Records;
use super::{Index, IndexError};
use crate::layout::{self, SATNAV};
use crate::satnav::is_md5_of;

/// An index up to this length is held in memory while it is read, in bytes: that of some 200,000 blocks.
const HELD: u64 = 8 << 20;
/// Sections of which the ends are found by sorting where they begin, at eight bytes each.
const MAX_OFFSETS: usize = 8 << 20;
/// How often an index is read before it is given up.
const READS: u32 = 3;

/// Where sections begin, sorted; and how long the CAR is. Empty: not known.
pub(super) struct Ends {
    offsets: Vec<u64>,
    size: u64,
}

impl Ends {
    /// A section at this place, and at most how long it is.
    pub(super) fn extent(&self, offset: u64) -> Extent {
        let next = self.offsets.get(self.offsets.partition_point(|other| *other <= offset)).copied();
        let known = !self.offsets.is_empty();
        Extent::section(SectionOffset(offset), known.then(|| next.unwrap_or(self.size).saturating_sub(offset)))
    }
}

/// What a first reading of an index finds.
struct Checked {
    ends: Ends,
    digest: [u8; 32],
}

/// Checks an index as its bytes arrive.
struct Check {
    records: Records,
    offsets: Vec<u64>,
    many: bool,
    /// Where the last section begins, if there is one.
    last: Option<u64>,
    hash: Sha256,
}

impl Check {
    fn new() -> Self {
        Self { records: Records::default(), offsets: Vec::new(), many: false, last: None, hash: Sha256::new() }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.hash.update(bytes);
        let Self { records, offsets, many, last, .. } = self;
        let pushed = records.push(bytes, |record| {
            *last = (*last).max(Some(record.offset));
            *many |= offsets.len() == MAX_OFFSETS;
            if !*many {
                offsets.push(record.offset);
            }
        });
        if self.many {
            self.offsets = Vec::new();
        }
        pushed.map_err(|error| error.to_string())
    }

    fn finish(mut self, size: u64) -> Result<Checked, String> {
        self.records.finish().map_err(|error| error.to_string())?;
        if let Some(last) = self.last.filter(|last| *last >= size) {
            return Err(format!("it has a section at byte {last}, and the CAR has {size} bytes"));
        }
        self.offsets.sort_unstable();
        Ok(Checked { ends: Ends { offsets: self.offsets, size }, digest: self.hash.finalize().into() })
    }
}

impl Index {
    /// The index of a CAR, if it is there and sound: read twice with the same outcome unless its ETag is its MD5, because
    /// what is missed here stays missed. `None`: the CAR has to be read.
    pub(super) async fn satnav(&self, listed: &Listed) -> Result<Option<Source>, IndexError> {
        let key = layout::index(&listed.car);
        let failed = |source| IndexError::store("read", SATNAV, &key, source);
        for _ in 0..READS {
            let read = || async {
                let result = self.bucket.satnav.get(&key).await?;
                let (size, e_tag) = (result.meta.size, result.meta.e_tag.clone());
                let mut body = result.into_stream();
                let (mut check, mut held, mut sound) = (Check::new(), Vec::new(), Ok(()));
                while let Some(chunk) = body.next().await.transpose()? {
                    // Of one that is none, the rest is not needed.
                    sound = check.push(&chunk);
                    if sound.is_err() {
                        break;
                    }
                    if size <= HELD {
                        held.extend_from_slice(&chunk);
                    }
                }
                Ok((size, e_tag, held, sound.and_then(|()| check.finish(listed.size))))
            };
            let (size, e_tag, held, checked) = match self.retrying(read).await {
                Ok(read) => read,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(failed(error)),
            };
            let Ok(Checked { ends, digest }) = checked else { continue };
            if size > HELD {
                return Ok(Some(Source::Streamed(ends, digest)));
            }
            let sure = e_tag.is_some_and(|e_tag| is_md5_of(&e_tag, &held));
            if sure || self.reads_again(&key, &digest).await.map_err(failed)? {
                return Ok(Some(Source::Held(held.into(), ends)));
            }
        }
        Ok(None)
    }

    async fn reads_again(&self, key: &Path, digest: &[u8; 32]) -> object_store::Result<bool> {
        let again = self.retrying(|| async { self.bucket.satnav.get(key).await?.bytes().await }).await?;
        Ok(Sha256::digest(&again)[..] == digest[..])
    }
}
