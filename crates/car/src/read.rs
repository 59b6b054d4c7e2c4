//! [`Decoder`] over `std::io::Read`: an iterator of sections.

use std::io::{self, Read};

use cid::Cid;

use crate::{Decoder, Error, Event, Header, Options, Section, Skipped, VerifyFailure};

/// Bytes asked of the source at a time.
const CHUNK: usize = 256 << 10;

/// Reads a CAR's header at once and its sections as an iterator.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    chunk: Box<[u8]>,
    decoder: Decoder,
    header: Header,
}

impl<R: Read> Reader<R> {
    /// Reads the header. The source need not be buffered.
    ///
    /// # Errors
    ///
    /// The source fails, ends too early or is no CAR.
    pub fn new(source: R, options: Options) -> Result<Self, Error> {
        let mut decoder = Decoder::new(options);
        let mut source = source;
        let mut chunk = vec![0; CHUNK].into_boxed_slice();
        loop {
            match decoder.next()? {
                Some(Event::Header(header)) => return Ok(Self { source, chunk, decoder, header }),
                // The first event is the header; before it there is only "not yet".
                Some(Event::Section(_)) | None => fill(&mut source, &mut chunk, &mut decoder)?,
            }
        }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Checks every block with `check`, `hoverboard_dag::verify` for one: what fails is an error in its place, and the
    /// iterator goes on behind it.
    pub fn verified<F, E>(self, check: F) -> Verified<R, F>
    where
        F: FnMut(&Cid, &[u8]) -> Result<(), E>,
        E: Into<VerifyFailure>,
    {
        Verified { reader: self, check }
    }

    /// After an error about one section: goes on behind it, if it can be passed over, as [`Decoder::skip_section`] does.
    pub fn skip_section(&mut self) -> Option<Skipped> {
        self.decoder.skip_section()
    }

    fn next_section(&mut self) -> Result<Option<Section>, Error> {
        loop {
            match self.decoder.next()? {
                Some(Event::Section(section)) => return Ok(Some(section)),
                Some(Event::Header(_)) => {}
                None if self.decoder.is_finished() => return Ok(None),
                None => fill(&mut self.source, &mut self.chunk, &mut self.decoder)?,
            }
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Section, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_section().transpose()
    }
}

/// Sections whose blocks have been checked: see [`Reader::verified`].
#[derive(Debug)]
pub struct Verified<R, F> {
    reader: Reader<R>,
    check: F,
}

impl<R, F> Verified<R, F> {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.reader.header
    }
}

impl<R, F, E> Iterator for Verified<R, F>
where
    R: Read,
    F: FnMut(&Cid, &[u8]) -> Result<(), E>,
    E: Into<VerifyFailure>,
{
    type Item = Result<Section, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let section = match self.reader.next()? {
            Ok(section) => section,
            Err(error) => return Some(Err(error)),
        };
        Some(section.verify(&mut self.check).map(|()| section))
    }
}

/// Moves one read's worth from the source to the decoder.
fn fill(source: &mut impl Read, chunk: &mut [u8], decoder: &mut Decoder) -> Result<(), Error> {
    loop {
        match source.read(chunk) {
            Ok(0) => decoder.end(),
            Ok(read) => decoder.push(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        }
        return Ok(());
    }
}
