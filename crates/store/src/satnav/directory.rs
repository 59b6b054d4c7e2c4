//! The tables of an index that is not read whole: which hash code and width, and where its records lie.
//!
//! The head of a table lies behind the records of the one before, so this reads forward in hops: it says which bytes
//! it wants next. Pure.

use multihash::Multihash;

/// Tables of one large index that are looked at. One hash function and one width is the rule.
const MAX_TABLES: usize = 32;
/// The widest record: a digest of 64 bytes fits, and an identity multihash of some length.
const MAX_WIDTH: u32 = 1024;
/// Bytes of the offset in a record.
const OFFSET: u64 = 8;

/// Records of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// The multihash code; `None` in an IndexSorted, which has none.
    pub(super) code: Option<u64>,
    /// Bytes of a record.
    pub(super) width: u64,
    /// Where the first record lies.
    pub(super) start: u64,
    /// How many there are.
    pub(super) records: u64,
}

impl Table {
    /// Whether a block of this multihash would be in it.
    pub(super) fn may_have(&self, multihash: &Multihash<64>) -> bool {
        let code = self.code.is_none_or(|code| code == multihash.code());
        code && self.width == multihash.digest().len() as u64 + OFFSET
    }
}

/// What is wrong with the tables of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadDirectory {
    #[error("it is neither a MultihashIndexSorted nor an IndexSorted")]
    Codec,
    #[error("the table at byte {0} has records that do not fit it")]
    Table(u64),
    #[error("it has more than {MAX_TABLES} tables")]
    TooMany,
    #[error("it is cut short, or has bytes behind its end")]
    Length,
}

/// Reads the heads of the tables.
#[derive(Debug)]
pub(super) struct Directory {
    size: u64,
    at: u64,
    state: State,
    pub(super) tables: Vec<Table>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Codec,
    Codes,
    Code { left: u32 },
    Widths { code: Option<u64>, codes: u32 },
    Table { code: Option<u64>, codes: u32, widths: u32 },
    Done,
}

impl Directory {
    /// Of an index that is `size` bytes long.
    pub(super) fn new(size: u64) -> Self {
        Self { size, at: 0, state: State::Codec, tables: Vec::new() }
    }

    /// The place and number of the bytes that are needed next. `None`: all tables are known.
    pub(super) fn needs(&self) -> Option<(u64, usize)> {
        let len = match self.state {
            State::Codec => 2,
            State::Codes | State::Widths { .. } => 4,
            State::Code { .. } => 8,
            State::Table { .. } => 12,
            State::Done => return None,
        };
        Some((self.at, len))
    }

    /// Takes the bytes that [`needs`](Self::needs) asked for.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), BadDirectory> {
        let at = self.at;
        self.at += bytes.len() as u64;
        self.state = match self.state {
            State::Codec => match bytes {
                [0x81, 0x08] => State::Codes,
                [0x80, 0x08] => State::Widths { code: None, codes: 0 },
                _ => return Err(BadDirectory::Codec),
            },
            State::Codes => match u32_le(bytes) {
                codes if codes as usize > MAX_TABLES => return Err(BadDirectory::TooMany),
                codes => State::Code { left: codes },
            },
            State::Code { left } => State::Widths { code: Some(u64_le(bytes)), codes: left.saturating_sub(1) },
            State::Widths { code, codes } => State::Table { code, codes, widths: u32_le(bytes) },
            State::Table { code, codes, widths } => {
                let (width, len) = bytes.split_at(4);
                self.add(at, code, u32_le(width), u64_le(len))?;
                State::Table { code, codes, widths: widths.saturating_sub(1) }
            }
            State::Done => State::Done,
        };
        // Counts that have come to zero lead on to what follows them.
        if let State::Table { codes, widths: 0, .. } = self.state {
            self.state = State::Code { left: codes };
        }
        if let State::Code { left: 0 } = self.state {
            self.state = State::Done;
        }
        let past = self.needs().map_or(self.at != self.size, |(at, len)| at.saturating_add(len as u64) > self.size);
        if past { Err(BadDirectory::Length) } else { Ok(()) }
    }

    fn add(&mut self, at: u64, code: Option<u64>, width: u32, len: u64) -> Result<(), BadDirectory> {
        let start = self.at;
        let wide = u64::from(width);
        if wide < OFFSET || width > MAX_WIDTH || !len.is_multiple_of(wide) || len > self.size - start {
            return Err(BadDirectory::Table(at));
        }
        if self.tables.len() == MAX_TABLES {
            return Err(BadDirectory::TooMany);
        }
        self.tables.push(Table { code, width: wide, start, records: len / wide });
        self.at += len;
        Ok(())
    }
}

fn u32_le(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |le| u32::from_le_bytes(*le))
}

fn u64_le(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |le| u64::from_le_bytes(*le))
}

#[cfg(test)]
mod tests {
    use hoverboard_car::SectionOffset;
    use hoverboard_car::index::{Codec, IndexBuilder};
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Table>, BadDirectory> {
        let mut directory = Directory::new(bytes.len() as u64);
        while let Some((at, len)) = directory.needs() {
            let there = bytes.get(at as usize..at as usize + len).ok_or(BadDirectory::Length)?;
            directory.take(there)?;
        }
        Ok(directory.tables)
    }

    #[test]
    fn all_tables_of_either_codec_are_found() {
        for codec in [Codec::MultihashIndexSorted, Codec::IndexSorted] {
            let mut builder = IndexBuilder::new(codec);
            for (code, len) in [(0x12, 32), (0x12, 20), (0xb220, 32), (0x13, 64)] {
                for number in 0..5u8 {
                    let multihash = Multihash::<64>::wrap(code, &vec![number; len]).unwrap();
                    builder.push(&multihash, SectionOffset(u64::from(number)));
                }
            }
            let bytes = builder.finish();
            let tables = read(&bytes).unwrap();
            let widths: Vec<u64> = tables.iter().map(|table| table.width).collect();
            match codec {
                Codec::MultihashIndexSorted => assert_eq!(widths, [28, 40, 72, 40]),
                Codec::IndexSorted => assert_eq!(widths, [28, 40, 72]),
            }
            assert_eq!(tables.iter().map(|table| table.records).sum::<u64>(), 20);
            assert_eq!(
                read(&bytes[..bytes.len() - 1]),
                Err(BadDirectory::Table(
                    bytes.len() as u64
                        - match codec {
                            Codec::MultihashIndexSorted => 5 * 40 + 12,
                            Codec::IndexSorted => 5 * 72 + 12,
                        }
                ))
            );
            assert_eq!(read(&[&bytes[..], &[0]].concat()), Err(BadDirectory::Length));
        }
    }

    proptest! {
        #[test]
        fn whatever_bytes_end_somewhere(mut bytes in prop::collection::vec(any::<u8>(), 0..400), codec in any::<bool>()) {
            if codec && bytes.len() > 2 {
                bytes[..2].copy_from_slice(&[0x81, 0x08]);
            }
            if let Ok(tables) = read(&bytes) {
                for table in tables {
                    prop_assert!(table.start + table.records * table.width <= bytes.len() as u64);
                }
            }
        }
    }
}
