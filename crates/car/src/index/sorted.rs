//! IndexSorted (`0x0400`) and MultihashIndexSorted (`0x0401`), read in place.

use bytes::Bytes;
use multihash::Multihash;

use super::table::{Offsets, Record, Table};
use super::{IndexError, Input};

/// The most tables (a width of a hash code) read. The multihash table has some 400 codes, most of one width.
const MAX_TABLES: usize = 4096;

/// Which of the two formats it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// `0x0400`: by digest alone.
    IndexSorted,
    /// `0x0401`: by hash code, then digest.
    MultihashIndexSorted,
}

impl Codec {
    /// Its multicodec.
    pub fn code(self) -> u64 {
        match self {
            Self::IndexSorted => 0x0400,
            Self::MultihashIndexSorted => 0x0401,
        }
    }
}

/// An index over the sections of one CAR. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct SortedIndex {
    codec: Codec,
    tables: Vec<Table>,
}

impl SortedIndex {
    /// Opens the index that `bytes` are, codec at the front. Bytes behind it are an error.
    ///
    /// # Errors
    ///
    /// Another codec, or counts that the bytes do not bear out.
    pub fn open(bytes: Bytes) -> Result<Self, IndexError> {
        let mut input = Input::new(bytes);
        let index = Self::read(&mut input)?;
        input.end()?;
        Ok(index)
    }

    pub(super) fn read(input: &mut Input) -> Result<Self, IndexError> {
        let at = input.at;
        let mut tables = Vec::new();
        let codec = match input.varint("codec")? {
            0x0400 => {
                read_tables(input, None, &mut tables)?;
                Codec::IndexSorted
            }
            0x0401 => {
                for _ in 0..input.u32_le("count of hash codes")? {
                    let code = input.u64_le("hash code")?;
                    read_tables(input, Some(code), &mut tables)?;
                }
                Codec::MultihashIndexSorted
            }
            codec => return Err(IndexError::Codec { at, codec }),
        };
        Ok(Self { codec, tables })
    }

    /// Which format it is.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// How many records there are; a multihash that lies at two places has two.
    pub fn len(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the sections lie that hold this multihash. An IndexSorted does not know hash codes and may give
    /// the section of another multihash with the same digest.
    pub fn lookup<'a, const S: usize>(&'a self, multihash: &'a Multihash<S>) -> Offsets<'a> {
        Offsets { tables: self.tables.iter(), code: Some(multihash.code()), digest: multihash.digest(), found: None }
    }

    /// Where the sections lie whose digest this is, whatever its hash code.
    pub fn lookup_digest<'a>(&'a self, digest: &'a [u8]) -> Offsets<'a> {
        Offsets { tables: self.tables.iter(), code: None, digest, found: None }
    }

    /// Every record, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.tables.iter().flat_map(|table| (0..table.len()).map(|number| table.record(number)))
    }

    /// The record of this number, counted from zero in the order of the file.
    pub fn record(&self, number: usize) -> Option<Record<'_>> {
        let mut number = number;
        for table in &self.tables {
            if number < table.len() {
                return Some(table.record(number));
            }
            number -= table.len();
        }
        None
    }

    /// Reads every record to see that they are sorted, without which [`lookup`](Self::lookup) may miss some.
    ///
    /// # Errors
    ///
    /// [`IndexError::Unsorted`] with the number of the first record that is not.
    pub fn check(&self) -> Result<(), IndexError> {
        let mut before = 0;
        for table in &self.tables {
            if let Some(number) = table.first_unsorted() {
                return Err(IndexError::Unsorted { entry: (before + number) as u64 });
            }
            before += table.len();
        }
        Ok(())
    }
}

/// Reads the tables of one hash code, or of an IndexSorted.
fn read_tables(input: &mut Input, code: Option<u64>, tables: &mut Vec<Table>) -> Result<(), IndexError> {
    for _ in 0..input.u32_le("count of widths")? {
        let at = input.at;
        if tables.len() == MAX_TABLES {
            return Err(IndexError::TooManyTables { at, max: MAX_TABLES });
        }
        let width = input.u32_le("width")?;
        let len = input.u64_le("length of the records")?;
        let records = input.take(len, "records")?;
        let table = usize::try_from(width).ok().and_then(|width| Table::new(code, width, records));
        tables.push(table.ok_or(IndexError::Width { at, width, len })?);
    }
    Ok(())
}
