//! A survey put away between two events, and taken up again: of a CARv1 that lies in the bucket, at any byte.

use cid::Cid;
use hoverboard_car::index::{Codec, IndexBuilder, SortedIndex};
use hoverboard_car::{Decoder, Options, SectionOffset};
use multihash::Multihash;
use serde::{Deserialize, Serialize};

use super::hash::Hash;
use super::roots::{self, Roots};
use super::survey::{SectionLen, Stage, Survey};

/// The version of the form: a form of another one is none.
const VERSION: u8 = 1;

/// Everything that a survey needs to go on.
#[derive(Serialize, Deserialize)]
struct Form {
    version: u8,
    /// Where the next section begins, and the bytes from there on that were taken already.
    at: u64,
    rest: Vec<u8>,
    hash: Hash,
    roots: roots::Form,
    /// The index so far, as it would be written.
    index: Vec<u8>,
    sections: Vec<(u64, u32, u8)>,
}

impl Survey {
    /// The survey as bytes, some sixty a block and those of one section. `None`: it cannot be put away here, before the
    /// header is known or of a CARv2.
    pub fn freeze(&self) -> Option<Vec<u8>> {
        let Stage::Payload { start: 0, end: None, hash, roots } = &self.stage else { return None };
        let (at, rest) = self.decoder.pending()?;
        let form = Form {
            version: VERSION,
            at,
            rest: rest.to_vec(),
            hash: hash.clone(),
            roots: roots.form(),
            index: self.index.clone().finish(),
            sections: self.sections.iter().map(|s| (s.offset.0, s.len, s.cid_len)).collect(),
        };
        postcard::to_allocvec(&form).ok()
    }

    /// The survey that was [frozen](Self::freeze), at the byte of the file that is to be pushed next. `None`: these bytes are
    /// none, or of another version. They are trusted otherwise: they come from where the index lies.
    pub fn thaw(form: &[u8]) -> Option<(Self, u64)> {
        let form: Form = postcard::from_bytes(form).ok().filter(|form: &Form| form.version == VERSION)?;
        let mut index = IndexBuilder::new(Codec::MultihashIndexSorted);
        for record in SortedIndex::open(form.index.into()).ok()?.iter() {
            index.push(&Multihash::<64>::wrap(record.code?, record.digest).ok()?, record.offset);
        }
        let mut decoder = Decoder::at_section(Options::default(), form.at);
        decoder.push(&form.rest);
        let at = form.at.checked_add(form.rest.len() as u64)?;
        let section = |(offset, len, cid_len)| SectionLen { offset: SectionOffset(offset), len, cid_len };
        let survey = Self {
            given_roots: Vec::new(),
            rootless: true,
            decoder,
            at,
            stage: Stage::Payload { start: 0, end: None, hash: form.hash, roots: Roots::of_form(form.roots)? },
            index,
            sections: form.sections.into_iter().map(section).collect(),
        };
        Some((survey, at))
    }

    /// Blocks so far.
    pub fn blocks(&self) -> usize {
        self.sections.len()
    }
}

/// CIDs as bytes: they have no other form here.
pub(super) fn cids(bytes: &[Vec<u8>]) -> Option<Vec<Cid>> {
    bytes.iter().map(|bytes| Cid::try_from(&bytes[..]).ok()).collect()
}
