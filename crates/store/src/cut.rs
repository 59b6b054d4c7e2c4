//! Sections cut out of a range of a CAR as its bytes arrive. No I/O, and no hashing.
//!
//! The range begins where a section begins, or is told where the next one does: the sections that nobody wants are
//! either cut as well or passed over without being looked at.

use std::collections::VecDeque;

use bytes::Bytes;
use cid::Cid;
use hoverboard_car::{Error, MAX_HEAD_LEN, Options, SectionHead, SectionOffset};

/// A section whose bytes are all here. They were not compared with the CID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Where it begins in the CAR.
    pub offset: u64,
    /// The CID that stands in front of the block.
    pub cid: Cid,
    /// The block.
    pub data: Bytes,
    /// Where the next section begins.
    pub end: u64,
}

/// Cuts sections out of consecutive bytes. It holds less than one section and the last chunk that was pushed.
#[derive(Debug)]
pub struct Cutter {
    /// Where the next section begins.
    at: u64,
    /// Where the next pushed byte belongs.
    received: u64,
    /// The bytes from `at` on; none where `at` was not reached yet.
    chunks: VecDeque<Bytes>,
    buffered: usize,
    options: Options,
}

impl Cutter {
    /// A cutter of bytes that begin at `start` of a CAR, where a section begins.
    pub fn new(start: u64) -> Self {
        Self { at: start, received: start, chunks: VecDeque::new(), buffered: 0, options: Options::default() }
    }

    /// Where the next section begins, in bytes from the start of the CAR.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes of the range.
    pub fn push(&mut self, chunk: Bytes) {
        let before = self.received;
        self.received += chunk.len() as u64;
        let skipped = self.at.saturating_sub(before).min(chunk.len() as u64) as usize;
        if skipped < chunk.len() {
            self.buffered += chunk.len() - skipped;
            self.chunks.push_back(chunk.slice(skipped..));
        }
    }

    /// Passes over what lies before `offset`, where a section begins too. Going back is not possible.
    pub fn skip_to(&mut self, offset: u64) {
        let mut skip = offset.saturating_sub(self.at);
        self.at = self.at.max(offset);
        while skip > 0
            && let Some(chunk) = self.chunks.front_mut()
        {
            let step = skip.min(chunk.len() as u64) as usize;
            let _ = chunk.split_to(step);
            self.buffered -= step;
            skip -= step as u64;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
    }

    /// The head of the next section, once it is here.
    ///
    /// # Errors
    ///
    /// What is there is no section.
    pub fn head(&self) -> Result<Option<SectionHead>, Error> {
        let mut bytes = [0; MAX_HEAD_LEN];
        let mut len = 0;
        for chunk in &self.chunks {
            let step = chunk.len().min(MAX_HEAD_LEN - len);
            bytes[len..][..step].copy_from_slice(&chunk[..step]);
            len += step;
            if len == MAX_HEAD_LEN {
                break;
            }
        }
        SectionHead::parse(&bytes[..len], SectionOffset(self.at), 0, &self.options)
    }

    /// The next section. `None`: not all of its bytes are here.
    ///
    /// # Errors
    ///
    /// What is there is no section. [`skip_to`](Self::skip_to) gets over it.
    pub fn next_section(&mut self) -> Result<Option<Section>, Error> {
        let Some(head) = self.head()? else { return Ok(None) };
        if (self.buffered as u64) < head.section_len() {
            return Ok(None);
        }
        let offset = self.at;
        self.skip_to(offset + head.head_len());
        let data = self.take(head.data_len as usize);
        self.at = head.end().0;
        Ok(Some(Section { offset, cid: head.cid, data, end: self.at }))
    }

    /// The next `len` bytes, which are no section but a block by itself. `None`: not all of them are here.
    pub fn next_bare(&mut self, len: u64) -> Option<Bytes> {
        let there = usize::try_from(len).ok().filter(|len| *len <= self.buffered)?;
        self.at += len;
        Some(self.take(there))
    }

    /// Takes bytes off the front, all of which are there.
    fn take(&mut self, len: usize) -> Bytes {
        self.buffered -= len;
        let data = match self.chunks.front_mut() {
            _ if len == 0 => return Bytes::new(),
            // A small block does not keep a large chunk in memory.
            Some(chunk) if chunk.len() > 4 * len => Bytes::copy_from_slice(&chunk.split_to(len)),
            Some(chunk) if chunk.len() >= len => chunk.split_to(len),
            _ => {
                let mut data = Vec::with_capacity(len);
                while data.len() < len
                    && let Some(chunk) = self.chunks.front_mut()
                {
                    let step = chunk.len().min(len - data.len());
                    data.extend_from_slice(&chunk.split_to(step));
                    if chunk.is_empty() {
                        self.chunks.pop_front();
                    }
                }
                return data.into();
            }
        };
        if self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use hoverboard_car::Writer;
    use multihash::Multihash;
    use proptest::prelude::*;

    use super::*;

    fn cid(number: usize) -> Cid {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Cid::new_v1(0x55, Multihash::wrap(0x12, &digest).unwrap())
    }

    /// A CAR of blocks of these lengths, and where its sections begin.
    fn car(lens: &[usize]) -> (Bytes, Vec<u64>) {
        let mut writer = Writer::new(Vec::new(), &[cid(0)]).unwrap();
        let data = |number: usize, len| vec![number as u8; len];
        lens.iter().enumerate().for_each(|(number, len)| {
            writer.write(&cid(number), &data(number, *len)).unwrap();
        });
        let car = Bytes::from(writer.finish().unwrap());
        let mut end = car.len() as u64;
        let mut offsets: Vec<u64> = lens
            .iter()
            .rev()
            .map(|len| {
                let body = len + 36;
                let varint = (usize::BITS - body.leading_zeros()).div_ceil(7) as usize;
                end -= (body + varint) as u64;
                end
            })
            .collect();
        offsets.reverse();
        (car, offsets)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_split_gives_the_same_sections_whichever_are_wanted(
            lens in prop::collection::vec(prop_oneof![0usize..200, 1000usize..5000], 1..20),
            wanted in prop::collection::vec(any::<bool>(), 20),
            splits in prop::collection::vec(1usize..4000, 1..50),
        ) {
            let (car, offsets) = car(&lens);
            let wanted: Vec<usize> = (0..lens.len()).filter(|number| wanted[*number]).collect();
            let mut cutter = Cutter::new(offsets[0]);
            let mut rest = car.slice(offsets[0] as usize..);
            let mut splits = splits.iter().cycle();
            for number in wanted {
                cutter.skip_to(offsets[number]);
                let section = loop {
                    if let Some(section) = cutter.next_section().unwrap() {
                        break section;
                    }
                    prop_assert!(!rest.is_empty());
                    cutter.push(rest.split_to(rest.len().min(*splits.next().unwrap())));
                };
                prop_assert_eq!(section.offset, offsets[number]);
                prop_assert_eq!(section.cid, cid(number));
                prop_assert_eq!(&section.data[..], &vec![number as u8; lens[number]][..]);
                prop_assert_eq!(section.end, offsets.get(number + 1).copied().unwrap_or(car.len() as u64));
                prop_assert_eq!(cutter.at(), section.end);
            }
        }

        #[test]
        fn a_block_by_itself_is_cut_where_it_lies(
            lens in prop::collection::vec(0usize..5000, 1..20),
            splits in prop::collection::vec(1usize..4000, 1..50),
        ) {
            let (car, offsets) = car(&lens);
            let mut cutter = Cutter::new(offsets[0]);
            let mut rest = car.slice(offsets[0] as usize..);
            let mut splits = splits.iter().cycle();
            for (number, len) in lens.iter().enumerate() {
                let end = offsets.get(number + 1).copied().unwrap_or(car.len() as u64);
                cutter.skip_to(end - *len as u64);
                let data = loop {
                    if let Some(data) = cutter.next_bare(*len as u64) {
                        break data;
                    }
                    prop_assert!(!rest.is_empty());
                    cutter.push(rest.split_to(rest.len().min(*splits.next().unwrap())));
                };
                prop_assert_eq!(&data[..], &vec![number as u8; *len][..]);
                prop_assert_eq!(cutter.at(), end);
            }
        }

        #[test]
        fn whatever_bytes_never_panic_and_are_not_hoarded(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
        ) {
            let mut cutter = Cutter::new(0);
            for chunk in chunks {
                cutter.push(chunk.into());
                loop {
                    match cutter.next_section() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => cutter.skip_to(cutter.at() + 1),
                    }
                }
                prop_assert_eq!(cutter.buffered, cutter.chunks.iter().map(Bytes::len).sum::<usize>());
            }
        }
    }

    #[test]
    fn a_section_longer_than_any_message_is_an_error_before_its_bytes_are_kept() {
        let mut cutter = Cutter::new(100);
        cutter.push(Bytes::from_static(&[0xff, 0xff, 0xff, 0x7f, 1, 0x55, 0x12, 0x20]));
        assert!(matches!(cutter.next_section(), Err(Error::SectionTooLong { at: 100, .. })));
    }
}
