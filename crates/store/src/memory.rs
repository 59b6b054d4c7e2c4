//! Which CARs a peer was reading, remembered under its peer id: what it comes to and how it is written down.
//!
//! A peer that comes back mid-DAG asks for blocks that are no root of anything, and no listing would find them. Where
//! the list is kept is the host's business.

use futures_util::future::BoxFuture;

use crate::CarCid;

/// As many CARs are remembered for a peer; the newest count.
pub const MAX_CARS: usize = 64;

/// The first byte of an encoded list.
const VERSION: u8 = 1;
/// Bytes of a CAR's digest.
const DIGEST: usize = 32;

/// A place where lists are kept, by the bytes of the peer id.
pub trait PeerMemory: Send + Sync {
    /// The CARs of this peer, newest first; none if nothing is known.
    ///
    /// # Errors
    ///
    /// The place could not be asked. The peer can be served all the same: it may have to ask for its root again.
    fn recall(&self, peer: &[u8]) -> BoxFuture<'static, Result<Vec<CarCid>, Forgotten>>;

    /// Keeps the CARs of this peer in place of what was kept.
    ///
    /// # Errors
    ///
    /// The place could not be written.
    fn remember(&self, peer: &[u8], cars: &[CarCid]) -> BoxFuture<'static, Result<(), Forgotten>>;
}

/// The memory of peers could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forgotten {
    /// The place where it is kept failed, and says why.
    #[error("the memory of peers failed: {0}")]
    Failed(String),
    /// What was kept is no list, or one of a later version.
    #[error("what was remembered of a peer is no list of CARs of version {VERSION}")]
    Unreadable,
    /// The budget of the event is spent.
    #[error(transparent)]
    Spent(#[from] crate::ledger::Spent),
}

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
pub fn decode(bytes: &[u8]) -> Result<Vec<CarCid>, Forgotten> {
    let (&VERSION, digests) = bytes.split_first().ok_or(Forgotten::Unreadable)? else {
        return Err(Forgotten::Unreadable);
    };
    let (cars, []) = digests.as_chunks::<DIGEST>() else {
        return Err(Forgotten::Unreadable);
    };
    if cars.len() > MAX_CARS {
        return Err(Forgotten::Unreadable);
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
        assert_eq!(decode(&[]), Err(Forgotten::Unreadable));
        assert_eq!(decode(&[2]), Err(Forgotten::Unreadable));
        assert_eq!(decode(&[1, 0]), Err(Forgotten::Unreadable));
        assert_eq!(decode(&[1]), Ok(vec![]));
    }
}
