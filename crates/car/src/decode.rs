//! Sections out of bytes that arrive in any pieces: push, then take until there is nothing more.

use bytes::{Buf, Bytes, BytesMut};
use cid::Cid;

use crate::opening::{Opened, Opening};
use crate::{Error, Header, MAX_HEAD_LEN, Options, SectionHead, SectionOffset, Skipped, VerifyFailure, ZeroLength};

/// A streaming decoder of CARv1 and CARv2.
///
/// Push bytes with [`push`](Self::push), take what they complete with [`next`](Self::next), and say with
/// [`end`](Self::end) that no more will come. It holds what was pushed and not yet taken, so its memory is bounded by
/// [`Options::max_header`] and [`Options::max_section`] and one push. A CARv2's padding and index are passed over.
#[derive(Debug)]
pub struct Decoder {
    options: Options,
    buffer: BytesMut,
    /// The file's byte that `buffer` begins with.
    at: u64,
    /// Bytes still to come that nobody needs.
    skip: u64,
    ended: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Opening(Opening),
    Sections(Payload),
    /// An error was returned that was about this section alone.
    Stuck(Payload, Skipped),
    /// The payload is over, or an error was returned.
    Finished,
}

/// Where the sections lie in the file.
#[derive(Clone, Copy, Debug)]
struct Payload {
    start: u64,
    /// `None`: they go on to the end of the file.
    end: Option<u64>,
}

/// What a [`Decoder`] found.
#[derive(Clone, Debug)]
pub enum Event {
    /// The header: always first, and once.
    Header(Header),
    /// A section: in the order of the file.
    Section(Section),
}

/// A section with its block.
#[derive(Clone, Debug)]
pub struct Section {
    /// Where it lies and its CID.
    pub head: SectionHead,
    /// The block's bytes. Not checked against the CID: see [`verify`](Self::verify).
    pub data: Bytes,
    /// Where it begins in the file, for messages.
    at: u64,
}

impl Section {
    /// The block's CID.
    pub fn cid(&self) -> &Cid {
        &self.head.cid
    }

    /// Checks the block with `check`, and says where the section lies if that fails.
    ///
    /// # Errors
    ///
    /// [`Error::Verify`], with what `check` said.
    pub fn verify<E: Into<VerifyFailure>>(
        &self,
        check: impl FnOnce(&Cid, &[u8]) -> Result<(), E>,
    ) -> Result<(), Error> {
        check(self.cid(), &self.data).map_err(|error| Error::Verify {
            at: self.at,
            cid: Box::new(self.head.cid),
            source: error.into(),
        })
    }
}

impl Decoder {
    /// A decoder at the start of a file.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            buffer: BytesMut::new(),
            at: 0,
            skip: 0,
            ended: false,
            state: State::Opening(Opening::default()),
        }
    }

    /// A decoder in the middle of a file that is one CARv1: at the section that begins at byte `at`, with the bytes from there
    /// on still to be pushed. See [`pending`](Self::pending).
    pub fn at_section(options: Options, at: u64) -> Self {
        Self { at, state: State::Sections(Payload { start: 0, end: None }), ..Self::new(options) }
    }

    /// Which byte of the file the next section begins at, and what was pushed from there on. `None`: it is not between two
    /// sections.
    pub fn pending(&self) -> Option<(u64, &[u8])> {
        (matches!(self.state, State::Sections(_)) && self.skip == 0).then_some((self.at, &self.buffer))
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.is_finished() {
            return;
        }
        let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        self.skip -= skipped as u64;
        self.at += skipped as u64;
        self.buffer.extend_from_slice(&bytes[skipped..]);
    }

    /// No more bytes will come: what is incomplete now is cut short.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether nothing more will be found: the payload is over, or an error was returned.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished | State::Stuck(..))
    }

    /// The next thing that the bytes so far complete. `None`: push more, or it [is finished](Self::is_finished).
    ///
    /// # Errors
    ///
    /// What is wrong with the file. Nothing more is found after an error, unless [`skip_section`](Self::skip_section)
    /// finds a way.
    #[expect(clippy::should_implement_trait, reason = "`None` means not yet, which ends no iterator")]
    pub fn next(&mut self) -> Result<Option<Event>, Error> {
        let next = match self.state {
            State::Opening(_) => self.next_header(),
            State::Sections(payload) => self.next_section(payload),
            State::Stuck(..) | State::Finished => Ok(None),
        };
        if next.is_err() && !self.is_finished() {
            self.finish();
        }
        next
    }

    /// Right after an error of [`next`](Self::next) about one section, before anything is pushed: goes on behind it, as
    /// [`Scanner::skip_section`](crate::Scanner::skip_section) does. `None`: there is no going on. Where a CARv1 ends is
    /// not known here; if that is inside the section, the end will be the next error.
    pub fn skip_section(&mut self) -> Option<Skipped> {
        let State::Stuck(payload, skipped) = self.state else { return None };
        self.state = State::Sections(payload);
        self.advance_to(self.at.saturating_add(skipped.section_len));
        Some(skipped)
    }

    fn next_header(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let State::Opening(opening) = &mut self.state else {
                return Ok(None);
            };
            if self.skip > 0 {
                return self.incomplete("padding before the payload", self.at + self.skip);
            }
            match opening.read(&self.buffer, self.at, &self.options)? {
                Opened::Need(needed) => return self.incomplete("header", self.at.saturating_add(needed as u64)),
                Opened::Continue(at) => self.advance_to(at),
                Opened::Done(header, first) => {
                    self.state = State::Sections(Payload { start: header.payload_start(), end: header.payload_end() });
                    self.advance_to(first);
                    return Ok(Some(Event::Header(header)));
                }
            }
        }
    }

    fn next_section(&mut self, payload: Payload) -> Result<Option<Event>, Error> {
        if self.skip > 0 {
            return self.incomplete("section", self.at.saturating_add(self.skip));
        }
        loop {
            if payload.end == Some(self.at) || (payload.end.is_none() && self.buffer.is_empty() && self.ended) {
                self.finish();
                return Ok(None);
            }
            if self.buffer.first() != Some(&0) || self.options.zero_length == ZeroLength::Refuse {
                break;
            }
            self.advance_to(self.at + 1);
        }
        if self.buffer.is_empty() {
            return self.incomplete("payload", payload.end.unwrap_or(self.at));
        }

        let at = self.at;
        let offset = SectionOffset(at - payload.start);
        let head = match SectionHead::parse(&self.buffer, offset, payload.start, &self.options) {
            Ok(Some(head)) => head,
            Ok(None) => return self.incomplete("section", at + self.buffer.len() as u64 + 1),
            // With the whole head there, it can be said which block it is.
            Err(Error::SectionTooLong { .. }) if self.buffer.len() < MAX_HEAD_LEN && !self.ended => return Ok(None),
            Err(error) => {
                let fits = |skipped: &Skipped| match payload.end {
                    Some(end) => at.saturating_add(skipped.section_len) <= end,
                    None => true,
                };
                if let Some(skipped) = Skipped::parse(&self.buffer, offset, &error).filter(fits) {
                    self.state = State::Stuck(payload, skipped);
                }
                return Err(error);
            }
        };
        let end = at.saturating_add(head.section_len());
        if let Some(payload_end) = payload.end
            && end > payload_end
        {
            return Err(Error::SectionPastEnd { at, end, payload_end });
        }
        if (self.buffer.len() as u64) < head.section_len() {
            return self.incomplete("section", end);
        }

        self.advance_to(at + head.head_len());
        // The whole section is in the buffer, so its length is no mere claim.
        let data = self.buffer.split_to(head.data_len as usize).freeze();
        self.at = end;
        Ok(Some(Event::Section(Section { head, data, at })))
    }

    /// More is needed, up to byte `end` at the least: that is an error once the input has ended.
    fn incomplete(&self, what: &'static str, end: u64) -> Result<Option<Event>, Error> {
        match self.ended {
            true => Err(Error::Truncated { at: self.at, what, end }),
            false => Ok(None),
        }
    }

    /// Drops what lies before byte `at` of the file, the part that is still to come included.
    fn advance_to(&mut self, at: u64) {
        let ahead = at - self.at;
        let here = usize::try_from(ahead).map_or(self.buffer.len(), |ahead| ahead.min(self.buffer.len()));
        self.buffer.advance(here);
        self.at += here as u64;
        self.skip = ahead - here as u64;
    }

    fn finish(&mut self) {
        self.state = State::Finished;
        self.buffer = BytesMut::new();
    }
}
