//! Records of one width, sorted by digest: the part that all index codecs share.

use bytes::Bytes;

use crate::SectionOffset;

/// Bytes of the offset at the end of every record.
pub(super) const OFFSET_LEN: usize = 8;

/// One entry of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The multihash code; `None` in an IndexSorted, which does not keep it.
    pub code: Option<u64>,
    /// The digest.
    pub digest: &'a [u8],
    /// Where the section lies.
    pub offset: SectionOffset,
}

/// Records of `width` bytes each: a digest, then a little-endian offset.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) code: Option<u64>,
    /// At least [`OFFSET_LEN`].
    width: usize,
    /// A multiple of `width`.
    records: Bytes,
}

impl Table {
    /// `None`: the width has no room for an offset, or does not divide the records.
    pub(super) fn new(code: Option<u64>, width: usize, records: Bytes) -> Option<Self> {
        let fits = width >= OFFSET_LEN && records.len().is_multiple_of(width);
        fits.then_some(Self { code, width, records })
    }

    pub(super) fn len(&self) -> usize {
        self.records.len() / self.width
    }

    pub(super) fn digest_len(&self) -> usize {
        self.width - OFFSET_LEN
    }

    /// The record of this number, which must be less than [`len`](Self::len).
    pub(super) fn record(&self, number: usize) -> Record<'_> {
        let (digest, offset) = self.bytes(number).split_at(self.digest_len());
        let mut le = [0; OFFSET_LEN];
        le.copy_from_slice(offset);
        Record { code: self.code, digest, offset: SectionOffset(u64::from_le_bytes(le)) }
    }

    /// The number of the first record that is less than the one before it.
    pub(super) fn first_unsorted(&self) -> Option<usize> {
        (1..self.len()).find(|&number| self.digest(number) < self.digest(number - 1))
    }

    /// The number of the first record whose digest is not less than `digest`.
    ///
    /// Digests of a hash are spread evenly, so the place is guessed from the first bytes and then closed in on in
    /// doubling steps: three or four cache misses in a million records where bisection alone takes twenty. A guess that
    /// is far off costs no more than twice the bisection.
    pub(super) fn first_not_less(&self, digest: &[u8]) -> usize {
        let len = self.len();
        if len == 0 {
            return 0;
        }
        let guess = ((u128::from(prefix(digest)) * len as u128) >> 64) as usize;
        // Half the usual error of the guess, which is in the order of the root of the count.
        let mut step = (len.isqrt() / 2).max(1);
        let (mut low, mut high);
        if self.digest(guess) < digest {
            low = guess + 1;
            high = guess.saturating_add(step).min(len);
            while high < len && self.digest(high) < digest {
                low = high + 1;
                step *= 2;
                high = high.saturating_add(step).min(len);
            }
        } else {
            high = guess;
            low = guess.saturating_sub(step);
            while low > 0 && self.digest(low) >= digest {
                high = low;
                step *= 2;
                low = low.saturating_sub(step);
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.digest(middle) < digest {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    fn bytes(&self, number: usize) -> &[u8] {
        &self.records[number * self.width..][..self.width]
    }

    fn digest(&self, number: usize) -> &[u8] {
        &self.bytes(number)[..self.digest_len()]
    }
}

/// The first eight bytes as a number that sorts as they do; what is missing counts as zero.
pub(super) fn prefix(digest: &[u8]) -> u64 {
    let mut be = [0; 8];
    let len = digest.len().min(8);
    be[..len].copy_from_slice(&digest[..len]);
    u64::from_be_bytes(be)
}

/// Where the sections lie that hold one multihash: see [`SortedIndex::lookup`](super::SortedIndex::lookup).
#[derive(Clone, Debug)]
pub struct Offsets<'a> {
    pub(super) tables: std::slice::Iter<'a, Table>,
    /// `None` matches any.
    pub(super) code: Option<u64>,
    pub(super) digest: &'a [u8],
    /// A table in which records were found, and the number of the next one to look at.
    pub(super) found: Option<(&'a Table, usize)>,
}

impl Iterator for Offsets<'_> {
    type Item = SectionOffset;

    fn next(&mut self) -> Option<SectionOffset> {
        loop {
            // One record at a time: a multihash can occur very often, and most callers want one place.
            if let Some((table, number)) = &mut self.found
                && *number < table.len()
                && table.digest(*number) == self.digest
            {
                *number += 1;
                return Some(table.record(*number - 1).offset);
            }
            let (code, digest) = (self.code, self.digest);
            let table = self.tables.find(|table| {
                table.digest_len() == digest.len() && (table.code.is_none() || code.is_none() || table.code == code)
            })?;
            self.found = Some((table, table.first_not_less(digest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(digests: &[[u8; 4]]) -> Table {
        let mut records = Vec::new();
        for (number, digest) in digests.iter().enumerate() {
            records.extend_from_slice(digest);
            records.extend_from_slice(&(number as u64).to_le_bytes());
        }
        Table::new(Some(0x12), 12, records.into()).unwrap()
    }

    /// The offsets found for a digest, which in [`table`] are the numbers of the records.
    fn find(table: &Table, digest: &[u8]) -> Vec<usize> {
        let tables = std::slice::from_ref(table).iter();
        let offsets = Offsets { tables, code: None, digest, found: None };
        offsets.map(|offset| offset.0 as usize).collect()
    }

    #[test]
    fn digests_that_are_not_spread_evenly_are_found_all_the_same() {
        let mut digests: Vec<[u8; 4]> = (0..500u32).map(|n| (n / 3).to_be_bytes()).collect();
        digests.extend((0..500u32).map(|n| (u32::MAX - 500 + n).to_be_bytes()));
        let table = table(&digests);
        for digest in &digests {
            let all = digests.iter().enumerate().filter(|(_, other)| *other == digest);
            let numbers: Vec<usize> = all.map(|(number, _)| number).collect();
            assert_eq!(find(&table, digest), numbers);
        }
        assert!(find(&table, &[0x80, 0, 0, 0]).is_empty());
        assert!(find(&table, &[0xff; 4]).is_empty());
    }

    #[test]
    fn an_unsorted_table_is_noticed_and_searching_it_is_harmless() {
        let table = table(&[[1, 0, 0, 0], [3, 0, 0, 0], [2, 0, 0, 0]]);
        assert_eq!(table.first_unsorted(), Some(2));
        for byte in 0..=255 {
            find(&table, &[byte, 0, 0, 0]);
        }
    }
}
