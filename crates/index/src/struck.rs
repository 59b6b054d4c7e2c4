//! The CARs that were removed and whose entries still lie in runs.

use std::ops::Range;

/// A set of CAR ordinals, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Struck(Vec<u32>);

impl Struck {
    /// Whether this CAR is struck.
    pub fn contains(&self, car: u32) -> bool {
        self.0.binary_search(&car).is_ok()
    }

    /// The ordinals, ascending.
    pub fn ordinals(&self) -> &[u32] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of them that lie in `ordinals`.
    pub fn within(&self, ordinals: Range<u32>) -> Self {
        let from = self.0.partition_point(|car| *car < ordinals.start);
        let to = self.0.partition_point(|car| *car < ordinals.end).max(from);
        Self(self.0[from..to].to_vec())
    }

    /// Adds an ordinal; says whether it is new.
    pub(crate) fn insert(&mut self, car: u32) -> bool {
        match self.0.binary_search(&car) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, car);
                true
            }
        }
    }

    /// Keeps those for which `keep` holds.
    pub(crate) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.0.retain(|car| keep(*car));
    }
}

impl FromIterator<u32> for Struck {
    fn from_iter<I: IntoIterator<Item = u32>>(ordinals: I) -> Self {
        let mut sorted: Vec<u32> = ordinals.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self(sorted)
    }
}
