//! Waits that double and are never the same for two who began at once.

use std::time::Duration;

/// The first wait is about this.
const FIRST: Duration = Duration::from_millis(50);

/// The waits between tries: bounded in number and in length. The next one is random between a quarter and the whole of
/// a span that doubles up to the longest.
#[derive(Debug)]
pub(super) struct Backoff {
    random: u64,
    span: Duration,
    longest: Duration,
    left: u32,
}

impl Backoff {
    /// The waits of so many tries. `random` is what tells two apart.
    pub(super) fn new(random: [u8; 16], tries: u32, longest: Duration) -> Self {
        let random = u128::from_le_bytes(random);
        let mixed = (random as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (random >> 64) as u64;
        // A generator of the xorshift kind must not begin with zero.
        let random = mixed | 1;
        Self { random, span: FIRST, longest, left: tries.saturating_sub(1) }
    }

    /// The wait before the next try. `None`: there were as many as there may be.
    pub(super) fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let span = self.span.min(self.longest);
        self.span = span * 2;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let quarter = span / 4;
        Some(quarter + (span - quarter).mul_f64((self.random >> 11) as f64 / (1u64 << 53) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_bounded_in_number_and_length_and_differ() {
        let longest = Duration::from_secs(2);
        let waits = |seed| {
            let mut backoff = Backoff::new([seed; 16], 20, longest);
            std::iter::from_fn(|| backoff.next()).collect::<Vec<_>>()
        };
        assert_eq!(waits(3).len(), 19);
        assert!(waits(3).iter().all(|wait| *wait <= longest && *wait >= FIRST / 4));
        assert!(waits(3).iter().rev().take(8).all(|wait| *wait >= longest / 4));
        assert_ne!(waits(3), waits(4));
        assert_eq!(waits(0).len(), 19);
    }
}
