//! The search for one digest in a sorted table that is read page by page. Pure: it names a page and is shown it.
//!
//! Digests are spread evenly, so the page is guessed from the digest's first bytes, which is usually right or one off.
//! After some guesses it halves what is left, because an index may hold what it likes.

use super::directory::Table;

/// Bytes of a page, about.
const PAGE: u64 = 64 << 10;
/// So often the page is guessed.
const GUESSES: u32 = 4;

impl Table {
    fn records_a_page(&self) -> u64 {
        (PAGE / self.width).max(1)
    }

    fn pages(&self) -> u64 {
        self.records.div_ceil(self.records_a_page())
    }

    /// Where a page lies in the index.
    pub(super) fn page(&self, number: u64) -> std::ops::Range<u64> {
        let first = number.saturating_mul(self.records_a_page()).min(self.records);
        let last = first.saturating_add(self.records_a_page()).min(self.records);
        self.start + first * self.width..self.start + last * self.width
    }
}

/// What a page told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The offsets of the digest.
    Found(Vec<u64>),
    /// The digest is not in the table.
    Absent,
    /// Another page is to be looked at.
    On,
    /// The table is not sorted.
    Unsorted,
}

#[derive(Debug)]
pub(super) struct Hunt<'a> {
    table: Table,
    digest: &'a [u8],
    /// The pages that it may lie on.
    low: u64,
    high: u64,
    /// The digests at the ends of the pages beside them, as numbers.
    low_key: u64,
    high_key: u64,
    looks: u32,
}

impl<'a> Hunt<'a> {
    pub(super) fn new(table: Table, digest: &'a [u8]) -> Self {
        Self { high: table.pages(), table, digest, low: 0, low_key: 0, high_key: u64::MAX, looks: 0 }
    }

    /// The page to look at. `None`: the digest is not in the table.
    pub(super) fn page(&self) -> Option<u64> {
        let pages = self.high.checked_sub(self.low).filter(|pages| *pages > 0)?;
        if self.looks >= GUESSES {
            return Some(self.low + pages / 2);
        }
        let keys = u128::from(self.high_key.saturating_sub(self.low_key)) + 1;
        let into = u128::from(key(self.digest).saturating_sub(self.low_key));
        let guess = (into * u128::from(pages) / keys) as u64;
        Some(self.low + guess.min(pages - 1))
    }

    /// Looks at the page asked for.
    pub(super) fn look(&mut self, number: u64, page: &[u8]) -> Look {
        let width = self.table.width as usize;
        let digest = |number: usize| &page[number * width..][..self.digest.len()];
        let records = page.len() / width;
        let sorted = (1..records).all(|number| digest(number - 1) <= digest(number));
        if records == 0 || !sorted || key(digest(0)) < self.low_key || key(digest(records - 1)) > self.high_key {
            return Look::Unsorted;
        }
        self.looks += 1;
        if self.digest < digest(0) {
            (self.high, self.high_key) = (number, key(digest(0)));
            return Look::On;
        }
        if self.digest > digest(records - 1) {
            (self.low, self.low_key) = (number + 1, key(digest(records - 1)));
            return Look::On;
        }
        let found = (0..records).filter(|number| digest(*number) == self.digest);
        let offset = |number: usize| {
            let offset = page[number * width + self.digest.len()..].first_chunk();
            offset.map_or(0, |le| u64::from_le_bytes(*le))
        };
        let found: Vec<u64> = found.map(offset).take(super::MAX_PLACES).collect();
        if found.is_empty() { Look::Absent } else { Look::Found(found) }
    }
}

/// The first eight bytes as a number.
fn key(digest: &[u8]) -> u64 {
    let mut be = [0; 8];
    let len = digest.len().min(8);
    be[..len].copy_from_slice(&digest[..len]);
    u64::from_be_bytes(be)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A table of digests of 32 bytes that begin with these numbers, and the bytes of it.
    fn table(numbers: &[u64]) -> (Table, Vec<u8>) {
        let records: Vec<u8> = numbers
            .iter()
            .flat_map(|number| [&number.to_be_bytes()[..], &[0; 24], &number.to_le_bytes()].concat())
            .collect();
        (Table { code: None, width: 40, start: 0, records: numbers.len() as u64 }, records)
    }

    fn hunt(table: Table, records: &[u8], number: u64) -> (Look, u32) {
        let digest = [&number.to_be_bytes()[..], &[0; 24]].concat();
        let mut hunt = Hunt::new(table, &digest);
        while let Some(page) = hunt.page() {
            let range = table.page(page);
            match hunt.look(page, &records[range.start as usize..range.end as usize]) {
                Look::On => {}
                look => return (look, hunt.looks),
            }
        }
        (Look::Absent, hunt.looks)
    }

    #[test]
    fn digests_that_are_spread_evenly_take_one_page_or_two() {
        let mut state = 1u64;
        let mut numbers: Vec<u64> = (0..100_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state ^ (state >> 29)
            })
            .collect();
        let asked = numbers[..2000].to_vec();
        numbers.sort_unstable();
        let (table, records) = table(&numbers);
        let mut looks = 0;
        for number in &asked {
            let (look, looked) = hunt(table, &records, *number);
            assert_eq!(look, Look::Found(vec![*number]));
            looks += looked;
        }
        assert!(looks < 2 * 2000, "{looks} pages for 2000 digests");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_there_is_found_however_it_is_spread(
            base in any::<u64>(), step in 0u32..44, count in 1u64..6_000, other in any::<u64>(),
        ) {
            let mut numbers: Vec<u64> = (0..count).map(|n| base.wrapping_add(n << step)).collect();
            numbers.sort_unstable();
            let (table, records) = table(&numbers);
            for number in numbers.iter().step_by(97) {
                let (look, looks) = hunt(table, &records, *number);
                prop_assert!(matches!(look, Look::Found(found) if found.contains(number)));
                prop_assert!(looks <= GUESSES + 14);
            }
            if numbers.binary_search(&other).is_err() {
                prop_assert_eq!(hunt(table, &records, other).0, Look::Absent);
            }
        }
    }

    #[test]
    fn a_page_that_is_not_sorted_proves_nothing() {
        let (table, records) = table(&[5, 3, 9]);
        assert_eq!(hunt(table, &records, 4).0, Look::Unsorted);
    }
}
