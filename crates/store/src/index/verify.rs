//! A CAR that anybody put into CARPARK, read and checked in pieces, for who has little time and memory: each piece ends with
//! what was found so far written beside the index, and the last with the CAR's own index and the entries of its roots.

use futures_util::StreamExt;
use object_store::{Error, GetOptions, GetRange};
use serde::{Deserialize, Serialize};

use super::gather::Listed;
use super::{Index, IndexError};
use crate::import::{self, ImportError, Survey};
use crate::layout::{self, CARPARK, INDEX};

/// How much is done in one go.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Bytes of the CAR that are read.
    pub bytes: u64,
    /// The most blocks that it may have: each takes up to a hundred bytes of memory, and sixty of what is put away.
    pub blocks: usize,
    /// How indexes are uploaded.
    pub import: import::Options,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is sound, has so many blocks, and is described.
    Whole(u64),
    /// It was read up to this byte, and goes on from there.
    Further(u64),
    /// It is not there any more, or another object than was asked for.
    Changed,
    /// It has more blocks than may be indexed here.
    TooMany,
}

/// A CAR that is being read: of which object, and its survey.
#[derive(Serialize, Deserialize)]
struct Form {
    size: u64,
    e_tag: Option<String>,
    survey: Vec<u8>,
}

impl Index {
    /// Reads the next piece of a CAR, from where the piece before has ended.
    ///
    /// # Errors
    ///
    /// The store fails; or the CAR is damaged, or is not what its key says.
    pub async fn verify(&self, listed: &Listed, piece: &Piece) -> Result<Verified, IndexError> {
        let verified = self.verify_piece(listed, piece).await;
        if matches!(
            &verified,
            Ok(Verified::Whole(_) | Verified::Changed | Verified::TooMany) | Err(IndexError::Car { .. })
        ) {
            // What was put away of it is of no use any more.
            self.delete(&*self.bucket.index, INDEX, &layout::reading(&listed.car)).await?;
        }
        verified
    }

    async fn verify_piece(&self, listed: &Listed, piece: &Piece) -> Result<Verified, IndexError> {
        let car = listed.car;
        let bad = |source: ImportError| IndexError::Car { car, source: Box::new(source) };
        let key = if listed.blob { layout::blob(&car) } else { layout::car(&car) };
        let failed = |source| IndexError::store("read", CARPARK, &key, source);
        let (mut survey, begun) = self.taken_up(listed).await?.unwrap_or_else(|| (Survey::of_stored(), 0));
        let mut at = begun;
        let end = listed.size.min(begun.saturating_add(piece.bytes.max(1)));
        if at < end {
            let range = Some(GetRange::Bounded(at..end));
            let options = GetOptions { range, if_match: listed.e_tag.clone(), ..GetOptions::default() };
            let result = match self.retrying(|| self.bucket.carpark.get_opts(&key, options.clone())).await {
                Ok(result) => result,
                Err(Error::NotFound { .. } | Error::Precondition { .. }) => return Ok(Verified::Changed),
                Err(error) => return Err(failed(error)),
            };
            let mut body = result.into_stream();
            while let Some(chunk) = body.next().await {
                self.check_stopped()?;
                let chunk = match chunk {
                    Ok(chunk) => chunk,
                    // What was read until then is kept, so that a long CAR gets through where bodies break.
                    Err(_) if at - begun >= LEAST => break,
                    Err(error) => return Err(failed(error)),
                };
                at += chunk.len() as u64;
                survey = survey.push(&chunk).map_err(bad)?;
                if survey.blocks() > piece.blocks {
                    return Ok(Verified::TooMany);
                }
            }
        }
        if at < listed.size {
            return self.put_survey_away(listed, &survey, at).await;
        }
        let surveyed = survey.finish().map_err(bad)?;
        self.write_surveyed(&car, &surveyed, &piece.import).await?;
        Ok(Verified::Whole(surveyed.blocks))
    }

    /// The survey that was put away, and how far it had come. `None`: there is none of this object.
    async fn taken_up(&self, listed: &Listed) -> Result<Option<(Survey, u64)>, IndexError> {
        let bytes = match self.get(&layout::reading(&listed.car)).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let form: Option<Form> = postcard::from_bytes(&bytes).ok();
        let form = form.filter(|form| form.size == listed.size && form.e_tag == listed.e_tag);
        Ok(form.and_then(|form| Survey::thaw(&form.survey)))
    }

    async fn put_survey_away(&self, listed: &Listed, survey: &Survey, at: u64) -> Result<Verified, IndexError> {
        let wrong = |why: &str| {
            let source = ImportError::Source(std::io::Error::other(why.to_owned()));
            IndexError::Car { car: listed.car, source: Box::new(source) }
        };
        let survey = survey
            .freeze()
            .ok_or_else(|| wrong("it is too long to be read at once, and no CARv1 with a short header"))?;
        let form = Form { size: listed.size, e_tag: listed.e_tag.clone(), survey };
        let bytes = postcard::to_allocvec(&form).map_err(|error| wrong(&error.to_string()))?;
        self.put(&layout::reading(&listed.car), bytes.into()).await?;
        Ok(Verified::Further(at))
    }
}

/// Of a piece that a broken body ended early, so many bytes are worth being kept.
const LEAST: u64 = 4 << 20;
