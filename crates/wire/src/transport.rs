//! Noise transport frames: a big-endian length of two bytes, the sealed bytes, the tag (libp2p Noise
//! specification, "wire format").
//!
//! Both halves are plain data — a key and a counter — so that a session can be frozen. A counter used twice
//! under one key reveals plaintext; that a frozen form is thawed at most once is its holder's duty.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::aead::{Aead, Key, TAG_LEN};
use crate::error::Error;

/// The largest frame that the two bytes of length can say, tag included.
pub const MAX_FRAME: usize = 65_535;

/// The largest plaintext of a frame.
pub const MAX_PLAINTEXT: usize = MAX_FRAME - TAG_LEN;

/// Bytes of a frame's length prefix.
pub(crate) const PREFIX: usize = 2;

/// The sending half.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sealer {
    key: Key,
    nonce: u64,
}

impl Sealer {
    /// A half that has sent nothing yet.
    pub(crate) fn new(key: Key) -> Self {
        Self { key, nonce: 0 }
    }

    /// Appends one frame to `out`: `fill` appends up to the given number of plaintext bytes, which are sealed in
    /// place. If it appends none, no frame is made. Returns the length of the plaintext.
    pub(crate) fn frame(
        &mut self,
        aead: &dyn Aead,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>, usize),
    ) -> Result<usize, Error> {
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX]);
        let body = start + PREFIX;
        fill(out, MAX_PLAINTEXT);
        let len = out.len() - body;
        if len == 0 {
            out.truncate(start);
            return Ok(0);
        }
        debug_assert!(len <= MAX_PLAINTEXT, "the plaintext exceeds a frame");
        let nonce = self.nonce;
        // The last value is reserved by Noise for rekeying.
        if nonce == u64::MAX {
            return Err(Error::NonceExhausted);
        }
        self.nonce += 1;
        let tag = aead.seal(&self.key, nonce, &mut out[body..]);
        out.extend_from_slice(&tag);
        let sealed = (len + TAG_LEN) as u16;
        out[start..body].copy_from_slice(&sealed.to_be_bytes());
        Ok(len)
    }
}

/// The receiving half, with the frame it has only a part of.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Opener {
    key: Key,
    nonce: u64,
    partial: Vec<u8>,
}

impl Opener {
    /// A half that has received nothing yet.
    pub(crate) fn new(key: Key) -> Self {
        Self { key, nonce: 0, partial: Vec::new() }
    }

    /// Whether part of a frame is waiting for the rest.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.partial.is_empty()
    }

    /// Opens every whole frame of `bytes` and hands its plaintext to `plain`; keeps a partial frame at the end,
    /// at most [`MAX_FRAME`] and its prefix. Frames that lie whole in `bytes` are opened in place.
    pub(crate) fn receive(
        &mut self,
        aead: &dyn Aead,
        mut bytes: &mut [u8],
        mut plain: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.partial.is_empty() {
            let mut partial = std::mem::take(&mut self.partial);
            while let Some(missing) = missing(&partial) {
                let n = missing.min(bytes.len());
                if n == 0 {
                    self.partial = partial;
                    return Ok(());
                }
                let (head, tail) = bytes.split_at_mut(n);
                partial.extend_from_slice(head);
                bytes = tail;
            }
            plain(self.open(aead, &mut partial[PREFIX..])?)?;
        }
        while let Some(len) = frame_len(bytes) {
            if bytes.len() < len {
                break;
            }
            let (frame, tail) = bytes.split_at_mut(len);
            plain(self.open(aead, &mut frame[PREFIX..])?)?;
            bytes = tail;
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn open<'a>(&mut self, aead: &dyn Aead, sealed: &'a mut [u8]) -> Result<&'a [u8], Error> {
        let len = sealed.len().checked_sub(TAG_LEN).ok_or(Error::ShortFrame)?;
        let (body, tag) = sealed.split_at_mut(len);
        let mut expected = [0; TAG_LEN];
        expected.copy_from_slice(tag);
        let nonce = self.nonce;
        if nonce == u64::MAX {
            return Err(Error::NonceExhausted);
        }
        self.nonce += 1;
        aead.open(&self.key, nonce, body, &expected)?;
        Ok(body)
    }
}

/// The whole length of the frame that begins here, prefix included, once its prefix is here.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<PREFIX>()?;
    Some(PREFIX + usize::from(u16::from_be_bytes(*prefix)))
}

/// How many bytes to fetch next for the frame that `partial` begins; `None` if it is whole.
fn missing(partial: &[u8]) -> Option<usize> {
    let want = frame_len(partial).unwrap_or(PREFIX);
    match want.checked_sub(partial.len()) {
        Some(0) | None => None,
        some => some,
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("nonce", &self.nonce)
            .field("partial", &self.partial.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aead::Portable;

    fn sealed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut sealer = Sealer::new([1; 32]);
        let mut wire = Vec::new();
        for message in messages {
            sealer.frame(&Portable, &mut wire, |out, _| out.extend_from_slice(message)).expect("seals");
        }
        wire
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_plaintext(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..6),
            cuts in prop::collection::vec(1..200_usize, 1..8),
        ) {
            let mut wire = sealed(&messages);
            let mut opener = Opener::new([1; 32]);
            let mut got = Vec::new();
            let mut rest = wire.as_mut_slice();
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let n = (*cuts.next().expect("cycles")).min(rest.len());
                let (chunk, tail) = rest.split_at_mut(n);
                opener.receive(&Portable, chunk, |p| { got.extend_from_slice(p); Ok(()) }).expect("opens");
                rest = tail;
            }
            prop_assert_eq!(got, messages.concat());
            prop_assert!(opener.is_between_frames());
        }
    }

    #[test]
    fn a_frame_too_short_for_its_tag_is_refused() {
        let mut opener = Opener::new([1; 32]);
        let result = opener.receive(&Portable, &mut [0, 3, 1, 2, 3], |_| Ok(()));
        assert!(matches!(result, Err(Error::ShortFrame)));
    }

    #[test]
    fn an_empty_fill_makes_no_frame_and_spends_no_nonce() {
        let mut sealer = Sealer::new([1; 32]);
        let mut out = vec![5];
        assert_eq!(sealer.frame(&Portable, &mut out, |_, _| ()).expect("nothing to do"), 0);
        assert_eq!(out, [5]);
        assert_eq!(sealer.nonce, 0);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let text = format!("{:?} {:?}", Sealer::new([0xab; 32]), Opener::new([0xab; 32]));
        assert!(!text.contains("171") && !text.contains("ab"), "{text}");
    }
}
