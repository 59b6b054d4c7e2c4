//! Lines of bounded length, out of anything that is read piece by piece.

use std::io::{self, BufRead};

/// The longest line that is read, in bytes: 64 KiB. A row with every attribute has a few hundred; a CAR with many roots
/// has more.
pub const MAX_LINE: usize = 64 << 10;

/// The lines of a file, one at a time. No more than one is in memory, and of one that is too long only its front.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
}

/// A line and which one it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Counted from one
    pub number: u64,
    /// Its bytes without the end of the line; `None`: they are more than [`MAX_LINE`]
    pub bytes: Option<&'a [u8]>,
}

impl<R: BufRead> Lines<R> {
    /// The lines of this.
    pub fn new(source: R) -> Self {
        Self { source, line: Vec::new(), number: 0 }
    }

    /// The next line that is not empty; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let (there, fits) = self.fill()?;
            if !there {
                return Ok(None);
            }
            self.number += 1;
            if !fits {
                return Ok(Some(Line { number: self.number, bytes: None }));
            }
            if !self.line.is_empty() {
                return Ok(Some(Line { number: self.number, bytes: Some(&self.line) }));
            }
        }
    }

    /// Reads up to the end of a line. Whether there was one, and whether it fits.
    fn fill(&mut self) -> io::Result<(bool, bool)> {
        self.line.clear();
        let (mut there, mut fits) = (false, true);
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                return Ok((there, fits));
            }
            there = true;
            let end = memchr::memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            fits &= self.line.len() + part.len() <= MAX_LINE;
            if fits {
                self.line.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(end.is_some());
            self.source.consume(taken);
            if end.is_some() {
                return Ok((there, fits));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8], buffer: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, text));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push((line.number, line.bytes.map(<[u8]>::to_vec)));
        }
        found
    }

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        for buffer in 1..8 {
            let found = lines(b"one\n\nthree\nlast", buffer);
            let expected = [(1, "one"), (3, "three"), (4, "last")];
            assert_eq!(found, expected.map(|(number, line)| (number, Some(line.as_bytes().to_vec()))));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_not_held() {
        let long = [&vec![b'x'; MAX_LINE + 1][..], b"\nnext\n", &vec![b'y'; MAX_LINE][..]].concat();
        let found = lines(&long, 4096);
        assert_eq!(found[0], (1, None));
        assert_eq!(found[1], (2, Some(b"next".to_vec())));
        assert_eq!(found[2].1.as_ref().map(Vec::len), Some(MAX_LINE));
    }
}
