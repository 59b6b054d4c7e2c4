//! How many shards and pages a run has, and which of them a fingerprint names.

use std::ops::Range;

use super::PageAddress;
use crate::Fingerprint;
use crate::entry::ENTRY_LEN;
use crate::page::BODY_LEN;

/// Entries that fit a page.
pub const PAGE_ENTRIES: usize = BODY_LEN / ENTRY_LEN;
/// Entries that a page has on average when a run is built: 87 %, so that 7 pages of 10,000 overflow.
pub const PAGE_FILL: u64 = 474;
/// The most main pages of a shard: 16 MiB.
pub const MAX_PAGES: u32 = 1024;
/// The most bits of the fingerprint that name a shard.
pub const MAX_SHARD_BITS: u8 = 16;
/// The most entries of a run: about 3·10^10.
pub const MAX_ENTRIES: u64 = (SHARD_ENTRIES) << MAX_SHARD_BITS;

/// Entries of a shard of [`MAX_PAGES`].
const SHARD_ENTRIES: u64 = PAGE_FILL * MAX_PAGES as u64;

/// How the entries of a run lie: `2^shard_bits` shards of `pages` main pages each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    shard_bits: u8,
    pages: u32,
}

/// More entries than a run can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} entries are more than a run can have, which is {MAX_ENTRIES}")]
pub struct TooLarge(pub u64);

/// Consecutive main pages of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The shard.
    pub shard: u32,
    /// The pages.
    pub pages: Range<u32>,
}

impl Piece {
    /// The bytes of the shard's object that these pages are.
    pub const fn range(&self) -> Range<u64> {
        super::byte_range(self.pages.start, self.pages.end)
    }
}

impl Shape {
    /// A shape as a manifest has it. `None`: no run is so.
    pub const fn new(shard_bits: u8, pages: u32) -> Option<Self> {
        if shard_bits > MAX_SHARD_BITS || pages == 0 || pages > MAX_PAGES {
            return None;
        }
        Some(Self { shard_bits, pages })
    }

    /// The shape for this many entries: as few shards as can be, with pages filled to [`PAGE_FILL`] on average.
    ///
    /// # Errors
    ///
    /// More than [`MAX_ENTRIES`].
    pub const fn for_entries(entries: u64) -> Result<Self, TooLarge> {
        let mut shard_bits = 0;
        while entries > SHARD_ENTRIES << shard_bits {
            shard_bits += 1;
            if shard_bits > MAX_SHARD_BITS {
                return Err(TooLarge(entries));
            }
        }
        let pages = entries.div_ceil(PAGE_FILL << shard_bits);
        // At most MAX_PAGES by the loop above.
        Ok(Self { shard_bits, pages: if pages == 0 { 1 } else { pages as u32 } })
    }

    /// The bits of the fingerprint that name a shard.
    pub const fn shard_bits(self) -> u8 {
        self.shard_bits
    }

    /// The main pages of each shard.
    pub const fn pages(self) -> u32 {
        self.pages
    }

    /// How many shards there are.
    pub const fn shards(self) -> u32 {
        1 << self.shard_bits
    }

    /// The shard that a fingerprint is in.
    pub fn shard_of(self, fingerprint: Fingerprint) -> u32 {
        self.address(fingerprint).shard
    }

    /// The main page that a fingerprint is in.
    pub fn address(self, fingerprint: Fingerprint) -> PageAddress {
        self.address_of(fingerprint.high())
    }

    /// The overflow page that a fingerprint is in, when the shard has `overflow` of them.
    pub(crate) fn overflow_address(self, fingerprint: Fingerprint, shard: u32, overflow: u32) -> PageAddress {
        PageAddress { shard, page: self.pages + scale(fingerprint.low(), overflow) }
    }

    /// The pages in which all entries of this run lie that belong in `shard` of a run with the shape `other`.
    pub fn covering(self, other: Self, shard: u32) -> impl Iterator<Item = Piece> {
        let start = u64::from(shard).checked_shl(64 - u32::from(other.shard_bits)).unwrap_or(0);
        let first = self.address_of(start);
        let last = self.address_of(start | u64::MAX.checked_shr(u32::from(other.shard_bits)).unwrap_or(0));
        (first.shard..=last.shard).map(move |shard| {
            let from = if shard == first.shard { first.page } else { 0 };
            let to = if shard == last.shard { last.page + 1 } else { self.pages };
            Piece { shard, pages: from..to }
        })
    }

    fn address_of(self, high: u64) -> PageAddress {
        let shard = high.checked_shr(64 - u32::from(self.shard_bits)).unwrap_or(0);
        PageAddress { shard: shard as u32, page: scale(high << self.shard_bits, self.pages) }
    }
}

/// `value` of 2^64, as a part of `of`.
fn scale(value: u64, of: u32) -> u32 {
    ((u128::from(value) * u128::from(of)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn high(high: u64) -> Fingerprint {
        Fingerprint::from_bytes((u128::from(high) << 64).to_be_bytes())
    }

    #[test]
    fn a_shard_has_at_most_its_pages_at_the_fill_asked() {
        for entries in [0, 1, 474, 475, 1 << 17, 485_376, 485_377, 100_000_000, 1_000_000_000, MAX_ENTRIES] {
            let shape = Shape::for_entries(entries).unwrap();
            assert_eq!(Shape::new(shape.shard_bits(), shape.pages()), Some(shape), "{entries}");
            let pages = u64::from(shape.shards()) * u64::from(shape.pages());
            assert!(pages * PAGE_FILL >= entries, "{entries}");
            // No more than one page a shard over what is needed.
            assert!((pages - u64::from(shape.shards())) * PAGE_FILL <= entries.max(1), "{entries}");
        }
        assert_eq!(Shape::for_entries(1 << 17).unwrap().shards(), 1);
        assert_eq!(Shape::for_entries(MAX_ENTRIES + 1), Err(TooLarge(MAX_ENTRIES + 1)));
        assert_eq!(Shape::for_entries(u64::MAX), Err(TooLarge(u64::MAX)));
    }

    #[test]
    fn addresses_rise_with_the_fingerprint() {
        let shape = Shape::new(3, 5).unwrap();
        let steps: Vec<_> = (0..=u8::MAX).map(|top| shape.address(high(u64::from(top) << 56))).collect();
        assert!(steps.is_sorted());
        assert_eq!(steps[0], PageAddress { shard: 0, page: 0 });
        assert_eq!(shape.address(high(u64::MAX)), PageAddress { shard: 7, page: 4 });
        assert_eq!(Shape::new(0, 1).unwrap().address(high(u64::MAX)), PageAddress { shard: 0, page: 0 });
    }

    #[test]
    fn pieces_cover_a_shard_of_another_shape() {
        let coarse = Shape::new(1, 8).unwrap();
        let fine = Shape::new(3, 2).unwrap();
        let pieces: Vec<_> = coarse.covering(fine, 5).collect();
        assert_eq!(pieces, [Piece { shard: 1, pages: 2..4 }]);
        let pieces: Vec<_> = fine.covering(coarse, 1).collect();
        assert_eq!(pieces, (4..8).map(|shard| Piece { shard, pages: 0..2 }).collect::<Vec<_>>());
        let whole = Shape::new(0, 3).unwrap();
        assert_eq!(whole.covering(whole, 0).collect::<Vec<_>>(), [Piece { shard: 0, pages: 0..3 }]);
    }
}
