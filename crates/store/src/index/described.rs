//! What a CAR holds, from its SATNAV index where that is good, else from the CAR itself.

use bytes::Bytes;
use futures_util::StreamExt;
use hoverboard_car::index::SortedIndex;
use hoverboard_index::Extent;
use multihash::Multihash;
use object_store::{Error, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::gather::{Gathering, Listed};
use super::records::{Record, Records};
use super::satnav::Ends;
use super::{Index, IndexError};
use crate::import::{self, ImportError, SectionLen, Survey, Surveyed};
use crate::layout::{CARPARK, SATNAV};
use crate::{CarCid, layout};

/// A CAR, and where its blocks are to be had from.
pub(super) struct Described {
    pub(super) listed: Listed,
    pub(super) source: Source,
}

/// Where the blocks are had from.
pub(super) enum Source {
    /// An index in memory, which was checked.
    Held(Bytes, Ends),
    /// An index too large for that, which was read once and checked.
    Streamed(Ends, [u8; 32]),
    /// The CAR was read.
    Surveyed(Box<Surveyed>),
}

impl Index {
    /// Finds out what a CAR holds. An index that is missing, or is none, is made out of the CAR and written, and the
    /// roots are entered that can be told.
    ///
    /// # Errors
    ///
    /// The store fails; or the CAR is damaged, or is not what its key says.
    pub(super) async fn describe(&self, listed: Listed, options: &import::Options) -> Result<Described, IndexError> {
        self.check_stopped()?;
        let source = match self.satnav(&listed).await? {
            Some(source) => source,
            None => Source::Surveyed(Box::new(self.survey(&listed, options).await?)),
        };
        Ok(Described { listed, source })
    }

    /// Reads a CAR through, checks every block, and writes its index and its entries.
    async fn survey(&self, listed: &Listed, options: &import::Options) -> Result<Surveyed, IndexError> {
        let car = listed.car;
        let bad = |source: ImportError| IndexError::Car { car, source: Box::new(source) };
        let key = if listed.blob { layout::blob(&car) } else { layout::car(&car) };
        let failed = |source| IndexError::store("read", CARPARK, &key, source);
        let result = self.retrying(|| self.bucket.carpark.get(&key)).await.map_err(failed)?;
        let mut body = result.into_stream();
        let mut survey = Survey::of_stored();
        while let Some(chunk) = body.next().await {
            self.check_stopped()?;
            survey = survey.push(&chunk.map_err(failed)?).map_err(bad)?;
        }
        let surveyed = survey.finish().map_err(bad)?;
        self.write_surveyed(&car, &surveyed, options).await?;
        Ok(surveyed)
    }

    /// Writes the index and the entries of a CAR that was read in the bucket.
    ///
    /// # Errors
    ///
    /// It is not the one that its key names; or the store fails.
    pub(super) async fn write_surveyed(
        &self,
        car: &CarCid,
        surveyed: &Surveyed,
        options: &import::Options,
    ) -> Result<(), IndexError> {
        let car = *car;
        let bad = |source: ImportError| IndexError::Car { car, source: Box::new(source) };
        if surveyed.car != car || surveyed.payload.start != 0 {
            // A CARv2 is stored as its payload: readers count offsets from the start of the object.
            return Err(bad(ImportError::Misnamed { found: surveyed.car }));
        }
        // What is there of another content is none, or it would have been used.
        let place = layout::index(&car);
        let write = |source| IndexError::store("write", SATNAV, &place, source);
        match self.bucket.satnav.delete(&place).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(write(error)),
        }
        match import::describe(&self.bucket, surveyed, options, &()).await {
            Ok(_) => Ok(()),
            Err(ImportError::Store { key, source }) => Err(IndexError::Store { what: "write", key, source }),
            Err(error) => Err(bad(error)),
        }
    }

    /// Adds the blocks of a CAR to those that are gathered.
    pub(super) async fn gather(
        &self,
        described: &Described,
        replaces: &[u32],
        into: &mut Gathering<'_>,
    ) -> Result<u64, IndexError> {
        let listed = &described.listed;
        let car = listed.car;
        let lies = |error: &dyn ToString| wrong_index(&car, error);
        if let Source::Surveyed(surveyed) = &described.source {
            return self.gather_surveyed(listed, surveyed, replaces, into).await;
        }
        into.begin(listed, replaces).map_err(|error| lies(&error))?;
        let mut blocks = 0;
        match &described.source {
            Source::Held(bytes, ends) => {
                let mut reading = Reading { ends, into, blocks: &mut blocks, records: Records::default() };
                for chunk in bytes.chunks(CHUNK) {
                    reading.into.spill().await?;
                    reading.push(chunk).map_err(|error| lies(&error))?;
                }
            }
            Source::Streamed(ends, digest) => {
                let key = layout::index(&car);
                let failed = |source| IndexError::store("read", SATNAV, &key, source);
                let mut body = self.retrying(|| self.bucket.satnav.get(&key)).await.map_err(failed)?.into_stream();
                let mut hash = Sha256::new();
                let mut reading = Reading { ends, into, blocks: &mut blocks, records: Records::default() };
                while let Some(chunk) = body.next().await.transpose().map_err(failed)? {
                    hash.update(&chunk);
                    reading.into.spill().await?;
                    reading.push(&chunk).map_err(|error| lies(&error))?;
                }
                if hash.finalize()[..] != digest[..] {
                    return Err(lies(&"it is another one each time it is read"));
                }
            }
            Source::Surveyed(_) => {}
        }
        Ok(blocks)
    }

    /// Adds the blocks of a CAR that was surveyed, and begins it.
    pub(super) async fn gather_surveyed(
        &self,
        listed: &Listed,
        surveyed: &Surveyed,
        replaces: &[u32],
        into: &mut Gathering<'_>,
    ) -> Result<u64, IndexError> {
        let lies = |error: &dyn ToString| wrong_index(&listed.car, error);
        into.begin(listed, replaces).map_err(|error| lies(&error))?;
        let mut blocks = 0;
        for (multihash, extent) in exact(&surveyed.index, &surveyed.sections) {
            if blocks % SPILL_EVERY == 0 {
                into.spill().await?;
            }
            into.push(&multihash, extent).map_err(|error| lies(&error))?;
            blocks += 1;
        }
        Ok(blocks)
    }
}

impl Index {
    /// Gives every block of a CAR.
    pub(super) async fn each_block(
        &self,
        described: &Described,
        mut each: impl FnMut(&Multihash<64>) + Send,
    ) -> Result<(), IndexError> {
        let key = layout::index(&described.listed.car);
        let lies = |error: &dyn ToString| wrong_index(&described.listed.car, error);
        let mut give = |record: Record<'_>| {
            if let Ok(multihash) = Multihash::wrap(record.code, record.digest) {
                each(&multihash);
            }
        };
        let mut records = Records::default();
        match &described.source {
            Source::Held(bytes, _) => records.push(bytes, give).map_err(|error| lies(&error)),
            Source::Surveyed(surveyed) => records.push(&surveyed.index, give).map_err(|error| lies(&error)),
            Source::Streamed(..) => {
                let failed = |source| IndexError::store("read", SATNAV, &key, source);
                let mut body = self.retrying(|| self.bucket.satnav.get(&key)).await.map_err(failed)?.into_stream();
                while let Some(chunk) = body.next().await.transpose().map_err(failed)? {
                    records.push(&chunk, &mut give).map_err(|error| lies(&error))?;
                }
                Ok(())
            }
        }
    }
}

/// An index that says what cannot be.
fn wrong_index(car: &CarCid, why: &dyn ToString) -> IndexError {
    IndexError::Wrong { key: format!("{SATNAV}/{}", layout::index(car)), why: why.to_string() }
}

/// Bytes of an index that are taken at a time.
const CHUNK: usize = 256 << 10;
/// Blocks after which it is looked whether there are enough for a run.
const SPILL_EVERY: u64 = 4096;

/// An index whose records become entries.
struct Reading<'a, 'b> {
    ends: &'a Ends,
    into: &'a mut Gathering<'b>,
    blocks: &'a mut u64,
    records: Records,
}

impl Reading<'_, '_> {
    fn push(&mut self, chunk: &[u8]) -> Result<(), String> {
        let Self { ends, into, blocks, records } = self;
        let mut failed = None;
        let pushed = records.push(chunk, |Record { code, digest, offset }| {
            let pushed = Multihash::wrap(code, digest)
                .map_err(|error| error.to_string())
                .and_then(|multihash| into.push(&multihash, ends.extent(offset)).map_err(|error| error.to_string()));
            match pushed {
                Ok(()) => **blocks += 1,
                Err(error) => failed = Some(error),
            }
        });
        pushed.map_err(|error| error.to_string())?;
        failed.map_or(Ok(()), Err)
    }
}

/// Every block of a CAR that was surveyed, and exactly where it lies.
fn exact<'a>(index: &Bytes, sections: &'a [SectionLen]) -> impl Iterator<Item = (Multihash<64>, Extent)> + use<'a> {
    let index = SortedIndex::open(index.clone()).ok();
    let count = index.as_ref().map_or(0, SortedIndex::len);
    (0..count).filter_map(move |number| {
        let record = index.as_ref()?.record(number)?;
        let multihash = Multihash::wrap(record.code?, record.digest).ok()?;
        let at = sections.binary_search_by_key(&record.offset, |section| section.offset).ok()?;
        let section = sections.get(at)?;
        Some((multihash, Extent::exact(section.offset, u64::from(section.len), usize::from(section.cid_len))))
    })
}

impl Described {
    /// The CAR.
    pub(super) fn car(&self) -> CarCid {
        self.listed.car
    }
}
