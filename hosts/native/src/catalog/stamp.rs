//! Is this still the file it was? The identity of a file's content, as far as its metadata can say.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How old a change time must be before it is trusted to differ from the next change's. File systems keep times to
/// between a nanosecond and two seconds.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// Device, inode, size, modification and change time of a file. While it stays the same, and the change time is not
/// too young, so does the content, as far as `write` goes; a program that writes through a shared mapping can change
/// bytes before the times move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Device number
    pub(crate) dev: u64,
    /// Inode number
    pub(crate) ino: u64,
    /// Size in bytes
    pub(crate) size: u64,
    /// Modification time: seconds and nanoseconds since 1970. Programs can set it.
    pub(crate) mtime: (i64, i64),
    /// Change time: seconds and nanoseconds since 1970. Only the system sets it.
    pub(crate) ctime: (i64, i64),
}

impl Stamp {
    /// Whether this is a stamp of that file, at whatever time and by whatever name.
    pub(crate) fn is_of_same_file(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// The stamp of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|meta| Self::from(&meta))
    }

    /// Whether any later change would show: the change time is [`SETTLE`] or more before `now`, a time of the wall
    /// clock. A change time in the future is never settled.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(UNIX_EPOCH) else { return false };
        let (Ok(secs), Ok(nanos)) = (u64::try_from(self.ctime.0), u32::try_from(self.ctime.1)) else {
            return false;
        };
        now.checked_sub(Duration::new(secs, nanos)).is_some_and(|age| age >= SETTLE)
    }
}

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Self {
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_or_future_change_time_is_not_settled() {
        let at = |secs| Stamp { dev: 0, ino: 0, size: 0, mtime: (0, 0), ctime: (secs, 500_000_000) };
        let now = UNIX_EPOCH + Duration::from_millis(100_500);
        assert!(at(98).is_settled(now));
        assert!(!at(99).is_settled(now));
        assert!(!at(101).is_settled(now));
        assert!(!at(-5).is_settled(now));
    }

    #[test]
    fn an_overwrite_shows_with_size_and_mtime_put_back() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"one").expect("written");
        let before = std::fs::metadata(file.path()).expect("there");
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(file.path(), b"two").expect("written");
        file.as_file().set_modified(before.modified().expect("a time")).expect("put back");
        let (before, after) = (Stamp::from(&before), Stamp::of(file.as_file()).expect("there"));
        assert_eq!((before.size, before.mtime), (after.size, after.mtime));
        assert_ne!(before, after);
    }
}
