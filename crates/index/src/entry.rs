//! What a run says of a block: a CAR, and where in it. And the 30 bytes that this takes.
//!
//! | bytes | are |
//! |---|---|
//! | 16 | fingerprint, big-endian |
//! | 4 | CAR ordinal less the run's first, little-endian; `ffffffff`: none |
//! | 6 | offset, little-endian |
//! | 3 | length, little-endian |
//! | 1 | low seven bits: kind of extent; top bit: more exist |

use hoverboard_car::{BlockOffset, SectionOffset};

use crate::Fingerprint;

/// Bytes of an entry.
pub(crate) const ENTRY_LEN: usize = 30;
/// An entry as it lies in a page.
pub(crate) type Encoded = [u8; ENTRY_LEN];

/// The largest CAR ordinal; the number behind it stands for "none".
pub const MAX_ORDINAL: u32 = u32::MAX - 1;
/// The largest offset: six bytes, 256 TiB.
pub const MAX_OFFSET: u64 = (1 << 48) - 1;
/// The largest length: three bytes, 16 MiB. Bitswap has no use for longer blocks.
pub const MAX_LENGTH: u32 = (1 << 24) - 1;
/// The longest CID whose length an entry can say.
pub const MAX_CID_LEN: u8 = 126;

/// No CAR.
const NOWHERE: u32 = u32::MAX;
/// The kind of extent that has no CID length: a section of which at most a bound is known.
const SECTION: u8 = 0;
/// The kind of extent that points at the block's bytes.
const BYTES: u8 = MAX_CID_LEN + 1;
/// The bit for "more exist".
const MORE: u8 = 0x80;

/// A CAR by its ordinal in the CAR table, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The CAR's ordinal.
    pub car: u32,
    /// Where in the CAR.
    pub extent: Extent,
}

/// Where in a CAR a block lies, and how well that is known. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// The section's length and its CID's are known.
    Exact {
        /// Where the section's length varint begins.
        offset: SectionOffset,
        /// Bytes of the whole section: varint, CID and data.
        length: u32,
        /// Bytes of the CID, 1 to [`MAX_CID_LEN`].
        cid_len: u8,
    },
    /// Only where the section begins is known: this is all that SATNAV has.
    Section {
        /// Where the section's length varint begins.
        offset: SectionOffset,
        /// A bound on the bytes of the whole section, if one is known: the next section begins there at the latest.
        at_most: Option<u32>,
    },
    /// The block's own bytes are named, as claims and E-IPFS name them.
    Bytes {
        /// Where the data begins.
        offset: BlockOffset,
        /// Bytes of the data.
        length: u32,
    },
}

impl Extent {
    /// A section of which all is known, or as much of that as an entry can say.
    pub fn exact(offset: SectionOffset, length: u64, cid_len: usize) -> Self {
        match (u32::try_from(length), u8::try_from(cid_len)) {
            (Ok(length), Ok(cid_len)) if length <= MAX_LENGTH && (1..=MAX_CID_LEN).contains(&cid_len) => {
                Self::Exact { offset, length, cid_len }
            }
            _ => Self::section(offset, Some(length)),
        }
    }

    /// A section, and at most how long it is. A bound that an entry cannot say is none.
    pub fn section(offset: SectionOffset, at_most: Option<u64>) -> Self {
        let at_most =
            at_most.and_then(|bound| u32::try_from(bound).ok()).filter(|bound| (1..=MAX_LENGTH).contains(bound));
        Self::Section { offset, at_most }
    }

    /// Where the block's bytes lie, if that is known.
    pub fn block(&self) -> Option<(BlockOffset, u32)> {
        match *self {
            Self::Bytes { offset, length } => Some((offset, length)),
            Self::Exact { offset, length, cid_len } => {
                // The varint says the length of what follows it, and the entry that of both.
                let (varint_len, body) =
                    (1..=4).map(|len| (len, length.saturating_sub(len))).find(|&(len, body)| {
                        let bits = 32 - body.leading_zeros();
                        bits.div_ceil(7).max(1) == len
                    })?;
                let data = body.checked_sub(u32::from(cid_len))?;
                Some((BlockOffset(offset.0 + u64::from(varint_len) + u64::from(cid_len)), data))
            }
            Self::Section { .. } => None,
        }
    }

    /// The number that `offset` is, of whichever kind.
    fn offset(&self) -> u64 {
        match *self {
            Self::Exact { offset, .. } | Self::Section { offset, .. } => offset.0,
            Self::Bytes { offset, .. } => offset.0,
        }
    }

    /// Whether both name the same place, though one may know more of it.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let bytes = |extent: &Self| matches!(extent, Self::Bytes { .. });
        self.offset() == other.offset() && bytes(self) == bytes(other)
    }
}

/// One entry of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Which block.
    pub fingerprint: Fingerprint,
    /// Where it is. `None`: all places that were kept are gone, but not the others that [`more`](Self::more) is for.
    pub place: Option<Place>,
    /// Whether a CAR that no entry of this run names for this block has it too.
    pub more: bool,
}

/// A place that an entry cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The CAR is none of the run's.
    #[error("CAR ordinal {0} is not one of this run's")]
    Car(u32),
    /// Over [`MAX_OFFSET`].
    #[error("offset {0} is beyond 2^48")]
    Offset(u64),
    /// Zero, shorter than the CID within, or over [`MAX_LENGTH`].
    #[error("a length of {0} bytes cannot be")]
    Length(u32),
    /// Zero or over [`MAX_CID_LEN`].
    #[error("a CID of {0} bytes cannot be")]
    CidLen(u8),
    /// An entry with no CAR that says something else, too.
    #[error("an entry without a CAR has an offset or does not say that more exist")]
    Nowhere,
}

/// The CARs that a run may name: ordinals in it are counted from its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ordinals {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Entry {
    pub(crate) fn encode(&self, ordinals: Ordinals) -> Result<Encoded, PlaceError> {
        let (car, offset, length, kind) = match self.place {
            None if self.more => (NOWHERE, 0, 0, SECTION),
            None => return Err(PlaceError::Nowhere),
            Some(Place { car, extent }) => {
                let relative = car.checked_sub(ordinals.first).filter(|relative| *relative < ordinals.count);
                let (length, kind) = match extent {
                    Extent::Exact { length, cid_len, .. } => (length, cid_len),
                    Extent::Section { at_most, .. } => (at_most.unwrap_or(0), SECTION),
                    Extent::Bytes { length, .. } => (length, BYTES),
                };
                extent.check()?;
                (relative.ok_or(PlaceError::Car(car))?, extent.offset(), length, kind)
            }
        };
        let mut out = [0; ENTRY_LEN];
        out[..16].copy_from_slice(&self.fingerprint.to_bytes());
        out[16..20].copy_from_slice(&car.to_le_bytes());
        out[20..26].copy_from_slice(&offset.to_le_bytes()[..6]);
        out[26..29].copy_from_slice(&length.to_le_bytes()[..3]);
        out[29] = kind | if self.more { MORE } else { 0 };
        Ok(out)
    }

    pub(crate) fn decode(bytes: &Encoded, ordinals: Ordinals) -> Result<Self, PlaceError> {
        let relative = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        let offset = u64::from_le_bytes([bytes[20], bytes[21], bytes[22], bytes[23], bytes[24], bytes[25], 0, 0]);
        let length = u32::from_le_bytes([bytes[26], bytes[27], bytes[28], 0]);
        let (kind, more) = (bytes[29] & !MORE, bytes[29] & MORE != 0);
        let fingerprint = fingerprint(bytes);
        if relative == NOWHERE {
            return match (offset, length, kind, more) {
                (0, 0, SECTION, true) => Ok(Self { fingerprint, place: None, more }),
                _ => Err(PlaceError::Nowhere),
            };
        }
        if relative >= ordinals.count {
            return Err(PlaceError::Car(relative));
        }
        let extent = match kind {
            SECTION => Extent::Section { offset: SectionOffset(offset), at_most: (length != 0).then_some(length) },
            BYTES => Extent::Bytes { offset: BlockOffset(offset), length },
            cid_len => Extent::Exact { offset: SectionOffset(offset), length, cid_len },
        };
        extent.check()?;
        // The run's ordinals end below the largest, so this cannot overflow; if it ever did, it would name no CAR.
        Ok(Self { fingerprint, place: Some(Place { car: ordinals.first.saturating_add(relative), extent }), more })
    }
}

impl Extent {
    fn check(&self) -> Result<(), PlaceError> {
        if self.offset() > MAX_OFFSET {
            return Err(PlaceError::Offset(self.offset()));
        }
        match *self {
            Self::Exact { cid_len, .. } if !(1..=MAX_CID_LEN).contains(&cid_len) => Err(PlaceError::CidLen(cid_len)),
            Self::Exact { length, cid_len, .. } if length <= u32::from(cid_len) || length > MAX_LENGTH => {
                Err(PlaceError::Length(length))
            }
            Self::Section { at_most: Some(length), .. } if length == 0 || length > MAX_LENGTH => {
                Err(PlaceError::Length(length))
            }
            Self::Bytes { length, .. } if length > MAX_LENGTH => Err(PlaceError::Length(length)),
            _ => Ok(()),
        }
    }
}

/// The fingerprint of an entry as it lies in a page.
pub(crate) fn fingerprint(bytes: &Encoded) -> Fingerprint {
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&bytes[..16]);
    Fingerprint::from_bytes(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Ordinals = Ordinals { first: 10, count: 5 };

    fn entry(car: u32, extent: Extent) -> Entry {
        Entry { fingerprint: Fingerprint::from_bytes([7; 16]), place: Some(Place { car, extent }), more: false }
    }

    /// Sections as CARs have them, around the lengths where their varint grows.
    #[test]
    fn a_section_says_where_its_data_lie() {
        for data in [0, 1, 91, 92, 16_347, 16_348, 2_097_115, 2_097_116, 4 << 20] {
            let mut varint = unsigned_varint::encode::u64_buffer();
            let varint = unsigned_varint::encode::u64(36 + data, &mut varint).len() as u64;
            let extent = Extent::exact(SectionOffset(59), varint + 36 + data, 36);
            assert_eq!(extent.block(), Some((BlockOffset(59 + varint + 36), data as u32)), "{data}");
        }
        assert_eq!(Extent::exact(SectionOffset(0), 129, 36).block(), None, "no section is 129 bytes long");
        assert_eq!(Extent::section(SectionOffset(0), Some(42)).block(), None);
    }

    #[test]
    fn what_an_entry_cannot_say_is_said_less_exactly() {
        let section = |at_most| Extent::Section { offset: SectionOffset(9), at_most };
        assert_eq!(Extent::exact(SectionOffset(9), 1 << 24, 36), section(None));
        assert_eq!(Extent::exact(SectionOffset(9), 1000, 127), section(Some(1000)));
        assert_eq!(Extent::exact(SectionOffset(9), 1000, 0), section(Some(1000)));
        assert_eq!(Extent::section(SectionOffset(9), Some(0)), section(None));
        assert_eq!(Extent::section(SectionOffset(9), Some(u64::MAX)), section(None));
    }

    #[test]
    fn what_no_entry_can_say_is_refused() {
        let bytes = |offset, length| Extent::Bytes { offset: BlockOffset(offset), length };
        let exact = |length, cid_len| Extent::Exact { offset: SectionOffset(0), length, cid_len };
        for (car, extent, error) in [
            (9, bytes(0, 0), PlaceError::Car(9)),
            (15, bytes(0, 0), PlaceError::Car(15)),
            (10, bytes(1 << 48, 0), PlaceError::Offset(1 << 48)),
            (10, bytes(0, 1 << 24), PlaceError::Length(1 << 24)),
            (10, exact(36, 36), PlaceError::Length(36)),
            (10, exact(1 << 24, 36), PlaceError::Length(1 << 24)),
            (10, exact(1000, 0), PlaceError::CidLen(0)),
            (10, exact(1000, 127), PlaceError::CidLen(127)),
            (10, Extent::Section { offset: SectionOffset(0), at_most: Some(0) }, PlaceError::Length(0)),
        ] {
            assert_eq!(entry(car, extent).encode(ALL), Err(error), "{extent:?}");
        }
        let nothing = Entry { place: None, ..entry(10, bytes(0, 0)) };
        assert_eq!(nothing.encode(ALL), Err(PlaceError::Nowhere));
    }

    #[test]
    fn an_entry_without_a_car_says_nothing_else() {
        let lost = Entry { place: None, more: true, ..entry(10, Extent::section(SectionOffset(0), None)) };
        let encoded = lost.encode(ALL).unwrap();
        assert_eq!(Entry::decode(&encoded, ALL), Ok(lost));
        for at in 20..ENTRY_LEN {
            let mut changed = encoded;
            changed[at] ^= 0x80;
            assert_eq!(Entry::decode(&changed, ALL), Err(PlaceError::Nowhere), "byte {at}");
        }
    }
}
