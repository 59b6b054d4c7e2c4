//! multistream-select 1.0.0: agreeing on the protocol of a byte stream, in both roles.
//!
//! A dialler proposes its protocols in order, the first one together with the header; with one proposal it may
//! send the protocol's own bytes behind it without waiting (optimistic). A listener takes the first proposal it
//! knows. Messages are a varint length, the text and a newline; a text over 1,024 bytes ends the stream, as
//! does a listener's 64th unknown proposal.

use serde::{Deserialize, Serialize};

use crate::error::Error;

const HEADER: &str = "/multistream/1.0.0";
const NOT_AVAILABLE: &str = "na";
const MAX_MESSAGE: usize = 1_024;
const MAX_PROPOSALS: u8 = 64;

/// How a negotiation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Both sides speak the protocol with this index of the table.
    Agreed(u8),
    /// The listener knows none of the dialler's protocols.
    Refused,
}

/// One stream's negotiation. Protocols are indexes of a table that is the same for the connection's life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Negotiation {
    partial: Vec<u8>,
    header_seen: bool,
    side: Side,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Side {
    Listener { greeted: bool, refused: u8 },
    Dialler { proposals: Vec<u8>, current: u8 },
}

impl Negotiation {
    pub(crate) fn listen() -> Self {
        let side = Side::Listener { greeted: false, refused: 0 };
        Self { partial: Vec::new(), header_seen: false, side }
    }

    /// Proposes `proposals`, the preferred one first; what to send goes to `out`. The caller proposes at least one.
    pub(crate) fn dial<S: AsRef<str>>(table: &[S], proposals: &[u8], out: &mut Vec<u8>) -> Self {
        write(out, HEADER);
        if let Some(name) = proposals.first().and_then(|p| table.get(usize::from(*p))) {
            write(out, name.as_ref());
        }
        let side = Side::Dialler { proposals: proposals.to_vec(), current: 0 };
        Self { partial: Vec::new(), header_seen: false, side }
    }

    /// Takes bytes from the front of `input`, no more than the negotiation needs; answers go to `out`.
    pub(crate) fn receive<S: AsRef<str>>(
        &mut self,
        table: &[S],
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Outcome>, Error> {
        while let Some(text) = self.next_message(input)? {
            if let Some(outcome) = self.step(table, &text, out)? {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    fn step<S: AsRef<str>>(&mut self, table: &[S], text: &[u8], out: &mut Vec<u8>) -> Result<Option<Outcome>, Error> {
        if !self.header_seen {
            if text != HEADER.as_bytes() {
                return Err(Error::Multistream("the first message is not its header"));
            }
            self.header_seen = true;
            if let Side::Listener { greeted, .. } = &mut self.side {
                *greeted = true;
                write(out, HEADER);
            }
            return Ok(None);
        }
        match &mut self.side {
            Side::Listener { refused, .. } => {
                if let Some(index) = table.iter().position(|p| p.as_ref().as_bytes() == text) {
                    write(out, table[index].as_ref());
                    return Ok(Some(Outcome::Agreed(index as u8)));
                }
                *refused += 1;
                if *refused >= MAX_PROPOSALS {
                    return Err(Error::Multistream("too many unknown protocols on one stream"));
                }
                write(out, NOT_AVAILABLE);
                Ok(None)
            }
            Side::Dialler { proposals, current } => {
                let proposed = proposals.get(usize::from(*current)).copied();
                let name = proposed.and_then(|p| table.get(usize::from(p)));
                if let (Some(index), Some(name)) = (proposed, name)
                    && name.as_ref().as_bytes() == text
                {
                    return Ok(Some(Outcome::Agreed(index)));
                }
                if text != NOT_AVAILABLE.as_bytes() {
                    return Err(Error::Multistream("the answer is not to what was proposed"));
                }
                *current += 1;
                match proposals.get(usize::from(*current)).and_then(|p| table.get(usize::from(*p))) {
                    Some(name) => {
                        write(out, name.as_ref());
                        Ok(None)
                    }
                    None => Ok(Some(Outcome::Refused)),
                }
            }
        }
    }

    /// The next whole message, without its newline.
    fn next_message(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, Error> {
        while let Some((&byte, rest)) = input.split_first() {
            // One byte at a time only for the length; the text is taken whole.
            let n = match length(&self.partial)? {
                None => {
                    self.partial.push(byte);
                    *input = rest;
                    match length(&self.partial)? {
                        Some((0, _)) => return Err(Error::Multistream("a message is empty")),
                        // Who speaks something else is told from the first byte.
                        Some((len, _)) if !self.header_seen && len != HEADER.len() + 1 => {
                            return Err(Error::Multistream("the first message is not its header"));
                        }
                        _ => continue,
                    }
                }
                Some((len, prefix)) => (prefix + len - self.partial.len()).min(input.len()),
            };
            let (head, rest) = input.split_at(n);
            self.partial.extend_from_slice(head);
            *input = rest;
            if let Some((len, prefix)) = length(&self.partial)?
                && self.partial.len() == prefix + len
            {
                let message = std::mem::take(&mut self.partial);
                return match message[prefix..].split_last() {
                    Some((b'\n', text)) => Ok(Some(text.to_vec())),
                    _ => Err(Error::Multistream("a message does not end with a newline")),
                };
            }
        }
        Ok(None)
    }
}

/// The length that `partial` begins with, and how many bytes say it; `None` while they are not all here.
fn length(partial: &[u8]) -> Result<Option<(usize, usize)>, Error> {
    match unsigned_varint::decode::u16(partial) {
        Ok((len, _)) if usize::from(len) > MAX_MESSAGE => Err(Error::Multistream("a message is over 1024 bytes")),
        Ok((len, rest)) => Ok(Some((usize::from(len), partial.len() - rest.len()))),
        Err(unsigned_varint::decode::Error::Insufficient) => Ok(None),
        Err(_) => Err(Error::Multistream("a message's length cannot be read")),
    }
}

fn write(out: &mut Vec<u8>, text: &str) {
    let mut buffer = unsigned_varint::encode::u64_buffer();
    out.extend_from_slice(unsigned_varint::encode::u64(text.len() as u64 + 1, &mut buffer));
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: [&str; 3] = ["/a/1", "/b/1", "/c/1"];

    /// Runs both sides against each other, `cut` bytes at a time; a listener that knows `known`.
    fn negotiate(known: &[&str], proposals: &[u8], cut: usize) -> Result<(Option<Outcome>, Option<Outcome>), Error> {
        let (mut to_listener, mut to_dialler) = (Vec::new(), Vec::new());
        let mut dialler = Negotiation::dial(&TABLE, proposals, &mut to_listener);
        let mut listener = Negotiation::listen();
        let (mut dialled, mut listened) = (None, None);
        while !to_listener.is_empty() || !to_dialler.is_empty() {
            let chunk: Vec<u8> = to_listener.drain(..cut.min(to_listener.len())).collect();
            let mut input = chunk.as_slice();
            if listened.is_none() {
                listened = listener.receive(known, &mut input, &mut to_dialler)?;
            }
            let chunk: Vec<u8> = to_dialler.drain(..cut.min(to_dialler.len())).collect();
            let mut input = chunk.as_slice();
            if dialled.is_none() {
                dialled = dialler.receive(&TABLE, &mut input, &mut to_listener)?;
            }
        }
        Ok((dialled, listened))
    }

    proptest! {
        #[test]
        fn both_sides_agree_at_any_split(cut in 1..40_usize) {
            let (dialled, listened) = negotiate(&["/c/1", "/b/1"], &[0, 1, 2], cut).expect("negotiates");
            prop_assert_eq!(dialled, Some(Outcome::Agreed(1)));
            prop_assert_eq!(listened, Some(Outcome::Agreed(1)));
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _ = Negotiation::listen().receive(&TABLE, &mut bytes.as_slice(), &mut out);
            let mut dialler = Negotiation::dial(&TABLE, &[0], &mut out);
            let _ = dialler.receive(&TABLE, &mut bytes.as_slice(), &mut out);
        }
    }

    #[test]
    fn nothing_in_common_is_refused() {
        let (dialled, listened) = negotiate(&["/z/1"], &[0, 2], 7).expect("negotiates");
        assert_eq!(dialled, Some(Outcome::Refused));
        assert_eq!(listened, None);
    }

    #[test]
    fn the_protocols_bytes_behind_the_proposal_are_left_alone() {
        let mut wire = Vec::new();
        Negotiation::dial(&TABLE, &[0], &mut wire);
        wire.extend_from_slice(b"payload");
        let mut input = wire.as_slice();
        let outcome = Negotiation::listen().receive(&TABLE, &mut input, &mut Vec::new()).expect("negotiates");
        assert_eq!(outcome, Some(Outcome::Agreed(0)));
        assert_eq!(input, b"payload");
    }

    #[test]
    fn an_endless_list_of_unknown_protocols_ends_the_stream() {
        let mut wire = Vec::new();
        write(&mut wire, HEADER);
        (0..100).for_each(|i| write(&mut wire, &format!("/unknown/{i}")));
        let result = Negotiation::listen().receive(&TABLE, &mut wire.as_slice(), &mut Vec::new());
        assert!(matches!(result, Err(Error::Multistream(_))));
    }

    #[test]
    fn a_long_message_is_refused_before_it_is_kept() {
        let mut negotiation = Negotiation::listen();
        let result = negotiation.receive(&TABLE, &mut [0x81, 0x08].as_slice(), &mut Vec::new());
        assert!(matches!(result, Err(Error::Multistream(_))));
    }
}
