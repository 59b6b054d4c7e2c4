//! Where every section of a CAR lies, found by hopping from head to head.
//!
//! The scanner says which bytes of the file it wants and is handed them; block data is passed over. Where
//! blocks are large it asks for one small read a section; where they are small, for large reads in sequence,
//! since a read costs more than the bytes in it. It checks no hash.

use std::io;

use crate::opening::{Opened, Opening};
use crate::{Error, Header, MAX_HEAD_LEN, Options, SectionHead, SectionOffset, Skipped, ZeroLength};

/// The first read, which holds the headers of nearly every file.
const FIRST_READ: usize = 4 << 10;
/// A read that is made for one section head, and for those that happen to lie behind it.
const HOP_READ: usize = 512;
/// A read in sequence.
const WINDOW: usize = 1 << 20;

/// Finds the sections of a file of known length: ask [`want`](Self::want) which bytes come next and
/// [`feed`](Self::feed) them, until nothing is wanted.
#[derive(Debug)]
pub struct Scanner {
    options: Options,
    file_len: u64,
    /// The file's byte to go on from.
    at: u64,
    /// Sections of more bytes than this, on average, are hopped over.
    hop_over: u64,
    /// Running average of section lengths, in bytes.
    average: u64,
    stage: Stage,
    /// The section that the last error was about, if it can be passed over.
    stuck_at: Option<Skipped>,
}

#[derive(Debug)]
enum Stage {
    /// Reading the headers, which are known to need this many bytes at the place got to.
    Opening(Opening, usize),
    /// Reading sections up to this byte of the file.
    Sections(Header, u64),
}

/// Bytes of the file that a [`Scanner`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The file's byte to read from.
    pub offset: u64,
    /// As many bytes as there must be.
    pub min: usize,
    /// As many as are worth reading: at least `min`, at most the larger of `min` and 1 MiB, and never past
    /// the end of the file.
    pub useful: usize,
}

impl Scanner {
    /// A scanner of a file of `file_len` bytes.
    pub fn new(file_len: u64, options: Options) -> Self {
        let stage = Stage::Opening(Opening::default(), 1);
        Self { options, file_len, at: 0, hop_over: 8 << 10, average: 0, stage, stuck_at: None }
    }

    /// Sets how long sections must be on average, in bytes, before they are hopped over and not read through:
    /// as many bytes as can be read in the time that one more read takes. The default of 8 KiB suits a file
    /// in the page cache; a bucket wants megabytes.
    pub fn hop_over(self, bytes: u64) -> Self {
        Self { hop_over: bytes, ..self }
    }

    /// The header, once it is read.
    pub fn header(&self) -> Option<&Header> {
        match &self.stage {
            Stage::Opening(..) => None,
            Stage::Sections(header, _) => Some(header),
        }
    }

    /// What to read next. `None`: every section was found.
    pub fn want(&self) -> Option<Want> {
        let (end, min, useful) = match &self.stage {
            Stage::Opening(_, needs) => (self.file_len, *needs, FIRST_READ),
            Stage::Sections(..) if self.is_at_end() => return None,
            Stage::Sections(_, end) if self.average > self.hop_over => (*end, MAX_HEAD_LEN, HOP_READ),
            Stage::Sections(_, end) => (*end, MAX_HEAD_LEN, WINDOW),
        };
        let there = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        Some(Want { offset: self.at, min: min.min(there), useful: useful.max(min).min(there) })
    }

    /// Takes the bytes that [`want`](Self::want) asked for, and calls `found` for every section whose head is in them.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or that there are fewer than [`Want::min`] bytes. `found` was called for the
    /// sections before.
    pub fn feed(&mut self, bytes: &[u8], found: impl FnMut(&SectionHead)) -> Result<(), Error> {
        self.stuck_at = None;
        let Some(want) = self.want() else {
            return Ok(());
        };
        if bytes.len() < want.min {
            let end = want.offset.saturating_add(want.min as u64);
            return Err(Error::Truncated { at: want.offset, what: "file", end });
        }
        match &self.stage {
            Stage::Opening(..) => {
                let used = self.open(bytes)?;
                match bytes.get(used..) {
                    Some(rest) => self.sections(rest, found),
                    None => Ok(()),
                }
            }
            Stage::Sections(..) => self.sections(bytes, found),
        }
    }

    /// After an error of [`feed`](Self::feed) about one section: goes on behind it, if it has a length and that fits in
    /// what is left. The section is one over [`Options::max_section`], one without a CID that can be read, or bytes of
    /// zero. [`want`](Self::want) then says where to read on. `None`: there is no going on.
    ///
    /// If the length was wrong, what is found behind is not a section either, most likely.
    pub fn skip_section(&mut self) -> Option<Skipped> {
        let skipped = self.stuck_at.take()?;
        self.at += skipped.section_len;
        Some(skipped)
    }

    /// Scans a whole file through `read_at`, which fills as much of the buffer as it can from a byte of the
    /// file and says how much that is.
    ///
    /// # Errors
    ///
    /// As [`feed`](Self::feed), and what `read_at` says.
    pub fn run(
        mut self,
        mut read_at: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
        mut found: impl FnMut(&SectionHead),
    ) -> Result<Header, Error> {
        let mut buffer = vec![0; HOP_READ];
        while let Some(want) = self.want() {
            if buffer.len() < want.useful {
                buffer.resize(want.useful, 0);
            }
            let read = read_at(want.offset, &mut buffer[..want.useful])?;
            self.feed(&buffer[..read], &mut found)?;
        }
        match self.stage {
            Stage::Sections(header, _) => Ok(header),
            Stage::Opening(..) => Err(Error::Truncated { at: 0, what: "header", end: 1 }),
        }
    }

    /// Reads headers, as far as they go in `bytes`; says how many bytes lie before the place got to.
    fn open(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let start = self.at;
        loop {
            let Stage::Opening(opening, needs) = &mut self.stage else {
                return Ok(0);
            };
            let used = usize::try_from(self.at - start).unwrap_or(usize::MAX);
            let Some(rest) = bytes.get(used..) else {
                return Ok(used);
            };
            match opening.read(rest, self.at, &self.options)? {
                Opened::Need(needed) => {
                    let end = self.at.saturating_add(needed as u64);
                    if end > self.file_len {
                        return Err(Error::Truncated { at: self.at, what: "header", end });
                    }
                    *needs = needed;
                    return Ok(bytes.len());
                }
                Opened::Continue(at) => {
                    *needs = 1;
                    self.at = at;
                }
                Opened::Done(header, first) => {
                    // What is there of a payload that is cut short has whole sections too.
                    let end = header.payload_end().map_or(self.file_len, |end| end.min(self.file_len));
                    if first > end {
                        return Err(Error::Truncated { at: self.at, what: "header", end: first });
                    }
                    self.stage = Stage::Sections(header, end);
                    self.at = first;
                    self.check_end()?;
                    return Ok(usize::try_from(first - start).unwrap_or(usize::MAX));
                }
            }
        }
    }

    /// Whether everything was found. A payload that is cut short has no end: that is still to be said.
    fn is_at_end(&self) -> bool {
        matches!(&self.stage, Stage::Sections(header, end) if self.at == *end && header.payload_in(self.file_len).is_ok())
    }

    /// At the end of what there is: whether that is where the payload should end.
    fn check_end(&self) -> Result<(), Error> {
        match &self.stage {
            Stage::Sections(header, end) if self.at == *end => header.payload_in(self.file_len).map(drop),
            _ => Ok(()),
        }
    }

    /// Reads section heads from `bytes`, which lie at `self.at`.
    fn sections(&mut self, bytes: &[u8], mut found: impl FnMut(&SectionHead)) -> Result<(), Error> {
        let Stage::Sections(header, end) = &self.stage else {
            return Ok(());
        };
        let (payload_start, payload_end) = (header.payload_start(), *end);
        let bounded = header.payload_end().is_some_and(|end| end <= self.file_len);
        let start = self.at;
        loop {
            let used = usize::try_from(self.at - start).unwrap_or(usize::MAX);
            let left = payload_end - self.at;
            let rest = bytes.get(used..).unwrap_or_default();
            let rest = usize::try_from(left).map_or(rest, |left| &rest[..left.min(rest.len())]);
            let offset = SectionOffset(self.at - payload_start);
            let head = match rest.first() {
                None => return self.check_end(),
                Some(0) if self.options.zero_length == ZeroLength::Padding => {
                    self.at += 1;
                    continue;
                }
                Some(_) => SectionHead::parse(rest, offset, payload_start, &self.options),
            };
            let head = match head {
                Ok(head) => head,
                // With the whole head there, it can be said which block it is.
                Err(Error::SectionTooLong { .. }) if (rest.len() as u64) < left.min(MAX_HEAD_LEN as u64) => {
                    return Ok(());
                }
                Err(error) => {
                    self.stuck_at = Skipped::parse(rest, offset, &error).filter(|skipped| skipped.section_len <= left);
                    return Err(error);
                }
            };
            let len = match &head {
                Some(head) => head.section_len(),
                // There are no more bytes to wait for: the section is longer than what is left.
                None if rest.len() as u64 == left => left + 1,
                None => return Ok(()),
            };
            if len > left {
                return Err(past_end(self.at, len, payload_end, bounded));
            }
            if let Some(head) = &head {
                found(head);
            }
            self.at += len;
            self.average = if self.average == 0 { len } else { self.average - self.average / 8 + len / 8 };
        }
    }
}

/// A CARv2 says where its payload ends, so that a section beyond is a lie; a CARv1 was cut short.
fn past_end(at: u64, len: u64, payload_end: u64, bounded: bool) -> Error {
    let end = at.saturating_add(len);
    match bounded {
        true => Error::SectionPastEnd { at, end, payload_end },
        false => Error::Truncated { at, what: "section", end },
    }
}
