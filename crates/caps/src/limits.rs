//! How much of what, an hour and a day, as a person writes it: `100GiB/day,20GiB/hour,2usd/day`.

use std::fmt;
use std::str::FromStr;

use crate::work::{DOLLAR, Money, Work};

/// The most that may be done in an hour and in a day of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In an hour.
    pub hour: Work,
    /// In a day.
    pub day: Work,
}

/// A text that is no list of limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no limit: write AMOUNT/hour or AMOUNT/day, such as 100GiB/day, 50000blocks/hour, 1000000requests/day or \
     2.50usd/day, several of them with commas between; or `unlimited`"
)]
pub struct LimitsError(String);

impl Limits {
    /// No limit at all.
    pub const UNLIMITED: Self = Self { hour: Work::UNLIMITED, day: Work::UNLIMITED };

    /// So many times each limit.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        Self { hour: self.hour.times(factor), day: self.day.times(factor) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

impl FromStr for Limits {
    type Err = LimitsError;

    /// Of two limits of one kind for one window the lesser counts.
    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let mut limits = Self::UNLIMITED;
        if text.trim() == "unlimited" {
            return Ok(limits);
        }
        for part in text.split(',') {
            let wrong = || LimitsError(part.to_owned());
            let (amount, window) = part.trim().split_once('/').ok_or_else(wrong)?;
            let amount = parse_amount(amount).ok_or_else(wrong)?;
            match window {
                "hour" => limits.hour = limits.hour.min(amount),
                "day" => limits.day = limits.day.min(amount),
                _ => return Err(wrong()),
            }
        }
        Ok(limits)
    }
}

/// The units of bytes, and how many bytes each is.
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A number with its unit, as a limit of that one part.
fn parse_amount(text: &str) -> Option<Work> {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?);
    let unit = unit.trim_start();
    let none_other = Work::UNLIMITED;
    match unit {
        "requests" => Some(Work { requests: decimal(number, 1)?, ..none_other }),
        "blocks" => Some(Work { blocks: decimal(number, 1)?, ..none_other }),
        "usd" => Some(Work { cost: Money(decimal(number, DOLLAR)?), ..none_other }),
        size => {
            let (_, size) = SIZES.iter().find(|(name, _)| *name == size)?;
            Some(Work { bytes: decimal(number, *size)?, ..none_other })
        }
    }
}

/// A decimal number of units, rounded down; with at most nine digits behind the point.
pub(crate) fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 9 {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit);
    let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let part = u128::from(part.parse::<u64>().ok()?) * u128::from(unit) / scale;
    u64::try_from(whole + part).ok()
}

impl fmt::Display for Limits {
    /// In the form that is read, in bytes and dollars.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (window, work) in [("hour", self.hour), ("day", self.day)] {
            let parts = [(work.requests, "requests"), (work.blocks, "blocks"), (work.bytes, "B")];
            for (amount, unit) in parts.into_iter().filter(|(amount, _)| *amount < u64::MAX) {
                write!(f, "{between}{amount}{unit}/{window}")?;
                between = ",";
            }
            if work.cost < Money(u64::MAX) {
                write!(f, "{between}{}.{:09}usd/{window}", work.cost.0 / DOLLAR, work.cost.0 % DOLLAR)?;
                between = ",";
            }
        }
        if between.is_empty() { f.write_str("unlimited") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        let read: Limits = "1.5GiB/day, 500blocks/hour,2 GB/day,0.25usd/day,7requests/hour".parse().expect("limits");
        assert_eq!(read.day, Work { bytes: 3 << 29, cost: Money(250_000_000), ..Work::UNLIMITED });
        assert_eq!(read.hour, Work { blocks: 500, requests: 7, ..Work::UNLIMITED });
        assert_eq!("unlimited".parse(), Ok(Limits::UNLIMITED));
        assert_eq!("0B/day".parse::<Limits>().map(|limits| limits.day.bytes), Ok(0));
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_named() {
        for wrong in [
            "",
            ",",
            "5",
            "5/day",
            "GiB/day",
            "5GiB",
            "5GiB/week",
            "-5B/day",
            "5gib/day",
            "1.B/day",
            ".5B/day",
            "1e3B/day",
            "5GiB/day,",
            "99999999999999999999B/day",
            "99999999TiB/day",
            "1.0000000001usd/day",
            "unlimited,5B/day",
        ] {
            let error = wrong.parse::<Limits>().expect_err(wrong).to_string();
            assert!(error.contains("100GiB/day"), "{error}");
        }
    }

    fn work() -> impl Strategy<Value = Work> {
        let part = || prop_oneof![Just(u64::MAX), any::<u32>().prop_map(u64::from), any::<u64>()];
        (part(), part(), part(), part()).prop_map(|(requests, blocks, bytes, cost)| Work {
            requests,
            blocks,
            bytes,
            cost: Money(cost),
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(hour in work(), day in work()) {
            let limits = Limits { hour, day };
            prop_assert_eq!(limits.to_string().parse(), Ok(limits));
        }

        #[test]
        fn no_text_panics(text in "[0-9.,/a-zA-Z ]{0,30}") {
            let _ = text.parse::<Limits>();
        }
    }
}
