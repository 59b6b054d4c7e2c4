//! An index in memory, searched where it lies, with a table of its offsets: a section ends where the next one begins.

use bytes::Bytes;
use hoverboard_car::index::{IndexError, SortedIndex};
use multihash::Multihash;

use super::Found;

#[derive(Debug)]
pub(super) struct Whole {
    bytes: Bytes,
    index: SortedIndex,
    offsets: Sorted,
    cost: usize,
}

/// Offsets in order, each once; half as large for a CAR of less than 4 GiB.
#[derive(Debug)]
enum Sorted {
    Short(Box<[u32]>),
    Long(Box<[u64]>),
}

impl Whole {
    /// # Errors
    ///
    /// It is no index, or not sorted, so that blocks would be missed.
    pub(super) fn open(bytes: Bytes) -> Result<Self, IndexError> {
        let index = SortedIndex::open(bytes.clone())?;
        index.check()?;
        let mut offsets: Vec<u64> = index.iter().map(|record| record.offset.0).collect();
        offsets.sort_unstable();
        offsets.dedup();
        let short: Result<Box<[u32]>, _> = offsets.iter().map(|offset| u32::try_from(*offset)).collect();
        let (offsets, width) = match short {
            Ok(short) => (Sorted::Short(short), 4),
            Err(_) => (Sorted::Long(offsets.into()), 8),
        };
        let cost = bytes.len() + index.len() * width;
        Ok(Self { bytes, index, offsets, cost })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn locate<'a>(&'a self, multihash: &'a Multihash<64>) -> impl Iterator<Item = Found> {
        self.index.lookup(multihash).map(|offset| Found { offset: offset.0, next: self.offsets.after(offset.0) })
    }

    /// The first section that begins at this place or later.
    pub(super) fn boundary(&self, offset: u64) -> Option<u64> {
        offset.checked_sub(1).map_or(Some(0), |before| self.offsets.after(before))
    }

    pub(super) fn extent(&self) -> Option<u64> {
        match &self.offsets {
            Sorted::Short(offsets) => offsets.last().map(|offset| u64::from(*offset)),
            Sorted::Long(offsets) => offsets.last().copied(),
        }
    }
}

impl Sorted {
    fn after(&self, offset: u64) -> Option<u64> {
        match self {
            Self::Short(offsets) => {
                let next = offsets.partition_point(|other| u64::from(*other) <= offset);
                offsets.get(next).map(|offset| u64::from(*offset))
            }
            Self::Long(offsets) => offsets.get(offsets.partition_point(|other| *other <= offset)).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use hoverboard_car::SectionOffset;
    use hoverboard_car::index::{Codec, IndexBuilder};

    use super::*;

    fn multihash(number: u64) -> Multihash<64> {
        Multihash::wrap(0x12, &[number.to_be_bytes(); 4].concat()).unwrap()
    }

    #[test]
    fn a_section_ends_where_the_next_one_begins_in_a_car_of_any_length() {
        for scale in [1, 1 << 30] {
            let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
            for number in 0..100 {
                builder.push(&multihash((number * 37) % 100), SectionOffset(number * 10 * scale));
            }
            let whole = Whole::open(builder.finish().into()).unwrap();
            for number in 0..100 {
                let next = (number < 99).then_some((number + 1) * 10 * scale);
                let found: Vec<Found> = whole.locate(&multihash((number * 37) % 100)).collect();
                assert_eq!(found, [Found { offset: number * 10 * scale, next }]);
            }
            assert_eq!(whole.extent(), Some(990 * scale));
            assert_eq!(whole.locate(&multihash(100)).next(), None);
        }
    }

    #[test]
    fn an_unsorted_index_is_refused() {
        let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
        (0..2).for_each(|number| builder.push(&multihash(number), SectionOffset(number)));
        let mut bytes = builder.finish();
        let len = bytes.len();
        let (_, records) = bytes.split_at_mut(len - 80);
        let (one, two) = records.split_at_mut(40);
        one.swap_with_slice(two);
        assert_eq!(Whole::open(bytes.into()).unwrap_err(), IndexError::Unsorted { entry: 1 });
    }
}
