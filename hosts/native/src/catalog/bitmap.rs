//! A fixed number of bits that threads set and read without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits, all clear at first. Relaxed ordering is enough: a bit is a remembered fact about a file, it publishes no
/// memory.
#[derive(Debug)]
pub(crate) struct Bitmap(Box<[AtomicU64]>);

impl Bitmap {
    /// `len` clear bits.
    pub(crate) fn new(len: usize) -> Self {
        Self((0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Whether a bit is set. A bit beyond the end is clear.
    pub(crate) fn contains(&self, bit: u32) -> bool {
        self.word(bit).is_some_and(|word| word.load(Ordering::Relaxed) & mask(bit) != 0)
    }

    /// Sets a bit, and says whether it was clear.
    pub(crate) fn insert(&self, bit: u32) -> bool {
        self.word(bit).is_some_and(|word| word.fetch_or(mask(bit), Ordering::Relaxed) & mask(bit) == 0)
    }

    /// Clears a bit.
    pub(crate) fn remove(&self, bit: u32) {
        if let Some(word) = self.word(bit) {
            word.fetch_and(!mask(bit), Ordering::Relaxed);
        }
    }

    fn word(&self, bit: u32) -> Option<&AtomicU64> {
        self.0.get(bit as usize / 64)
    }
}

fn mask(bit: u32) -> u64 {
    1 << (bit % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_independent() {
        let bits = Bitmap::new(130);
        assert!(bits.insert(129) && bits.insert(64));
        assert!(!bits.insert(129), "it was set already");
        assert_eq!((0..200).filter(|bit| bits.contains(*bit)).collect::<Vec<_>>(), [64, 129]);
        bits.remove(64);
        assert!(!bits.contains(64) && bits.contains(129));
    }
}
