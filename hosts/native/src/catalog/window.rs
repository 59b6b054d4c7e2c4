//! A piece of a CAR in a buffer that each thread keeps: one read for several sections that lie near each other.

use std::cell::Cell;
use std::fs::File;
use std::io;

use hoverboard_car::MAX_HEAD_LEN;

use super::files::{Reach, read_within};

/// What is read behind the start of a section, at most: its head, and the whole of a small block.
const MAX_SECTION: u64 = 4 << 10;
/// Sections no further apart than this are read together: about what can be copied in the time of one more system call.
const MAX_GAP: u64 = 8 << 10;
/// What is read together at most; it stays within a core's cache.
const MAX_LEN: u64 = 128 << 10;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes of a file from `start` on.
pub(crate) struct Window {
    buffer: Vec<u8>,
    /// What is read behind the start of the last section
    section: u64,
    start: u64,
    len: usize,
    /// The file ended where the window ends
    at_end: bool,
}

impl Window {
    /// Lends an empty window, for a file whose sections are of `typical` bytes as a rule.
    pub(crate) fn with<R>(typical: u64, f: impl FnOnce(&mut Self) -> R) -> R {
        let section = (typical + typical / 4).clamp(MAX_HEAD_LEN as u64, MAX_SECTION);
        let mut buffer = BUFFER.take();
        buffer.resize(MAX_LEN as usize, 0);
        let mut window = Self { buffer, section, start: 0, len: 0, at_end: false };
        let result = f(&mut window);
        BUFFER.set(window.buffer);
        result
    }

    /// The bytes from the first of `starts` on, enough for a section head unless the file ends. `starts` are where
    /// the sections lie that will be asked for, ascending; those near enough are read along. Also says how many bytes
    /// were read from the file.
    pub(crate) fn at(
        &mut self,
        reach: Reach,
        file: &File,
        mut starts: impl Iterator<Item = u64>,
    ) -> io::Result<(&[u8], usize)> {
        let Some(at) = starts.next() else { return Ok((&[], 0)) };
        let end = self.start + self.len as u64;
        let there = at >= self.start && (at.saturating_add(MAX_HEAD_LEN as u64) <= end || (self.at_end && at <= end));
        let mut read = 0;
        if !there {
            let mut last = at;
            for next in starts {
                if next - last > MAX_GAP || next - at + self.section > MAX_LEN {
                    break;
                }
                last = next;
            }
            let len = (last - at + self.section) as usize;
            // Nothing is there if the read fails.
            self.len = 0;
            read = read_within(reach, file, &mut self.buffer[..len], at)?;
            (self.start, self.len, self.at_end) = (at, read, read < len);
        }
        Ok((&self.buffer[(at - self.start) as usize..self.len], read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_near_each_other_are_read_once() {
        let path = tempfile::NamedTempFile::new().expect("a file");
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n / 256) as u8).collect();
        std::fs::write(path.path(), &bytes).expect("written");
        let starts = [10u64, 1_000, 9_000, 60_000, 99_990, 200_000];
        let mut reads = Vec::new();
        Window::with(100_000, |window| {
            for n in 0..starts.len() {
                let (there, read) = window.at(Reach::Disk, path.as_file(), starts[n..].iter().copied()).expect("read");
                let from = (starts[n] as usize).min(bytes.len());
                assert!(bytes[from..].starts_with(there), "at {}", starts[n]);
                assert!(there.len() >= MAX_HEAD_LEN.min(bytes.len() - from), "at {}", starts[n]);
                reads.push(read);
            }
        });
        assert_eq!(reads, [8_990 + 4096, 0, 0, 4096, 10, 0]);
    }
}
