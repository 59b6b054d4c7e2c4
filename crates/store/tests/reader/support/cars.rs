//! CARs whose bytes are made when they are read, so that a gigabyte needs no memory.

use std::ops::Range;

use cid::Cid;
use hoverboard_car::index::{Codec, IndexBuilder};
use hoverboard_car::{SectionOffset, Writer};
use hoverboard_store::CarCid;
use multihash::Multihash;

/// A CAR of blocks of these lengths. A block is its number's digest, and then zeros.
#[derive(Debug)]
pub(crate) struct Car {
    pub(crate) cid: CarCid,
    /// The number of the first block: CARs with other numbers have other blocks.
    first: u64,
    lens: Vec<usize>,
    /// Where each section begins, and where the last one ends.
    pub(crate) offsets: Vec<u64>,
    header: Vec<u8>,
}

/// A digest that stands for a number.
pub(crate) fn digest_of(number: u64) -> [u8; 32] {
    let mut digest = [0; 32];
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in digest.chunks_mut(8) {
        state ^= state >> 30;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
        chunk.copy_from_slice(&state.to_be_bytes());
    }
    digest
}

fn cid_of(number: u64) -> Cid {
    Cid::new_v1(0x55, Multihash::wrap(0x12, &digest_of(number)).unwrap())
}

/// The same in another order, always the same one.
pub(crate) fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    for place in (1..items.len()).rev() {
        let random = u64::from_be_bytes(digest_of(seed ^ place as u64)[..8].try_into().unwrap());
        items.swap(place, (random % (place as u64 + 1)) as usize);
    }
    items
}

impl Car {
    pub(crate) fn new(first: u64, lens: Vec<usize>) -> Self {
        let header = Writer::new(Vec::new(), &[cid_of(first)]).unwrap().finish().unwrap();
        let mut offsets = vec![header.len() as u64];
        for len in &lens {
            let body = 36 + len;
            let varint = (usize::BITS - body.leading_zeros()).div_ceil(7) as usize;
            offsets.push(offsets.last().unwrap() + (body + varint) as u64);
        }
        Self { cid: CarCid::of_digest(digest_of(first ^ (1 << 63))), first, lens, offsets, header }
    }

    /// The same blocks under the name of another CAR.
    pub(crate) fn renamed(self, other: &Self) -> Self {
        Self { cid: other.cid, ..self }
    }

    pub(crate) fn root(&self) -> Cid {
        self.cid_of(0)
    }

    pub(crate) fn cid_of(&self, place: usize) -> Cid {
        cid_of(self.first + place as u64)
    }

    pub(crate) fn cids(&self) -> Vec<Cid> {
        (0..self.lens.len()).map(|place| self.cid_of(place)).collect()
    }

    pub(crate) fn size(&self) -> u64 {
        *self.offsets.last().unwrap()
    }

    pub(crate) fn index(&self) -> Vec<u8> {
        self.index_by(|offset| offset)
    }

    /// An index that says something else about where sections begin.
    pub(crate) fn index_by(&self, lie: impl Fn(u64) -> u64) -> Vec<u8> {
        let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
        for (place, offset) in self.offsets[..self.lens.len()].iter().enumerate() {
            builder.push(self.cid_of(place).hash(), SectionOffset(lie(*offset)));
        }
        builder.finish()
    }

    /// A range of its bytes.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        let mut put = |start: u64, bytes: &[u8]| {
            let from = range.start.clamp(start, start + bytes.len() as u64) - start;
            let to = range.end.clamp(start, start + bytes.len() as u64) - start;
            out.extend_from_slice(&bytes[from as usize..to as usize]);
        };
        put(0, &self.header);
        let first = self.offsets.partition_point(|offset| *offset <= range.start).saturating_sub(1);
        for place in first..self.lens.len() {
            let offset = self.offsets[place];
            if offset >= range.end {
                break;
            }
            let mut section = Vec::with_capacity(self.lens[place] + 40);
            let mut body = 36 + self.lens[place];
            while body >= 0x80 {
                section.push(body as u8 | 0x80);
                body >>= 7;
            }
            section.push(body as u8);
            section.extend(self.cid_of(place).to_bytes());
            section.extend(&digest_of(self.first + place as u64)[..self.lens[place].min(32)]);
            section.resize((self.offsets[place + 1] - offset) as usize, 0);
            put(offset, &section);
        }
        out
    }
}
