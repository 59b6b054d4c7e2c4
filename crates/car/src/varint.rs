//! Unsigned varints at the front of a byte slice that may end too early.

use unsigned_varint::{decode, encode};

/// The longest varint of the multiformats specification, in bytes: 63 bits of value.
pub(crate) const MAX_LEN: usize = 9;

/// What the front of a slice holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Varint {
    /// A value and how many bytes it took.
    Value(u64, usize),
    /// The slice ends before the varint does.
    Incomplete,
    /// Over nine bytes long, or padded with zeros.
    Invalid,
}

/// Reads one varint. Takes the shortest encoding only, as the specification asks.
pub(crate) fn read(bytes: &[u8]) -> Varint {
    let window = &bytes[..bytes.len().min(MAX_LEN)];
    match decode::u64(window) {
        Ok((value, rest)) => Varint::Value(value, window.len() - rest.len()),
        Err(decode::Error::Insufficient) if window.len() < MAX_LEN => Varint::Incomplete,
        Err(_) => Varint::Invalid,
    }
}

/// Appends `value`.
pub(crate) fn write(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(encode::u64(value, &mut encode::u64_buffer()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_short_slice_from_a_bad_varint() {
        assert_eq!(read(&[]), Varint::Incomplete);
        assert_eq!(read(&[0x80]), Varint::Incomplete);
        assert_eq!(read(&[0xe0, 0xe0, 0xe0, 0xe0, 0xa7, 0x06]), Varint::Value(216_830_324_832, 6));
        assert_eq!(read(&[0x80, 0x00]), Varint::Invalid);
        assert_eq!(read(&[0xff; 9]), Varint::Invalid);
    }

    #[test]
    fn the_longest_value_round_trips() {
        let mut out = Vec::new();
        write(u64::MAX >> 1, &mut out);
        assert_eq!(out.len(), MAX_LEN);
        assert_eq!(read(&out), Varint::Value(u64::MAX >> 1, MAX_LEN));
    }
}
