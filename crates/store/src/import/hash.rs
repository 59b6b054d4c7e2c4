//! SHA2-256 whose state between two pieces can be taken out and put back, so that a hash may go on in another event. The
//! compression is the library's; the padding of FIPS 180-4, 5.1.1, is here.

use serde::{Deserialize, Serialize};
use sha2::digest::generic_array::GenericArray;

/// Bytes of a block.
const BLOCK: usize = 64;
/// Where a last block has the length of the message.
const LENGTH_AT: usize = BLOCK - 8;
/// FIPS 180-4, 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A hash under way: its state is all that it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hash {
    state: [u32; 8],
    /// Bytes so far.
    len: u64,
    /// The last of them, fewer than a block.
    rest: Vec<u8>,
}

impl Hash {
    pub(super) fn new() -> Self {
        Self { state: INITIAL, len: 0, rest: Vec::with_capacity(BLOCK) }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if !self.rest.is_empty() {
            let (filling, others) = bytes.split_at(bytes.len().min(BLOCK.saturating_sub(self.rest.len())));
            self.rest.extend_from_slice(filling);
            bytes = others;
            if self.rest.len() < BLOCK {
                return;
            }
            let rest = std::mem::take(&mut self.rest);
            self.compress(&rest);
        }
        let whole = bytes.len() / BLOCK * BLOCK;
        self.compress(&bytes[..whole]);
        self.rest.extend_from_slice(&bytes[whole..]);
    }

    pub(super) fn finish(mut self) -> [u8; 32] {
        let bits = self.len.wrapping_mul(8);
        let mut last = std::mem::take(&mut self.rest);
        last.push(0x80);
        let blocks = if last.len() > LENGTH_AT { 2 } else { 1 };
        last.resize(blocks * BLOCK - 8, 0);
        last.extend_from_slice(&bits.to_be_bytes());
        self.compress(&last);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    fn compress(&mut self, blocks: &[u8]) {
        for block in blocks.chunks_exact(BLOCK) {
            sha2::compress256(&mut self.state, std::slice::from_ref(GenericArray::from_slice(block)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    proptest! {
        #[test]
        fn any_split_with_the_state_put_away_between_gives_the_librarys_digest(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..9),
        ) {
            let mut hash = Hash::new();
            for piece in &pieces {
                hash.update(piece);
                let kept = postcard::to_allocvec(&hash).unwrap();
                hash = postcard::from_bytes(&kept).unwrap();
            }
            prop_assert_eq!(hash.finish(), <[u8; 32]>::from(Sha256::digest(pieces.concat())));
        }
    }
}
