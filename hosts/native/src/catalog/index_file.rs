//! Indexes kept in the state folder, so that a CAR is scanned once and not at every start.
//!
//! A file holds one CAR's index under the [`Stamp`] that the CAR had; with another stamp it counts for nothing. It is
//! written whole or not at all, and checked when read: whatever is wrong with it, the CAR is read through again. Its
//! modification time is that of its last use, to the day. Servers may share the folder.
//!
//! Layout, integers little-endian: magic and version (8 bytes), CRC-32 of all that follows (u32), length of the
//! header (u32), the header (postcard), and a MultihashIndexSorted to the end of the file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

const MAGIC: [u8; 8] = *b"HvbIdx\0\x02";
const PREFIX: usize = 16;
/// Names of indexes and of those not yet whole.
const SUFFIX: &str = ".index";
const UNFINISHED: &str = ".index-";
/// The longest header that is read to see whose index it is: a path and a sentence.
const MAX_HEADER: u32 = 64 << 10;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What was not used for so long is removed, if it is of no use.
const KEEP: Duration = DAY.saturating_mul(30);

/// What is known of a CAR besides its blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The file that was indexed
    pub(crate) stamp: Stamp,
    /// Where the CARv1 payload lies in the file; sections after its end are not served
    pub(crate) payload: Range<u64>,
    /// Where the index came from
    pub(crate) origin: Origin,
    /// What is wrong with the file, if it is damaged
    pub(crate) fault: Option<Fault>,
}

/// Where an index came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// Made here, from the section heads
    Scan,
    /// The index inside the CARv2 itself: another program's word
    CarV2,
    /// A `.car.idx` file beside the CAR: another program's word
    Beside,
}

/// What is wrong with a CAR, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// Offset in the file, where it is known
    pub(crate) at: Option<u64>,
    /// The error's own words, which name the offset too
    pub(crate) what: String,
    /// Whether blocks may lie behind it that cannot be found
    pub(crate) hides_blocks: bool,
}

/// The folder that indexes are kept in.
#[derive(Debug, Clone)]
pub(crate) struct IndexFolder(PathBuf);

#[derive(Serialize, Deserialize)]
struct Header {
    path: Vec<u8>,
    summary: Summary,
}

impl IndexFolder {
    /// The folder `indexes` under the state folder, made if it is not there.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let path = state.join("indexes");
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// The index stored for the CAR at `path`, if it is whole and the CAR still has the stamp that it had.
    pub(crate) fn load(&self, path: &Path, stamp: &Stamp) -> Option<(Summary, Bytes)> {
        let mut file = File::open(self.file_of(path)).ok()?;
        let meta = file.metadata().ok()?;
        let size = usize::try_from(meta.len()).ok()?;
        let mut bytes = Vec::with_capacity(size);
        file.read_to_end(&mut bytes).ok()?;
        let (header, index) = decode(bytes.into())?;
        if header.path != path.as_os_str().as_bytes() || header.summary.stamp != *stamp {
            return None;
        }
        let now = SystemTime::now();
        if is_older(&meta, DAY, now) {
            // If that is not allowed here, it may be taken for unused, and is built again one day.
            let _ = file.set_modified(now);
        }
        Some((header.summary, index))
    }

    /// Stores an index. An error loses nothing but time at the next start.
    pub(crate) fn save(&self, path: &Path, summary: &Summary, index: &[u8]) -> io::Result<()> {
        let header = Header { path: path.as_os_str().as_bytes().to_vec(), summary: summary.clone() };
        let header = postcard::to_allocvec(&header).map_err(io::Error::other)?;
        let len = u32::try_from(header.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut crc = crc32fast::Hasher::new();
        for part in [&len[..], &header, index] {
            crc.update(part);
        }
        let crc = crc.finalize().to_le_bytes();
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.0)?;
        for part in [&MAGIC[..], &crc, &len, &header, index] {
            file.write_all(part)?;
        }
        file.persist(self.file_of(path))?;
        Ok(())
    }

    /// Forgets the index of a CAR that is gone.
    pub(crate) fn remove(&self, path: &Path) {
        // If it stays, it is garbage of no consequence: no CAR has its stamp.
        let _ = std::fs::remove_file(self.file_of(path));
    }

    /// Removes what has not been used for 30 days and cannot be any more, and says how many files that were: indexes of
    /// CARs that are gone or have changed, whoever served them, and what was left by a write that did not end.
    pub(crate) fn sweep(&self, now: SystemTime) -> io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            let is_old = entry.metadata().is_ok_and(|meta| meta.is_file() && is_older(&meta, KEEP, now));
            let name = entry.file_name();
            let is_useless = match name.to_str() {
                Some(name) if name.starts_with(UNFINISHED) => true,
                Some(name) if name.ends_with(SUFFIX) && is_old => is_useless(&entry.path()),
                _ => false,
            };
            if is_old && is_useless && std::fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn file_of(&self, path: &Path) -> PathBuf {
        use hoverboard_dag::Sha256;
        let digest = hoverboard_dag::Software.sha256(path.as_os_str().as_bytes());
        let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(name + SUFFIX)
    }
}

fn is_older(meta: &std::fs::Metadata, age: Duration, now: SystemTime) -> bool {
    meta.modified().is_ok_and(|modified| now.duration_since(modified).is_ok_and(|passed| passed > age))
}

/// Whether the CAR of an index is not there, or not as it was. Not so if that cannot be found out.
fn is_useless(index: &Path) -> bool {
    let Ok(header) = read_header(index) else { return false };
    // Written by another version, or broken.
    let Some(header) = header else { return true };
    match std::fs::metadata(OsStr::from_bytes(&header.path)) {
        Ok(meta) => Stamp::from(&meta) != header.summary.stamp,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The header of an index file, unchecked; `None`: there is none that this version can read.
fn read_header(index: &Path) -> io::Result<Option<Header>> {
    let file = File::open(index)?;
    let mut bytes = Vec::new();
    (&file).take(PREFIX as u64).read_to_end(&mut bytes)?;
    let Some((len, _)) = prefix(&bytes).filter(|(len, _)| *len <= MAX_HEADER) else { return Ok(None) };
    bytes.clear();
    file.take(u64::from(len)).read_to_end(&mut bytes)?;
    Ok(postcard::from_bytes(&bytes).ok())
}

/// The header's length and the checksum, from the front of a file of this version.
fn prefix(bytes: &[u8]) -> Option<(u32, u32)> {
    let (magic, rest) = bytes.get(..PREFIX)?.split_first_chunk::<8>()?;
    let (crc, len) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(len.try_into().ok()?);
    (*magic == MAGIC).then_some((len, u32::from_le_bytes(*crc)))
}

fn decode(bytes: Bytes) -> Option<(Header, Bytes)> {
    let (len, crc) = prefix(&bytes)?;
    if crc32fast::hash(&bytes[PREFIX - 4..]) != crc {
        return None;
    }
    let index = PREFIX.checked_add(usize::try_from(len).ok()?).filter(|index| *index <= bytes.len())?;
    let header = postcard::from_bytes(&bytes[PREFIX..index]).ok()?;
    Some((header, bytes.slice(index..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let stamp = Stamp { dev: 1, ino: 2, size: 3, mtime: (4, 5), ctime: (6, 7) };
        let fault = Some(Fault { at: Some(9), what: "cut short".into(), hides_blocks: false });
        Summary { stamp, payload: 59..101, origin: Origin::Scan, fault }
    }

    #[test]
    fn an_index_comes_back_only_for_its_path_and_stamp() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = IndexFolder::open(state.path()).expect("made");
        let (path, summary) = (Path::new("/data/a.car"), summary());
        folder.save(path, &summary, b"index").expect("saved");
        let (loaded, index) = folder.load(path, &summary.stamp).expect("there");
        assert_eq!((loaded, &index[..]), (summary.clone(), &b"index"[..]));
        assert!(folder.load(path, &Stamp { ctime: (6, 8), ..summary.stamp }).is_none());
        assert!(folder.load(Path::new("/data/b.car"), &summary.stamp).is_none());
        folder.remove(path);
        assert!(folder.load(path, &summary.stamp).is_none());
    }

    #[test]
    fn a_damaged_index_counts_for_nothing() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = IndexFolder::open(state.path()).expect("made");
        let (path, summary) = (Path::new("/data/a.car"), summary());
        folder.save(path, &summary, b"index").expect("saved");
        let file = folder.file_of(path);
        let whole = std::fs::read(&file).expect("there");
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            std::fs::write(&file, &broken).expect("written");
            assert!(folder.load(path, &summary.stamp).is_none(), "byte {at}");
            std::fs::write(&file, &whole[..at]).expect("written");
            assert!(folder.load(path, &summary.stamp).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn what_was_long_unused_and_is_of_no_use_is_swept_away() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = IndexFolder::open(state.path()).expect("made");
        let at = |name: &str| state.path().join(name);
        let save = |name: &str| {
            let stamp = std::fs::metadata(at(name)).map_or(summary().stamp, |meta| Stamp::from(&meta));
            folder.save(&at(name), &Summary { stamp, ..summary() }, b"index").expect("saved");
            folder.file_of(&at(name))
        };
        for name in ["there.car", "changed.car"] {
            std::fs::write(at(name), b"a CAR").expect("written");
        }
        let (there, changed, gone) = (save("there.car"), save("changed.car"), save("gone.car"));
        std::fs::write(at("changed.car"), b"another CAR").expect("written");
        let (unfinished, strange) = (folder.0.join(".index-x"), folder.0.join("notes.txt"));
        let old_version = folder.0.join("0.index");
        for path in [&unfinished, &strange, &old_version] {
            std::fs::write(path, b"x").expect("written");
        }

        let now = SystemTime::now();
        assert_eq!(folder.sweep(now + 29 * DAY).expect("swept"), 0);
        assert_eq!(folder.sweep(now + 31 * DAY).expect("swept"), 4);
        assert!(there.exists() && strange.exists());
        assert!(![changed, gone, unfinished, old_version].iter().any(|path| path.exists()));
    }

    #[test]
    fn an_index_that_is_used_is_not_old() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = IndexFolder::open(state.path()).expect("made");
        let (path, summary) = (Path::new("/data/a.car"), summary());
        folder.save(path, &summary, b"index").expect("saved");
        let file = File::options().write(true).open(folder.file_of(path)).expect("there");
        file.set_modified(SystemTime::now() - 40 * DAY).expect("set");
        folder.load(path, &summary.stamp).expect("there");
        assert_eq!(folder.sweep(SystemTime::now()).expect("swept"), 0);
    }
}
