//! The first pass over a CAR: every block checked, and all that the second pass needs to know.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use hoverboard_car::index::{Codec, IndexBuilder};
use hoverboard_car::{Decoder, Event, Header, Options, Section};
use sha2::{Digest, Sha256};

use super::ImportError;
use super::roots::Roots;
use crate::CarCid;

/// A survey of one CAR: [`push`](Self::push) it every byte of the file, in any pieces, and [`finish`](Self::finish).
///
/// Its memory is that of one section, of the index (some forty bytes a block, twice that at the end), and of the links
/// where roots have to be found.
#[derive(Debug)]
pub struct Survey {
    given_roots: Vec<Cid>,
    decoder: Decoder,
    /// Bytes of the file that were pushed.
    at: u64,
    stage: Stage,
    index: IndexBuilder,
    blocks: u64,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one, and nearly always it is the large one")]
enum Stage {
    /// Where the payload begins is not known. The last bytes pushed are kept, for it begins among them.
    Opening(BytesMut),
    Payload {
        start: u64,
        /// `None`: it goes on to the end of the file.
        end: Option<u64>,
        hash: Sha256,
        roots: Roots,
    },
}

/// What a [`Survey`] found.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// The name that the CAR will have.
    pub car: CarCid,
    /// The bytes of the file that are the CARv1: all of it, or the payload of a CARv2. What is written.
    pub payload: Range<u64>,
    /// Its index, a MultihashIndexSorted.
    pub index: Bytes,
    /// The roots that it will be found by: at least one, each once.
    pub roots: Vec<Cid>,
    /// How many blocks it holds.
    pub blocks: u64,
}

impl Survey {
    /// A survey at the start of a file. If `roots` are given the CAR is found by these; if there are none, by those
    /// of its header; and if that has none, by the blocks that no other block links to.
    pub fn new(roots: &[Cid]) -> Self {
        Self {
            given_roots: roots.to_vec(),
            decoder: Decoder::new(Options::default()),
            at: 0,
            stage: Stage::Opening(BytesMut::new()),
            index: IndexBuilder::new(Codec::MultihashIndexSorted),
            blocks: 0,
        }
    }

    /// Takes the next bytes of the file. An error takes the survey with it.
    ///
    /// # Errors
    ///
    /// The CAR is damaged, a block is not what its CID says, or the roots cannot be told.
    pub fn push(mut self, bytes: &[u8]) -> Result<Self, ImportError> {
        let at = self.at;
        self.at += bytes.len() as u64;
        match &mut self.stage {
            Stage::Opening(recent) => {
                // A decoder that waits for a header holds no more than one, and so need we not.
                let keep = Options::default().max_header as usize + LONGEST_VARINT;
                let excess = recent.len().saturating_sub(keep);
                let _ = recent.split_to(excess);
                recent.extend_from_slice(bytes);
            }
            Stage::Payload { start, end, hash, .. } => hash.update(within(bytes, at, *start..end.unwrap_or(u64::MAX))),
        }
        self.decoder.push(bytes);
        self.take()?;
        Ok(self)
    }

    /// No more bytes will come.
    ///
    /// # Errors
    ///
    /// The CAR is cut short, or no root or too many were found.
    pub fn finish(mut self) -> Result<Surveyed, ImportError> {
        self.decoder.end();
        self.take()?;
        let Stage::Payload { start, end, hash, roots } = self.stage else {
            // The decoder has said so already: without a header it does not end well.
            return Err(hoverboard_car::Error::Truncated { at: 0, what: "header", end: self.at + 1 }.into());
        };
        Ok(Surveyed {
            car: CarCid::of_digest(hash.finalize().into()),
            payload: start..end.unwrap_or(self.at),
            index: self.index.finish().into(),
            roots: roots.finish()?,
            blocks: self.blocks,
        })
    }

    fn take(&mut self) -> Result<(), ImportError> {
        while let Some(event) = self.decoder.next()? {
            match event {
                Event::Header(header) => self.open(&header),
                Event::Section(section) => self.section(&section)?,
            }
        }
        Ok(())
    }

    fn open(&mut self, header: &Header) {
        let Stage::Opening(recent) = &self.stage else { return };
        let (start, end) = (header.payload_start(), header.payload_end());
        let recent_at = self.at - recent.len() as u64;
        let hash = Sha256::new_with_prefix(within(recent, recent_at, start..end.unwrap_or(u64::MAX)));
        let roots = Roots::choose(&self.given_roots, &header.roots);
        self.stage = Stage::Payload { start, end, hash, roots };
    }

    fn section(&mut self, section: &Section) -> Result<(), ImportError> {
        section.verify(hoverboard_dag::verify)?;
        self.blocks += 1;
        self.index.push(section.cid().hash(), section.head.offset);
        match &mut self.stage {
            Stage::Payload { roots, .. } => roots.block(section.cid(), &section.data),
            Stage::Opening(_) => Ok(()),
        }
    }
}

/// The most bytes of a header's length.
const LONGEST_VARINT: usize = 10;

/// The part of `bytes`, which lie at byte `at` of the file, that lies in `range` of the file.
fn within(bytes: &[u8], at: u64, range: Range<u64>) -> &[u8] {
    let place = |end: u64| usize::try_from(end.saturating_sub(at)).map_or(bytes.len(), |end| end.min(bytes.len()));
    let (start, end) = (place(range.start), place(range.end));
    &bytes[start..end.max(start)]
}
