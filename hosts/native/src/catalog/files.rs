//! Open CAR files: a bounded number is kept open, and each is only ever read at positions.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::car::Car;

/// Files kept open for the next read, at most: connections need descriptors too.
const MAX_OPEN: usize = 256;
/// And at most this share of the descriptors that the process may have.
const MAX_SHARE: u64 = 4;

/// The files read last, by the serial number of their CAR.
#[derive(Debug)]
pub(crate) struct Files(Mutex<LruCache<u64, Arc<File>>>);

impl Files {
    /// As many as suit the limit of descriptors that is in force now.
    pub(crate) fn new() -> Self {
        use rustix::process::{Resource, getrlimit};
        let share = getrlimit(Resource::Nofile).current.map_or(MAX_OPEN as u64, |limit| limit / MAX_SHARE);
        Self::of(usize::try_from(share).map_or(MAX_OPEN, |share| share.min(MAX_OPEN)))
    }

    fn of(most: usize) -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN))))
    }

    /// The file of a CAR. It may have another stamp than the one that was indexed, if the path has been replaced since.
    pub(crate) fn open(&self, car: &Car) -> io::Result<Arc<File>> {
        if let Some(file) = self.0.lock().get(&car.serial) {
            return Ok(file.clone());
        }
        let opened = match open(&car.path) {
            Err(error) if is_out_of_descriptors(&error) => {
                self.0.lock().clear();
                open(&car.path)
            }
            opened => opened,
        };
        let file = Arc::new(opened?);
        self.0.lock().put(car.serial, file.clone());
        // Whoever retired it before this has let go of its file already.
        if car.is_retired() {
            self.close(car);
        }
        Ok(file)
    }

    /// Lets go of the file of a CAR: it is no longer served, or no longer the file at its path.
    pub(crate) fn close(&self, car: &Car) {
        self.0.lock().pop(&car.serial);
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE))
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
    use hoverboard_car::index::SortedIndex;

    use super::super::stamp::Stamp;
    use super::super::survey::survey;
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

    fn car(path: &Path) -> Car {
        let file = open(path).expect("opened");
        let survey = survey(&file, Stamp::of(&file).expect("there")).expect("read");
        let index = SortedIndex::open(survey.builder.finish().into()).expect("an index");
        Car::new(path.to_path_buf(), survey.summary, index, true)
    }

    #[test]
    fn files_beyond_the_bound_are_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.car");
        std::fs::write(&path, b"x").expect("written");
        let files = Files::of(8);
        let first = files.open(&car(&path)).expect("opened");
        for _ in 0..8 {
            files.open(&car(&path)).expect("opened");
        }
        assert_eq!(Arc::strong_count(&first), 1, "only the test holds it");
    }

    #[test]
    fn the_file_of_a_car_that_is_served_no_more_is_not_kept_for_a_late_reader() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.car");
        std::fs::write(&path, b"x").expect("written");
        let files = Files::new();
        let car = car(&path);
        car.retire();
        files.close(&car);
        let late = files.open(&car).expect("opened");
        assert_eq!(Arc::strong_count(&late), 1, "only the test holds it");
    }
}
