//! Cuts a stream of bytes into messages: a varint length, then that many bytes. It does not look
//! into them.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{Error, MAX_RECEIVED};

/// Splits the bytes of one stream into messages, however they were cut on the way.
///
/// At most [`MAX_RECEIVED`] bytes are held, and never more than about twice what has been
/// received of a message: a length that is only claimed costs nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    /// Inside the length, of which these bits are known.
    Head { len: u32, shift: u8 },
    /// Inside a message of `len` bytes.
    Body { len: usize, received: BytesMut },
}

impl Default for State {
    fn default() -> Self {
        Self::Head { len: 0, shift: 0 }
    }
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes off the front of `chunk`, up to the end of a message, and returns it without
    /// its length. `None` means that all of `chunk` was taken: call again with the next one. An
    /// empty message is a message.
    ///
    /// A message that lies whole in `chunk` is a slice of it, not a copy.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`], before anything of the message is kept, and [`Error::Varint`]
    /// for a length that is not a minimal varint. The stream cannot be read on after either.
    pub fn decode(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, Error> {
        loop {
            match &mut self.state {
                State::Head { len, shift } => {
                    let Some(whole) = read_length(len, shift, chunk)? else {
                        return Ok(None);
                    };
                    self.state = State::Body { len: whole, received: BytesMut::new() };
                }
                State::Body { len, received } if received.is_empty() && chunk.len() >= *len => {
                    let message = chunk.split_to(*len);
                    self.state = State::default();
                    return Ok(Some(message));
                }
                State::Body { len, received } => {
                    let part = chunk.split_to(chunk.len().min(len.saturating_sub(received.len())));
                    received.extend_from_slice(&part);
                    if received.len() < *len {
                        return Ok(None);
                    }
                    let message = std::mem::take(received).freeze();
                    self.state = State::default();
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Whether the stream stands between two messages.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Head { shift: 0, .. })
    }

    /// How many bytes of an unfinished message are held.
    pub fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Head { .. } => 0,
            State::Body { received, .. } => received.len(),
        }
    }
}

/// Reads on in a length of which `len` is known and `shift` bits were read.
fn read_length(len: &mut u32, shift: &mut u8, chunk: &mut Bytes) -> Result<Option<usize>, Error> {
    let too_long = |claimed| Error::MessageTooLong { claimed, max: MAX_RECEIVED };
    while chunk.has_remaining() {
        let byte = chunk.get_u8();
        // Four bytes are enough for what is allowed.
        if *shift > 21 {
            return Err(too_long(u64::MAX));
        }
        *len |= u32::from(byte & 0x7f) << *shift;
        if byte >= 0x80 {
            *shift += 7;
            continue;
        }
        if byte == 0 && *shift > 0 {
            return Err(Error::Varint);
        }
        return match usize::try_from(*len) {
            Ok(whole) if whole <= MAX_RECEIVED => Ok(Some(whole)),
            _ => Err(too_long(u64::from(*len))),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::put_varint;

    fn framed(messages: &[Vec<u8>]) -> Bytes {
        let mut out = Vec::new();
        for message in messages {
            put_varint(&mut out, message.len() as u64);
            out.extend_from_slice(message);
        }
        out.into()
    }

    fn drain(decoder: &mut Decoder, mut chunk: Bytes) -> Result<Vec<Bytes>, Error> {
        let mut messages = Vec::new();
        while let Some(message) = decoder.decode(&mut chunk)? {
            messages.push(message);
        }
        assert!(chunk.is_empty());
        Ok(messages)
    }

    #[test]
    fn a_message_in_one_chunk_is_not_copied() {
        let chunk = framed(&[vec![1; 100], vec![2; 200]]);
        let messages = drain(&mut Decoder::new(), chunk.clone()).unwrap();
        assert_eq!(messages[0].as_ptr(), chunk[1..].as_ptr());
        assert_eq!(messages[1].as_ptr(), chunk[103..].as_ptr());
    }

    #[test]
    fn the_longest_message_is_accepted_and_one_byte_more_is_not() {
        let mut longest = Vec::new();
        put_varint(&mut longest, MAX_RECEIVED as u64);
        let mut decoder = Decoder::new();
        assert!(drain(&mut decoder, longest.into()).unwrap().is_empty());
        assert!(drain(&mut decoder, vec![0; MAX_RECEIVED - 1].into()).unwrap().is_empty());
        assert_eq!(drain(&mut decoder, vec![0].into()).unwrap()[0].len(), MAX_RECEIVED);

        let mut longer = Vec::new();
        put_varint(&mut longer, MAX_RECEIVED as u64 + 1);
        let expected = Error::MessageTooLong { claimed: MAX_RECEIVED as u64 + 1, max: MAX_RECEIVED };
        assert_eq!(drain(&mut Decoder::new(), longer.into()), Err(expected));
    }

    #[test]
    fn an_absurd_or_padded_length_is_an_error() {
        let absurd = Bytes::from_static(&[0xff; 11]);
        let result = drain(&mut Decoder::new(), absurd);
        assert!(matches!(result, Err(Error::MessageTooLong { claimed: u64::MAX, .. })));
        let wraps_to_zero = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x10]);
        let result = drain(&mut Decoder::new(), wraps_to_zero);
        assert!(matches!(result, Err(Error::MessageTooLong { .. })));
        let padded = Bytes::from_static(&[0x81, 0x00]);
        assert_eq!(drain(&mut Decoder::new(), padded), Err(Error::Varint));
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let mut head = Vec::new();
        put_varint(&mut head, MAX_RECEIVED as u64);
        head.push(7);
        let mut decoder = Decoder::new();
        drain(&mut decoder, head.into()).unwrap();
        let State::Body { received, .. } = &decoder.state else { panic!("not in a body") };
        assert!(received.capacity() < 1024, "{}", received.capacity());
    }

    #[test]
    fn an_empty_message_is_a_message() {
        let messages = drain(&mut Decoder::new(), Bytes::from_static(&[0, 0])).unwrap();
        assert_eq!(messages, [Bytes::new(), Bytes::new()]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            cuts in prop::collection::vec(1_usize..200, 1..20),
        ) {
            let mut rest = framed(&messages);
            let mut decoder = Decoder::new();
            let mut decoded = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let chunk = rest.split_to((*cut).min(rest.len()));
                decoded.extend(drain(&mut decoder, chunk).unwrap());
                // A frozen decoder reads on where it stood.
                let frozen = postcard::to_allocvec(&decoder).unwrap();
                decoder = postcard::from_bytes(&frozen).unwrap();
            }
            prop_assert_eq!(decoded, messages);
            prop_assert!(decoder.is_between_messages());
        }
    }
}
