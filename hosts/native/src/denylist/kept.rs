//! The last good copy of a denylist that comes over the network, in the state folder: what is denied stays denied when the
//! process starts again while the server is away.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hoverboard_dag::{Sha256 as _, Software};
use hoverboard_denylist::Denylist;

use super::source::Source;

/// The folder in the state folder.
const FOLDER: &str = "denylists";

/// The copy of one source.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    folder: PathBuf,
    file: PathBuf,
}

impl Kept {
    /// Where the copy of a source is. There is none of a file, which is there or not.
    pub(super) fn of(source: &Source, state: &Path) -> Option<Self> {
        let name = match source {
            Source::File(_) => return None,
            Source::Url(url) => url.to_string(),
            Source::Object(location) => location.to_string(),
        };
        let [a, b, c, d, e, f, g, h, ..] = Software.sha256(name.as_bytes());
        let folder = state.join(FOLDER);
        let file = folder.join(format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h])));
        Some(Self { folder, file })
    }

    /// The copy, if there is a good one. It reads from disk.
    pub(super) fn load(&self) -> Option<Denylist> {
        let bytes = match std::fs::read(&self.file) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %self.file.display(), %error, "cannot read the copy of a denylist");
                return None;
            }
        };
        match Denylist::open(bytes) {
            Ok(list) => Some(list),
            Err(error) => {
                tracing::warn!(path = %self.file.display(), %error, "the copy of a denylist is of no use");
                None
            }
        }
    }

    /// Keeps a copy, whole or not at all. It writes to disk.
    pub(super) fn store(&self, list: &Denylist) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
        file.write_all(list.bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.file)?;
        Ok(())
    }
}
