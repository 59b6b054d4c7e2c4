//! One sorted table of hashes, searched where it lies.
//!
//! Hashes are spread evenly, so their first bits say about where one is. A small index of those, made when the table is
//! opened, leaves a binary search among a dozen hashes; a list made to be uneven costs the search of a whole table.

use crate::compiled::OpenError;
use crate::keys::Kind;

/// Hashes of a bucket on average.
const BUCKET: usize = 8;
/// The most bits of a hash that the index goes by: 256 KiB.
const MAX_BITS: u32 = 16;

/// Where in a table the hashes with certain first bits begin.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// One entry a bucket, and the table's length.
    starts: Vec<u32>,
    bits: u32,
}

impl Index {
    /// The index of a table, which is checked to be sorted, with each hash in it once.
    pub(crate) fn new(kind: Kind, table: &[[u8; 32]]) -> Result<Self, OpenError> {
        if !table.is_sorted_by(|a, b| first(a) < first(b) || a < b) {
            return Err(OpenError::Unsorted(kind));
        }
        let bits = (table.len() / BUCKET).checked_ilog2().unwrap_or(0).min(MAX_BITS);
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (place, digest) in (0..).zip(table) {
            while starts.len() <= bucket(digest, bits) {
                starts.push(place);
            }
        }
        // A table is shorter than `MAX_RULES`.
        starts.resize((1 << bits) + 1, table.len() as u32);
        Ok(Self { starts, bits })
    }

    /// The place of a hash in the table that this is the index of.
    pub(crate) fn find(&self, table: &[[u8; 32]], digest: &[u8; 32]) -> Option<usize> {
        let bucket = bucket(digest, self.bits);
        let (start, end) = (*self.starts.get(bucket)? as usize, *self.starts.get(bucket + 1)? as usize);
        table.get(start..end)?.binary_search(digest).ok().map(|place| start + place)
    }
}

fn bucket(digest: &[u8; 32], bits: u32) -> usize {
    // Of 64 bits no more than 16 are left.
    first(digest).checked_shr(64 - bits).unwrap_or(0) as usize
}

fn first(digest: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_table_that_is_not_sorted_or_has_a_hash_twice_is_refused() {
        for table in [[[2; 32], [1; 32]], [[1; 32], [1; 32]]] {
            assert!(matches!(Index::new(Kind::Legacy, &table), Err(OpenError::Unsorted(Kind::Legacy))));
        }
    }

    proptest! {
        #[test]
        fn what_is_in_a_table_is_found_where_it_lies_and_nothing_else(
            digests in prop::collection::btree_set(any::<[u8; 32]>(), 0..400),
            uneven in any::<bool>(),
            others in prop::collection::vec(any::<[u8; 32]>(), 20),
        ) {
            let mut table: Vec<[u8; 32]> = digests.into_iter().collect();
            if uneven {
                table.iter_mut().for_each(|digest| digest[..3].fill(0xff));
                table.sort_unstable();
                table.dedup();
            }
            let index = Index::new(Kind::Modern, &table).expect("sorted");
            for (place, digest) in table.iter().enumerate() {
                prop_assert_eq!(index.find(&table, digest), Some(place));
            }
            for other in others {
                prop_assert_eq!(index.find(&table, &other), table.iter().position(|digest| *digest == other));
            }
        }
    }
}
