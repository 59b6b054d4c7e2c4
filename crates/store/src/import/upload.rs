//! One object into a store: in one request if it is small, else in parts, several at a time.

use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};

use super::{ImportError, Options, Source, Target, Watch};
use crate::CarCid;

/// The most parts that S3 and R2 take.
const MAX_PARTS: u64 = 10_000;

/// An object to be written.
pub(super) struct Upload<'a> {
    pub(super) target: Target<'a>,
    pub(super) options: &'a Options,
    pub(super) watch: &'a dyn Watch,
}

impl Upload<'_> {
    /// Writes these bytes of the source. If `expected` is given they are hashed, and nothing becomes visible of bytes
    /// that are not that CAR.
    pub(super) async fn run(
        self,
        source: &dyn Source,
        range: Range<u64>,
        expected: Option<&CarCid>,
    ) -> Result<(), ImportError> {
        let Target { store, key, .. } = &self.target;
        let failed = |source| self.target.failed(source);
        let mut parts = Parts::new(source, range, self.options, expected);
        if parts.is_single() {
            let Some(part) = parts.next(self.watch).await? else {
                return Ok(());
            };
            let len = part.len() as u64;
            store.put(key, part.into()).await.map_err(failed)?;
            self.watch.done(len);
            return Ok(());
        }

        let mut upload = store.put_multipart(key).await.map_err(failed)?;
        let sent = match self.send(&mut *upload, &mut parts).await {
            Ok(()) => upload.complete().await.map(drop).map_err(failed),
            Err(error) => Err(error),
        };
        if sent.is_err() {
            // Best effort: what it leaves is invisible, and stores clear such things away after a few days.
            let _ = upload.abort().await;
        }
        sent
    }

    /// Sends every part. On an error, parts that are on their way are let go.
    async fn send(&self, upload: &mut dyn MultipartUpload, parts: &mut Parts<'_>) -> Result<(), ImportError> {
        let concurrency = self.options.concurrency.max(1);
        let mut sending = FuturesUnordered::new();
        loop {
            let part = parts.next(self.watch).await?;
            let over = part.is_none();
            if let Some(part) = part {
                let len = part.len() as u64;
                let put = upload.put_part(PutPayload::from_bytes(part));
                sending.push(async move { put.await.map(|()| len) });
            }
            while sending.len() >= if over { 1 } else { concurrency } {
                if let Some(sent) = sending.next().await {
                    self.watch.done(sent.map_err(|source| self.target.failed(source))?);
                }
            }
            if over {
                return Ok(());
            }
        }
    }
}

/// The parts of an object, read one after the other.
struct Parts<'a> {
    source: &'a dyn Source,
    left: Range<u64>,
    part_size: u64,
    /// The hash so far and what it should come to.
    check: Option<(Sha256, &'a CarCid)>,
    begun: bool,
}

impl<'a> Parts<'a> {
    fn new(source: &'a dyn Source, range: Range<u64>, options: &Options, expected: Option<&'a CarCid>) -> Self {
        let part_size = part_size(range.end.saturating_sub(range.start), options.part_size as u64);
        Self { source, left: range, part_size, check: expected.map(|car| (Sha256::new(), car)), begun: false }
    }

    fn is_single(&self) -> bool {
        self.left.end - self.left.start <= self.part_size
    }

    /// The next part; of an empty object there is one, which is empty. The last one is given out only when the whole
    /// is what it should be.
    async fn next(&mut self, watch: &dyn Watch) -> Result<Option<Bytes>, ImportError> {
        let left = self.left.end.saturating_sub(self.left.start);
        if left == 0 && self.begun {
            return Ok(None);
        }
        if watch.stopped() {
            return Err(ImportError::Stopped);
        }
        self.begun = true;
        // Part sizes come from a `usize` or from a length divided by the count of parts.
        let len = usize::try_from(left.min(self.part_size)).map_err(|_| ImportError::Changed)?;
        let part = match self.source.read_at(self.left.start, len).await {
            Ok(part) if part.len() == len => part,
            Ok(_) => return Err(ImportError::Changed),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(ImportError::Changed),
            Err(error) => return Err(error.into()),
        };
        self.left.start += len as u64;
        if let Some((hash, expected)) = &mut self.check {
            hash.update(&part);
            if self.left.is_empty() && CarCid::of_digest(hash.finalize_reset().into()) != **expected {
                return Err(ImportError::Changed);
            }
        }
        Ok(Some(part))
    }
}

/// The size of all parts but the last, which stores want to be the same: as asked, or larger if it took too many.
fn part_size(len: u64, asked: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    let least = len.div_ceil(MAX_PARTS).next_multiple_of(MIB);
    match len.div_ceil(asked.max(1)) > MAX_PARTS {
        true => least,
        false => asked.max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_when_there_would_be_too_many() {
        const GIB: u64 = 1 << 30;
        assert_eq!(part_size(GIB, 8 << 20), 8 << 20);
        for len in [78 * GIB, 79 * GIB, 5 << 40] {
            let size = part_size(len, 8 << 20);
            assert!(len.div_ceil(size) <= MAX_PARTS && size >= 8 << 20, "{len}: {size}");
        }
        assert_eq!(part_size(0, 0), 1);
    }
}
