//! Indexes kept in the state folder, so that a CAR is scanned once and not at every start.
//!
//! A file holds one CAR's index under the [`Stamp`] that the CAR had; with another stamp it counts for nothing. It is
//! written whole or not at all, and checked when read: whatever is wrong with it, the CAR is scanned again.
//!
//! Layout, integers little-endian: magic and version (8 bytes), CRC-32 of all that follows (u32), length of the
//! header (u32), the header (postcard), and a MultihashIndexSorted to the end of the file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

const MAGIC: [u8; 8] = *b"HvbIdx\0\x01";
const PREFIX: usize = 16;

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
        let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let mut bytes = Vec::with_capacity(size);
        file.read_to_end(&mut bytes).ok()?;
        let (header, index) = decode(bytes.into())?;
        (header.path == path.as_os_str().as_encoded_bytes() && header.summary.stamp == *stamp)
            .then_some((header.summary, index))
    }

    /// Stores an index. An error loses nothing but time at the next start.
    pub(crate) fn save(&self, path: &Path, summary: &Summary, index: &[u8]) -> io::Result<()> {
        let header = Header { path: path.as_os_str().as_encoded_bytes().to_vec(), summary: summary.clone() };
        let header = postcard::to_allocvec(&header).map_err(io::Error::other)?;
        let len = u32::try_from(header.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut crc = crc32fast::Hasher::new();
        for part in [&len[..], &header, index] {
            crc.update(part);
        }
        let crc = crc.finalize().to_le_bytes();
        let mut file = tempfile::Builder::new().prefix(".index-").tempfile_in(&self.0)?;
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

    fn file_of(&self, path: &Path) -> PathBuf {
        use hoverboard_dag::Sha256;
        let digest = hoverboard_dag::Software.sha256(path.as_os_str().as_encoded_bytes());
        let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(name + ".index")
    }
}

fn decode(bytes: Bytes) -> Option<(Header, Bytes)> {
    let prefix = bytes.get(..PREFIX)?;
    let crc = u32::from_le_bytes(prefix[8..12].try_into().ok()?);
    let len = usize::try_from(u32::from_le_bytes(prefix[12..].try_into().ok()?)).ok()?;
    if prefix[..8] != MAGIC || crc32fast::hash(&bytes[12..]) != crc {
        return None;
    }
    let index = PREFIX.checked_add(len).filter(|index| *index <= bytes.len())?;
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
}
