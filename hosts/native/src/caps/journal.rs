//! The ledger's files, in the folder `caps` of the state folder. A restart forgets nothing of them, nor does a process that
//! is killed; what the disk had not written when the machine lost its power, it may.
//!
//! ```text
//!   ledger      number ‖ CRC-32 ‖ shard         the state when journal `number` was begun
//!   journal-N   (length ‖ CRC-32 ‖ entry)…      what was reported since, up to journal N+1
//! ```
//!
//! Numbers are little-endian: `number` has 8 bytes, a CRC-32 4, a length 2. Journal N+1 is begun before the state that
//! it goes on from takes its name, so that after a crash in between both journals are read, one after the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hoverboard_caps::{Caller, Lease, Report, Rules, Shard, Timestamp};
use serde::{Deserialize, Serialize};

/// The largest ledger that is read, in bytes: more than any shard takes.
const MAX_LEDGER: u64 = 256 << 20;

/// Journals that are read after the state: there are one or two, unless states could not be written.
const MAX_JOURNALS: u64 = 1_000;

/// What happened to the shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) now: Timestamp,
    pub(super) caller: Caller,
    pub(super) report: Report,
    pub(super) granted: Option<Lease>,
}

/// The folder, locked for this process, and the journal that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    number: u64,
    bytes: u64,
    /// Held for as long as the process lives.
    _lock: File,
}

/// What a folder had.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) journal: Journal,
    pub(super) shard: Shard,
    /// Whether journals were read that no state goes on from yet.
    pub(super) is_news: bool,
}

/// A state to be written, while the ledger goes on.
#[derive(Debug)]
pub(super) struct Snapshot {
    folder: PathBuf,
    number: u64,
    state: Vec<u8>,
}

impl Journal {
    /// Opens the folder, which is made if it is not there, and reads what it has. `None` if another process has it.
    pub(super) fn open(folder: &Path, rules: &Rules) -> io::Result<Option<Opened>> {
        fs::create_dir_all(folder)?;
        let lock = OpenOptions::new().create(true).append(true).open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let (first, mut shard) = read_ledger(folder)?;
        let mut number = first;
        while number - first < MAX_JOURNALS && replay(&path(folder, number), &mut shard, rules)? {
            number += 1;
        }
        // A journal that ends in half an entry is not gone on with.
        let journal = Self { folder: folder.to_owned(), file: create(folder, number)?, number, bytes: 0, _lock: lock };
        Ok(Some(Opened { journal, shard, is_news: number > first }))
    }

    /// Notes what happened.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let bytes = postcard::to_allocvec(entry).map_err(io::Error::other)?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(6 + bytes.len());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        record.extend_from_slice(&bytes);
        self.bytes += record.len() as u64;
        self.file.write_all(&record)
    }

    /// Bytes of the journal that is being written.
    pub(super) fn len(&self) -> u64 {
        self.bytes
    }

    /// Begins the next journal. What is returned is to be [saved](Snapshot::save); until it is, the old journals count.
    pub(super) fn rotate(&mut self, shard: &Shard) -> io::Result<Snapshot> {
        let number = self.number + 1;
        self.file = create(&self.folder, number)?;
        (self.number, self.bytes) = (number, 0);
        Ok(Snapshot { folder: self.folder.clone(), number, state: shard.encode() })
    }
}

impl Snapshot {
    /// Writes the state so that it is there whole or not at all, and removes the journals that it makes needless.
    pub(super) fn save(self) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&self.number.to_le_bytes())?;
        file.write_all(&crc32fast::hash(&self.state).to_le_bytes())?;
        file.write_all(&self.state)?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join("ledger"))?;
        for old in (0..self.number).rev().take(MAX_JOURNALS as usize) {
            match fs::remove_file(path(&self.folder, old)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("journal-{number}"))
}

/// A journal that was there under this number without a state to go before it is written over.
fn create(folder: &Path, number: u64) -> io::Result<File> {
    File::create(path(folder, number))
}

/// The state and the number of the journal that follows it. One that cannot be read is put aside: counting begins anew, which
/// the log says, because a server that does not start is worse.
fn read_ledger(folder: &Path) -> io::Result<(u64, Shard)> {
    let path = folder.join("ledger");
    let bytes = match fs::metadata(&path) {
        Ok(meta) if meta.len() <= MAX_LEDGER => fs::read(&path)?,
        Ok(_) => Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, Shard::new())),
        Err(error) => return Err(error),
    };
    match parse_ledger(&bytes) {
        Ok(read) => Ok(read),
        Err(why) => {
            tracing::error!(path = %path.display(), why, "the ledger cannot be read and is put aside: counting begins anew");
            fs::rename(&path, folder.join("ledger.bad"))?;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with("journal-") {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok((0, Shard::new()))
        }
    }
}

fn parse_ledger(bytes: &[u8]) -> Result<(u64, Shard), String> {
    let cut = || "it is cut short".to_owned();
    let (number, bytes) = bytes.split_first_chunk().ok_or_else(cut)?;
    let (crc, state) = bytes.split_first_chunk().ok_or_else(cut)?;
    if crc32fast::hash(state) != u32::from_le_bytes(*crc) {
        return Err("its checksum is wrong".to_owned());
    }
    let shard = Shard::decode(state).map_err(|error| error.to_string())?;
    Ok((u64::from_le_bytes(*number), shard))
}

/// Does again what a journal says, up to the first entry that is not whole. `false` if there is no such journal.
fn replay(path: &Path, shard: &mut Shard, rules: &Rules) -> io::Result<bool> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let Some((entry, next)) = next_entry(rest) else {
            tracing::warn!(path = %path.display(), bytes = rest.len(), "the end of a journal cannot be read");
            break;
        };
        shard.replay(rules, &entry.caller, &entry.report, entry.granted, entry.now);
        rest = next;
    }
    Ok(true)
}

fn next_entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    let (crc, bytes) = bytes.split_first_chunk()?;
    let (entry, rest) = bytes.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let is_whole = crc32fast::hash(entry) == u32::from_le_bytes(*crc);
    is_whole.then(|| postcard::from_bytes(entry).ok()).flatten().map(|entry| (entry, rest))
}
