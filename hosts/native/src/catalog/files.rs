//! Open CAR files: a bounded number is kept open, and each is only ever read at positions.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

/// Files kept open for the next read. Connections need descriptors too.
const MAX_OPEN: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The files read last, by the serial number of their CAR.
#[derive(Debug)]
pub(crate) struct Files(Mutex<LruCache<u64, Arc<File>>>);

impl Files {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(MAX_OPEN)))
    }

    /// The file of a CAR. It may have another stamp than the one that was indexed, if the path has been replaced since.
    pub(crate) fn open(&self, serial: u64, path: &Path) -> io::Result<Arc<File>> {
        if let Some(file) = self.0.lock().get(&serial) {
            return Ok(file.clone());
        }
        let file = Arc::new(open(path)?);
        self.0.lock().put(serial, file.clone());
        Ok(file)
    }

    /// Lets go of the file of a CAR that is no longer served.
    pub(crate) fn close(&self, serial: u64) {
        self.0.lock().pop(&serial);
    }
}

/// Opens a regular file. A pipe that has taken its place is an error, and does not block.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// How far a read may go for its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the page cache: what is not there is [`io::ErrorKind::WouldBlock`]
    Cache,
    /// To the disk
    Disk,
}

impl Reach {
    fn read(self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Disk => file.read_at(buffer, offset),
            Self::Cache => read_cached(file, buffer, offset),
        }
    }
}

#[cfg(target_os = "linux")]
fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let read = preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT);
    read.map_err(|error| match error {
        // A file system without the flag: who knows how long it would take.
        Errno::OPNOTSUPP | Errno::NOSYS => io::ErrorKind::WouldBlock.into(),
        error => error.into(),
    })
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Reads until the buffer is full or the file ends, and says how many bytes that was.
pub(crate) fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    read_within(Reach::Disk, file, buffer, offset)
}

/// The same, going no further than told.
pub(crate) fn read_within(reach: Reach, file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
    let mut total = 0;
    while !buffer.is_empty() {
        match reach.read(file, buffer, offset) {
            Ok(0) => break,
            Ok(read) => {
                total += read;
                offset += read as u64;
                buffer = &mut buffer[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end_of_the_file() {
        let path = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(path.path(), b"0123456789").expect("written");
        let file = open(path.path()).expect("opened");
        let mut buffer = [0; 8];
        assert_eq!(read_full_at(&file, &mut buffer, 6).expect("read"), 4);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_just_written_is_read_from_the_cache_or_not_at_all() {
        let path = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(path.path(), b"0123456789").expect("written");
        let file = open(path.path()).expect("opened");
        let mut buffer = [0; 8];
        match read_within(Reach::Cache, &file, &mut buffer, 2) {
            Ok(read) => assert_eq!((read, &buffer), (8, b"23456789")),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    #[test]
    fn a_pipe_in_the_place_of_a_car_does_not_block() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe.car");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
        assert!(open(&path).is_err());
    }

    #[test]
    fn files_beyond_the_bound_are_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.car");
        std::fs::write(&path, b"x").expect("written");
        let files = Files::new();
        let first = files.open(0, &path).expect("opened");
        for serial in 1..=MAX_OPEN.get() as u64 {
            files.open(serial, &path).expect("opened");
        }
        assert_eq!(Arc::strong_count(&first), 1, "only the test holds it");
    }
}
