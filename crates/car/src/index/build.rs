//! IndexSorted and MultihashIndexSorted, built from records in any order.

use std::collections::BTreeMap;

use multihash::Multihash;

use super::Codec;
use super::table::{OFFSET_LEN, prefix};
use crate::{SectionOffset, varint};

/// The multihash code of identity: the digest is the data.
const IDENTITY: u64 = 0x00;

/// Collects records and writes them sorted. The bytes depend on the records alone, not on their order of
/// arrival: tables go by hash code and width, records by digest and then by offset.
///
/// A record costs about its width in memory, and sixteen bytes more while sorting.
#[derive(Clone, Debug)]
pub struct IndexBuilder {
    codec: Codec,
    identity: bool,
    /// Records one behind the other, by code (zero in an IndexSorted) and width.
    tables: BTreeMap<(u64, usize), Vec<u8>>,
}

impl IndexBuilder {
    /// A builder of an index of this codec.
    pub fn new(codec: Codec) -> Self {
        Self { codec, identity: false, tables: BTreeMap::new() }
    }

    /// Sets whether identity multihashes are indexed. They are not by default: nobody needs a CAR to find their data.
    pub fn identity(self, indexed: bool) -> Self {
        Self { identity: indexed, ..self }
    }

    /// Adds a record. The same multihash may come again with another offset.
    pub fn push<const S: usize>(&mut self, multihash: &Multihash<S>, offset: SectionOffset) {
        if multihash.code() == IDENTITY && !self.identity {
            return;
        }
        let code = match self.codec {
            Codec::IndexSorted => 0,
            Codec::MultihashIndexSorted => multihash.code(),
        };
        let digest = multihash.digest();
        let records = self.tables.entry((code, digest.len() + OFFSET_LEN)).or_default();
        records.extend_from_slice(digest);
        records.extend_from_slice(&offset.0.to_le_bytes());
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|((_, width), records)| records.len() / width).sum()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The index, codec at the front.
    pub fn finish(self) -> Vec<u8> {
        let records: usize = self.tables.values().map(Vec::len).sum();
        let mut out = Vec::with_capacity(records + 32 * (self.tables.len() + 1));
        varint::write(self.codec.code(), &mut out);
        match self.codec {
            Codec::IndexSorted => write_tables(&mut out, &self.tables),
            Codec::MultihashIndexSorted => {
                let mut codes: BTreeMap<u64, BTreeMap<(u64, usize), Vec<u8>>> = BTreeMap::new();
                for (key, records) in self.tables {
                    codes.entry(key.0).or_default().insert(key, records);
                }
                write_u32(&mut out, codes.len());
                for (code, tables) in &codes {
                    out.extend_from_slice(&code.to_le_bytes());
                    write_tables(&mut out, tables);
                }
            }
        }
        out
    }
}

fn write_tables(out: &mut Vec<u8>, tables: &BTreeMap<(u64, usize), Vec<u8>>) {
    write_u32(out, tables.len());
    for ((_, width), records) in tables {
        write_u32(out, *width);
        out.extend_from_slice(&(records.len() as u64).to_le_bytes());
        write_sorted(out, *width, records);
    }
}

/// Appends the records in order of digest and offset.
fn write_sorted(out: &mut Vec<u8>, width: usize, records: &[u8]) {
    let digest_len = width - OFFSET_LEN;
    let record = |number: usize| records[number * width..][..width].split_at(digest_len);
    let offset = |number| {
        let mut le = [0; OFFSET_LEN];
        le.copy_from_slice(record(number).1);
        u64::from_le_bytes(le)
    };
    // Sorting keys of sixteen bytes moves less than sorting records, and the prefix nearly always decides.
    let mut order: Vec<(u64, usize)> = records
        .chunks_exact(width)
        .enumerate()
        .map(|(number, record)| (prefix(&record[..digest_len]), number))
        .collect();
    order.sort_unstable_by(|&(a_prefix, a), &(b_prefix, b)| {
        a_prefix.cmp(&b_prefix).then_with(|| record(a).0.cmp(record(b).0)).then_with(|| offset(a).cmp(&offset(b)))
    });
    for (_, number) in order {
        out.extend_from_slice(&records[number * width..][..width]);
    }
}

/// Counts and widths are 32 bits in the format. None here can be more: a table is a hash code or a digest
/// length, and a width is at most that of a [`Multihash`], whose length is a byte.
fn write_u32(out: &mut Vec<u8>, value: usize) {
    let value = u32::try_from(value).unwrap_or(u32::MAX);
    out.extend_from_slice(&value.to_le_bytes());
}
