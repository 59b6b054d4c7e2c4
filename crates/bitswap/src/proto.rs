//! The few parts of protobuf that Bitswap needs: reading and sizing fields. Own code rather than
//! a generated struct, so that blocks are slices of the message they came in and nothing is
//! allocated that the message only claims to hold.

use bytes::BufMut;
use unsigned_varint::encode;

use crate::Error;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LEN: u8 = 2;
const FIXED32: u8 = 5;

/// Reads the fields of one protobuf message, in the order they come.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// A field's number and value. Fixed-width values occur in no Bitswap message and are not kept.
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    value: Value<'a>,
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed(u8),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field, or `None` at the end.
    pub(crate) fn next_field(&mut self) -> Result<Option<Field<'a>>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint(0)?;
        let wire_type = (tag & 7) as u8;
        let number = u32::try_from(tag >> 3).map_err(|_| Error::Varint)?;
        let value = match wire_type {
            VARINT => Value::Varint(self.varint(number)?),
            LEN => {
                let len = self.varint(number)?;
                Value::Bytes(self.take(number, len)?)
            }
            FIXED64 => {
                self.take(number, 8)?;
                Value::Fixed(FIXED64)
            }
            FIXED32 => {
                self.take(number, 4)?;
                Value::Fixed(FIXED32)
            }
            _ => {
                return Err(Error::WireType { field: number, wire_type });
            }
        };
        Ok(Some(Field { number, value }))
    }

    fn take(&mut self, field: u32, len: u64) -> Result<&'a [u8], Error> {
        let taken = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (taken, rest) = taken.ok_or(Error::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Protobuf's varint, which need not be minimal, unlike multiformats'.
    fn varint(&mut self, field: u32) -> Result<u64, Error> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 {
                return Err(Error::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        if self.rest.len() < 10 { Err(Error::Truncated { field }) } else { Err(Error::Varint) }
    }
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self) -> Result<&'a [u8], Error> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong_type()),
        }
    }

    pub(crate) fn bool(&self) -> Result<bool, Error> {
        Ok(self.varint()? != 0)
    }

    /// A negative int32 is written as a ten-byte varint; its low 32 bits are the value.
    pub(crate) fn int32(&self) -> Result<i32, Error> {
        Ok(self.varint()? as i32)
    }

    fn varint(&self) -> Result<u64, Error> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong_type()),
        }
    }

    fn wrong_type(&self) -> Error {
        let wire_type = match self.value {
            Value::Varint(_) => VARINT,
            Value::Bytes(_) => LEN,
            Value::Fixed(wire_type) => wire_type,
        };
        Error::WireType { field: self.number, wire_type }
    }
}

/// How many bytes `value` takes as a varint.
pub(crate) const fn varint_len(value: u64) -> usize {
    match value {
        0 => 1,
        _ => value.ilog2() as usize / 7 + 1,
    }
}

/// How many bytes a length-delimited field with a one-byte tag takes.
pub(crate) const fn bytes_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// How many bytes an int32 field with a one-byte tag takes.
pub(crate) const fn int32_len(value: i32) -> usize {
    1 + varint_len(value as i64 as u64)
}

pub(crate) fn put_varint(out: &mut impl BufMut, value: u64) {
    let mut buffer = encode::u64_buffer();
    out.put_slice(encode::u64(value, &mut buffer));
}

/// Writes the tag and the length of a length-delimited field; its bytes are to follow.
pub(crate) fn put_bytes_head(out: &mut impl BufMut, field: u8, len: usize) {
    out.put_u8(field << 3 | LEN);
    put_varint(out, len as u64);
}

pub(crate) fn put_bytes(out: &mut impl BufMut, field: u8, bytes: &[u8]) {
    put_bytes_head(out, field, bytes.len());
    out.put_slice(bytes);
}

pub(crate) fn put_int32(out: &mut impl BufMut, field: u8, value: i32) {
    out.put_u8(field << 3 | VARINT);
    put_varint(out, i64::from(value) as u64);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8]) -> Result<usize, Error> {
        let mut reader = Reader::new(bytes);
        let mut fields = 0;
        while reader.next_field()?.is_some() {
            fields += 1;
        }
        Ok(fields)
    }

    #[test]
    fn a_varint_may_be_padded_but_not_too_long() {
        assert_eq!(read_all(&[0x08, 0x81, 0x80, 0x00]), Ok(1));
        let mut longest = vec![0x08];
        longest.extend([0xff; 9]);
        assert_eq!(read_all(&longest), Err(Error::Truncated { field: 1 }));
        longest.push(0x01);
        assert_eq!(read_all(&longest), Ok(1));
        *longest.last_mut().unwrap() = 0x02;
        assert_eq!(read_all(&longest), Err(Error::Varint));
    }

    #[test]
    fn groups_and_unassigned_wire_types_are_errors() {
        for wire_type in [3, 4, 6, 7] {
            let result = read_all(&[0x08 | wire_type, 0]);
            assert_eq!(result, Err(Error::WireType { field: 1, wire_type }));
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error() {
        assert_eq!(read_all(&[0x0a, 2, 0]), Err(Error::Truncated { field: 1 }));
        let huge = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read_all(&huge), Err(Error::Truncated { field: 1 }));
    }

    proptest! {
        #[test]
        fn a_varint_is_as_long_as_foretold(value: u64, shift in 0_u32..64) {
            let mut out = Vec::new();
            put_varint(&mut out, value >> shift);
            prop_assert_eq!(out.len(), varint_len(value >> shift));
        }

        #[test]
        fn an_int32_round_trips(value: i32) {
            let mut out = Vec::new();
            put_int32(&mut out, 5, value);
            prop_assert_eq!(out.len(), int32_len(value));
            let field = Reader::new(&out).next_field().unwrap().unwrap();
            prop_assert_eq!(field.int32(), Ok(value));
        }
    }
}
