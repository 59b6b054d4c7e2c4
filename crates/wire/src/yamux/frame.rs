//! The yamux frame header: version, type, flags, stream, length, in twelve bytes. Specification: yamux, version 0.

use crate::error::Error;

/// Bytes of a header.
pub(crate) const HEADER: usize = 12;

/// The frame opens its stream.
pub(crate) const SYN: u16 = 1;
/// The frame accepts its stream, or answers a ping.
pub(crate) const ACK: u16 = 2;
/// The sender sends nothing more on the stream.
pub(crate) const FIN: u16 = 4;
/// The stream is given up at once.
pub(crate) const RST: u16 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `length` bytes of the stream follow.
    Data,
    /// The sender may be sent `length` more bytes.
    WindowUpdate,
    /// `length` is a value that the answer repeats.
    Ping,
    /// The sender opens and accepts nothing more; `length` is the reason.
    GoAway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u16,
    pub(crate) stream: u32,
    pub(crate) length: u32,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[1] = match self.kind {
            Kind::Data => 0,
            Kind::WindowUpdate => 1,
            Kind::Ping => 2,
            Kind::GoAway => 3,
        };
        bytes[2..4].copy_from_slice(&self.flags.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.to_be_bytes());
        bytes[8..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Result<Self, Error> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != 0 {
            return Err(Error::Yamux("a frame is not of version 0"));
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            _ => return Err(Error::Yamux("a frame has an unknown type")),
        };
        Ok(Self {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_survives_the_wire(kind in 0..4_u8, flags in any::<u16>(), stream in any::<u32>(), length in any::<u32>()) {
            let kind = [Kind::Data, Kind::WindowUpdate, Kind::Ping, Kind::GoAway][usize::from(kind)];
            let header = Header { kind, flags, stream, length };
            prop_assert_eq!(Header::decode(&header.encode()).expect("decodes"), header);
        }
    }

    #[test]
    fn other_versions_and_types_are_refused() {
        assert!(Header::decode(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(Header::decode(&[0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
