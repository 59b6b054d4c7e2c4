//! The first pass over a CAR: every block checked, and all that the second pass needs to know.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use hoverboard_car::index::{Codec, IndexBuilder};
use hoverboard_car::{Decoder, Event, Header, Options, Section, SectionOffset};

use super::ImportError;
use super::hash::Hash;
use super::roots::Roots;
use crate::CarCid;

/// A survey of one CAR: [`push`](Self::push) it every byte of the file, in any pieces, and [`finish`](Self::finish).
///
/// Its memory is that of one section, of the index (some sixty bytes a block, forty more at the end), and of the links
/// where roots have to be found.
#[derive(Debug)]
pub struct Survey {
    pub(super) given_roots: Vec<Cid>,
    /// The CAR is in the bucket already: it may have no root.
    pub(super) rootless: bool,
    pub(super) decoder: Decoder,
    /// Bytes of the file that were pushed.
    pub(super) at: u64,
    pub(super) stage: Stage,
    pub(super) index: IndexBuilder,
    pub(super) sections: Vec<SectionLen>,
}

/// Where a section lies and how long it is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionLen {
    /// Where its length varint begins, from the start of the CARv1.
    pub offset: SectionOffset,
    /// Bytes of varint, CID and data.
    pub len: u32,
    /// Bytes of the CID alone.
    pub cid_len: u8,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Where the payload begins is not known. The last bytes pushed are kept, for it begins among them.
    Opening(BytesMut),
    Payload {
        start: u64,
        /// `None`: it goes on to the end of the file.
        end: Option<u64>,
        hash: Hash,
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
    /// The roots that it will be found by: at least one, each once. Of a CAR that lay in the bucket there may be none.
    pub roots: Vec<Cid>,
    /// How many blocks it holds.
    pub blocks: u64,
    /// Every section, in order.
    pub sections: Arc<[SectionLen]>,
}

impl Survey {
    /// A survey at the start of a file. If `roots` are given the CAR is found by these; if there are none, by those
    /// of its header; and if that has none, by the blocks that no other block links to.
    pub fn new(roots: &[Cid]) -> Self {
        Self {
            given_roots: roots.to_vec(),
            rootless: false,
            decoder: Decoder::new(Options::default()),
            at: 0,
            stage: Stage::Opening(BytesMut::new()),
            index: IndexBuilder::new(Codec::MultihashIndexSorted),
            sections: Vec::new(),
        }
    }

    /// A survey of a CAR that lies in the bucket already, put there by anybody: where no root can be told it has none.
    pub fn of_stored() -> Self {
        Self { rootless: true, ..Self::new(&[]) }
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
            car: CarCid::of_digest(hash.finish()),
            payload: start..end.unwrap_or(self.at),
            index: self.index.finish().into(),
            roots: match roots.finish() {
                Err(_) if self.rootless => Vec::new(),
                roots => roots?,
            },
            blocks: self.sections.len() as u64,
            sections: self.sections.into(),
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
        let mut hash = Hash::new();
        hash.update(within(recent, recent_at, start..end.unwrap_or(u64::MAX)));
        let roots = Roots::choose(&self.given_roots, &header.roots);
        self.stage = Stage::Payload { start, end, hash, roots };
    }

    fn section(&mut self, section: &Section) -> Result<(), ImportError> {
        section.verify(hoverboard_dag::verify)?;
        let head = &section.head;
        self.index.push(head.cid.hash(), head.offset);
        // A section and its CID have bounds that are far below these.
        let len = u32::try_from(head.section_len()).unwrap_or(u32::MAX);
        let cid_len = u8::try_from(head.cid.encoded_len()).unwrap_or(u8::MAX);
        self.sections.push(SectionLen { offset: head.offset, len, cid_len });
        let Stage::Payload { roots, .. } = &mut self.stage else { return Ok(()) };
        match roots.block(section.cid(), &section.data) {
            Err(_) if self.rootless => *roots = Roots::none(),
            outcome => outcome?,
        }
        Ok(())
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
