//! What is counted, and what it costs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::decimal;

/// Work done for somebody, or the most of it that may be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Wants that were looked up, whatever was found.
    pub requests: u64,
    /// Blocks given.
    pub blocks: u64,
    /// Bytes of these blocks.
    pub bytes: u64,
    /// What it cost to find, read and send them.
    pub cost: Money,
}

impl Work {
    /// Nothing.
    pub const NONE: Self = Self { requests: 0, blocks: 0, bytes: 0, cost: Money(0) };

    /// More than anybody can do.
    pub const UNLIMITED: Self = Self { requests: u64::MAX, blocks: u64::MAX, bytes: u64::MAX, cost: Money(u64::MAX) };

    /// The sum, of which no part overflows.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// The difference, of which no part is below nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    /// The lesser of each part.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        self.with(other, u64::min)
    }

    /// So many times each part; what is unlimited stays so.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        self.with(self, |part, _| part.saturating_mul(factor))
    }

    /// Whether there is none of it.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether, as an amount that may be spent, it is used up in at least one part.
    pub fn lacks_something(&self) -> bool {
        self.parts().contains(&0)
    }

    /// Each part of two made into one.
    pub(crate) fn with(self, other: Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            requests: each(self.requests, other.requests),
            blocks: each(self.blocks, other.blocks),
            bytes: each(self.bytes, other.bytes),
            cost: Money(each(self.cost.0, other.cost.0)),
        }
    }

    fn parts(&self) -> [u64; 4] {
        [self.requests, self.blocks, self.bytes, self.cost.0]
    }
}

/// Money, in billionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Money(pub u64);

/// A dollar.
pub(crate) const DOLLAR: u64 = 1_000_000_000;

impl Money {
    /// The sum, which does not overflow.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Money {
    /// In dollars, to a millionth.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:06}", self.0 / DOLLAR, self.0 % DOLLAR / 1_000)
    }
}

/// What a provider charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// Of a read.
    pub read: Money,
    /// Of a listing or a write.
    pub list: Money,
    /// Of a GiB sent.
    pub egress: Money,
}

impl Prices {
    /// Of a disk of one's own.
    pub const FREE: Self = Self { read: Money(0), list: Money(0), egress: Money(0) };

    /// Of R2, as of 2026-11: $0.36 a million reads, $4.50 a million listings and writes, nothing for what is sent.
    pub const R2: Self = Self { read: Money(360), list: Money(4_500), egress: Money(0) };

    /// What so much comes to.
    pub fn of(&self, reads: u64, lists: u64, bytes: u64) -> Money {
        let sum = u128::from(self.read.0) * u128::from(reads)
            + u128::from(self.list.0) * u128::from(lists)
            + ((u128::from(self.egress.0) * u128::from(bytes)) >> 30);
        Money(u64::try_from(sum).unwrap_or(u64::MAX))
    }
}

/// A text that is no list of prices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no price: write read=0.36,list=4.50,egress=0, in US dollars a million reads, a million listings or writes, and a GiB sent"
)]
pub struct PricesError(String);

impl FromStr for Prices {
    type Err = PricesError;

    /// Reads `NAME=DOLLARS,…` with the names `read`, `list` (for a million each) and `egress` (for a GiB). What is not
    /// named costs nothing.
    fn from_str(text: &str) -> Result<Self, PricesError> {
        let mut prices = Self::FREE;
        for part in text.split(',') {
            let wrong = || PricesError(part.to_owned());
            let (name, dollars) = part.trim().split_once('=').ok_or_else(wrong)?;
            let amount = |unit| decimal(dollars, unit).map(Money).ok_or_else(wrong);
            match name {
                "read" => prices.read = amount(DOLLAR / 1_000_000)?,
                "list" => prices.list = amount(DOLLAR / 1_000_000)?,
                "egress" => prices.egress = amount(DOLLAR)?,
                _ => return Err(wrong()),
            }
        }
        Ok(prices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2_is_what_its_price_list_says() {
        assert_eq!("read=0.36,list=4.50,egress=0".parse(), Ok(Prices::R2));
        assert_eq!(Prices::R2.of(1_000_000, 0, 1 << 40).to_string(), "$0.360000");
        assert_eq!(Prices::R2.of(0, 1_000_000, 0).to_string(), "$4.500000");
    }

    #[test]
    fn what_is_sent_may_cost_something_too() {
        let prices: Prices = "egress=0.09".parse().expect("prices");
        assert_eq!(prices.of(5, 5, 10 << 30).to_string(), "$0.900000");
        assert_eq!(prices.of(0, 0, u64::MAX).to_string().len(), "$1546188226.559999".len());
    }

    #[test]
    fn a_price_that_cannot_be_read_is_named() {
        for wrong in ["", "read", "read=", "read=-1", "read=0.36,write=4", "read=1e3", "read=99999999999999999"] {
            assert!(wrong.parse::<Prices>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_neither_overflow_nor_go_below_nothing() {
        let one = Work { requests: 1, blocks: 1, bytes: 1, cost: Money(1) };
        assert_eq!(Work::UNLIMITED.plus(one), Work::UNLIMITED);
        assert_eq!(Work::NONE.minus(one), Work::NONE);
        assert_eq!(Work::UNLIMITED.times(16), Work::UNLIMITED);
        assert!(Work { blocks: 0, ..Work::UNLIMITED }.lacks_something() && !one.lacks_something());
    }
}
