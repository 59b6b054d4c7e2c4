//! The records of a SATNAV index, in the order of the file, as its bytes arrive: an index of a CAR of 10^7 blocks has
//! 400 MB, and is read in pieces.
//!
//! Where an index is in memory it is searched by [`hoverboard_car::index`]; this reads each record once.

/// The multicodec of MultihashIndexSorted, as the varint that it is in front of the index.
const CODEC: [u8; 2] = [0x81, 0x08];
/// Bytes of the offset at the end of every record.
const OFFSET: usize = 8;
/// The longest digest that a multihash here may have.
const MAX_DIGEST: usize = 64;

/// Why an index was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordsError {
    #[error("it is no MultihashIndexSorted")]
    Codec,
    #[error("it has records {width} bytes wide, {len} bytes of them")]
    Table { width: u32, len: u64 },
    #[error("its records are not sorted")]
    Unsorted,
    #[error("it is cut short")]
    Short,
    #[error("something follows its end")]
    Trailing,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) code: u64,
    pub(super) digest: &'a [u8],
    /// Where the section begins, in bytes from the start of the CAR.
    pub(super) offset: u64,
}

/// A reader of records that is pushed the index in any pieces.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// What came and is not used yet: less than one record or one head.
    rest: Vec<u8>,
    at: At,
    codes: u32,
    widths: u32,
    code: u64,
    /// The digest of the record before, of the same table.
    before: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Codec,
    Codes,
    Code,
    Widths,
    Table,
    Records {
        width: usize,
        left: u64,
    },
    End,
}

impl Records {
    /// Takes the next bytes, and gives each record that is whole with them to `each`.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Record<'_>)) -> Result<(), RecordsError> {
        let joined;
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend_from_slice(bytes);
            joined = rest;
            bytes = &joined;
        }
        while let Some((taken, rest)) = self.needs().and_then(|len| bytes.split_at_checked(len)) {
            self.take(taken, &mut each)?;
            bytes = rest;
        }
        if self.at == At::End && !bytes.is_empty() {
            return Err(RecordsError::Trailing);
        }
        self.rest = bytes.to_vec();
        Ok(())
    }

    /// No more bytes will come.
    pub(super) fn finish(&self) -> Result<(), RecordsError> {
        if self.at == At::End { Ok(()) } else { Err(RecordsError::Short) }
    }

    /// How many bytes the next thing has.
    fn needs(&self) -> Option<usize> {
        Some(match self.at {
            At::Codec => CODEC.len(),
            At::Codes | At::Widths => 4,
            At::Code => 8,
            At::Table => 12,
            At::Records { width, .. } => width,
            At::End => return None,
        })
    }

    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Record<'_>)) -> Result<(), RecordsError> {
        match self.at {
            At::Codec if bytes == CODEC => self.at = At::Codes,
            At::Codec => return Err(RecordsError::Codec),
            At::Codes => {
                self.codes = u32_le(bytes);
                self.next_code();
            }
            At::Code => {
                self.code = u64_le(bytes);
                self.at = At::Widths;
            }
            At::Widths => {
                self.widths = u32_le(bytes);
                self.next_table();
            }
            At::Table => {
                let (width, len) = (u32_le(bytes), u64_le(&bytes[4..]));
                let wide = usize::try_from(width).ok().filter(|wide| (OFFSET..=OFFSET + MAX_DIGEST).contains(wide));
                let wide = wide.filter(|wide| len.is_multiple_of(*wide as u64));
                let wide = wide.ok_or(RecordsError::Table { width, len })?;
                self.before.clear();
                self.records(wide, len);
            }
            At::Records { width, left } => {
                let (digest, offset) = bytes.split_at(width - OFFSET);
                if digest < &self.before[..] {
                    return Err(RecordsError::Unsorted);
                }
                self.before.clear();
                self.before.extend_from_slice(digest);
                each(Record { code: self.code, digest, offset: u64_le(offset) });
                self.records(width, left - width as u64);
            }
            At::End => {}
        }
        Ok(())
    }

    fn records(&mut self, width: usize, left: u64) {
        match left {
            0 => self.next_table(),
            left => self.at = At::Records { width, left },
        }
    }

    fn next_table(&mut self) {
        match self.widths.checked_sub(1) {
            Some(left) => (self.widths, self.at) = (left, At::Table),
            None => self.next_code(),
        }
    }

    fn next_code(&mut self) {
        match self.codes.checked_sub(1) {
            Some(left) => (self.codes, self.at) = (left, At::Code),
            None => self.at = At::End,
        }
    }
}

/// The caller has seen to the length.
fn u32_le(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |le| u32::from_le_bytes(*le))
}

fn u64_le(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |le| u64::from_le_bytes(*le))
}

#[cfg(test)]
mod tests {
    use hoverboard_car::SectionOffset;
    use hoverboard_car::index::{Codec, IndexBuilder, SortedIndex};
    use multihash::Multihash;
    use proptest::prelude::*;

    use super::*;

    type Owned = (u64, Vec<u8>, u64);

    fn read(index: &[u8], piece: usize) -> Result<Vec<Owned>, RecordsError> {
        let mut records = Records::default();
        let mut found = Vec::new();
        for bytes in index.chunks(piece.max(1)) {
            records.push(bytes, |record| found.push((record.code, record.digest.to_vec(), record.offset)))?;
        }
        records.finish().map(|()| found)
    }

    fn built(entries: &[(bool, u8, u64)]) -> Vec<u8> {
        let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
        for (long, seed, offset) in entries {
            let (code, len) = if *long { (0x13, 64) } else { (0x12, 32) };
            builder.push(&Multihash::<64>::wrap(code, &vec![*seed; len]).unwrap(), SectionOffset(*offset));
        }
        builder.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_split_gives_the_records_that_the_index_has(
            entries in prop::collection::vec(any::<(bool, u8, u64)>(), 0..50),
            piece in 1usize..200,
        ) {
            let bytes = built(&entries);
            let index = SortedIndex::open(bytes.clone().into()).unwrap();
            let there: Vec<Owned> = index
                .iter()
                .map(|record| (record.code.unwrap_or(0), record.digest.to_vec(), record.offset.0))
                .collect();
            prop_assert_eq!(read(&bytes, piece), Ok(there));
        }

        #[test]
        fn an_index_that_is_cut_anywhere_is_refused(
            entries in prop::collection::vec(any::<(bool, u8, u64)>(), 1..9),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = built(&entries);
            let cut = cut.index(bytes.len());
            prop_assert_eq!(read(&bytes[..cut], 7), Err(RecordsError::Short));
        }
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let good = built(&[(false, 1, 5), (false, 2, 6)]);
        let mut swapped = good.clone();
        let len = swapped.len();
        swapped[len - 80..].rotate_left(40);
        let longer = [&good[..], &[0]].concat();
        let mut wide = good.clone();
        wide[18] = 200;
        assert_eq!(read(&good, 9).map(|found| found.len()), Ok(2));
        assert_eq!(read(&swapped, 9), Err(RecordsError::Unsorted));
        assert_eq!(read(&longer, 9), Err(RecordsError::Trailing));
        assert!(matches!(read(&wide, 9), Err(RecordsError::Table { width: 200, .. })));
        assert_eq!(read(b"\x80\x08", 9), Err(RecordsError::Codec));
    }
}
