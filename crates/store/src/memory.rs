//! Which CARs a peer was reading, remembered under its peer id: what it comes to and how it is written down.
//!
//! A peer that comes back mid-DAG asks for blocks that are no root of anything, and no listing would find them. Where
//! the list is kept is the host's business.

use crate::CarCid;

/// As many CARs are remembered for a peer; the newest count.
pub const MAX_CARS: usize = 64;

/// The first byte of an encoded list.
const VERSION: u8 = 1;
/// Bytes of a CAR's digest.
const DIGEST: usize = 32;

/// What was kept is no list, or one of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was remembered of a peer is no list of CARs of version {VERSION}")]
pub struct Unreadable;

/// Writes a list down: a version byte, then 32 bytes a CAR, newest first. At most [`MAX_CARS`] are written.
pub fn encode<'a>(cars: impl IntoIterator<Item = &'a CarCid>) -> Vec<u8> {
    let mut out = vec![VERSION];
    cars.into_iter().take(MAX_CARS).for_each(|car| out.extend_from_slice(car.digest()));
    out
}

/// Reads a list.
///
/// # Errors
///
/// Another version, a list cut short, or one of more than [`MAX_CARS`].
pub fn decode(bytes: &[u8]) -> Result<Vec<CarCid>, Unreadable> {
    let (&VERSION, digests) = bytes.split_first().ok_or(Unreadable)? else {
        return Err(Unreadable);
    };
    let (cars, []) = digests.as_chunks::<DIGEST>() else {
        return Err(Unreadable);
    };
    if cars.len() > MAX_CARS {
        return Err(Unreadable);
    }
    Ok(cars.iter().copied().map(CarCid::of_digest).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_round_trips_and_its_oldest_are_left_out(digests in prop::collection::vec(any::<[u8; 32]>(), 0..100)) {
            let cars: Vec<CarCid> = digests.into_iter().map(CarCid::of_digest).collect();
            let read = decode(&encode(&cars)).unwrap();
            prop_assert_eq!(&read[..], &cars[..cars.len().min(MAX_CARS)]);
        }

        #[test]
        fn whatever_bytes_are_no_list_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(cars) = decode(&bytes) {
                prop_assert_eq!(encode(&cars), bytes);
            }
        }
    }

    #[test]
    fn a_later_version_and_a_cut_list_are_refused() {
        assert_eq!(decode(&[]), Err(Unreadable));
        assert_eq!(decode(&[2]), Err(Unreadable));
        assert_eq!(decode(&[1, 0]), Err(Unreadable));
        assert_eq!(decode(&[1]), Ok(vec![]));
    }
}
