//! Where the CAR of `get` goes: a file that is there whole or not at all, or straight into what is no regular file.
//!
//! A reader may take its time, and a disk too: what may block is done in tokio's `block_in_place`, so it has to be
//! called on a runtime with threads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::task::block_in_place;

use super::Failure;
use crate::config::ConfigError;

/// An output that is open.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output
    Stdout(Stdout),
    /// A device or pipe: what went in cannot be taken back
    Special(File, PathBuf),
    /// A file beside the one that was named, which takes its place in the end and is removed when dropped before
    Partial(NamedTempFile, PathBuf),
}

impl Output {
    /// Opens what `-o` names. It waits for the reader of a pipe that has a name.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return if io::stdout().is_terminal() {
                Err(ConfigError::Terminal)
            } else {
                Ok(Self::Stdout(io::stdout()))
            };
        };
        // The second means the first one: opened anew it would begin at the start of a file that is appended to.
        if [Path::new("-"), Path::new("/dev/stdout")].contains(&path) {
            return Ok(Self::Stdout(io::stdout()));
        }
        let failed = |error| ConfigError::Output { path: path.to_path_buf(), error };
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(meta) if !meta.is_file() => {
                let file = block_in_place(|| OpenOptions::new().write(true).open(path)).map_err(failed)?;
                Ok(Self::Special(file, path.to_path_buf()))
            }
            // Behind a link it is the file that is replaced, and not the link.
            Ok(_) => fs::canonicalize(path).and_then(Self::beside).map_err(failed),
            // A link to what is not there yet: so is the file made that it leads to.
            Err(_) => {
                let target = fs::read_link(path)
                    .map(|target| path.parent().map_or(target.clone(), |folder| folder.join(target)));
                Self::beside(target.unwrap_or_else(|_| path.to_path_buf())).map_err(failed)
            }
        }
    }

    /// Makes the file that will take the place of `path`, in the same folder.
    fn beside(path: PathBuf) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".hoverboard-").suffix(".partial");
        #[cfg(unix)]
        {
            // As any new file: what the umask leaves of it.
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        }
        Ok(Self::Partial(builder.tempfile_in(folder)?, path))
    }

    /// Puts the file in its place, now that it is whole.
    pub(super) fn keep(self) -> Result<(), ConfigError> {
        match self {
            Self::Stdout(_) | Self::Special(..) => Ok(()),
            Self::Partial(file, path) => match file.persist(&path) {
                Ok(_) => Ok(()),
                Err(error) => Err(ConfigError::Output { path, error: error.error }),
            },
        }
    }

    /// What is said when it could not be written to.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdout(_) => "stdout".to_owned(),
            Self::Special(_, path) | Self::Partial(_, path) => path.display().to_string(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(stdout) => stdout,
            Self::Special(file, _) => file,
            Self::Partial(file, _) => file,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        block_in_place(|| self.writer().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        block_in_place(|| self.writer().flush())
    }
}

/// Says in a sentence why an output could not be written to, and what to do about it.
pub(super) fn failed(name: &str, error: &io::Error) -> Failure {
    Failure::Failed(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("cannot write {name}: no space is left there. Make room, or give another file with -o")
        }
        io::ErrorKind::FileTooLarge => {
            format!("cannot write {name}: files there may not be this large. Give another file with -o")
        }
        io::ErrorKind::BrokenPipe => format!("cannot write {name}: its reader went away before the end"),
        _ => format!("cannot write {name}: {error}"),
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_what_is_not_there_yet_is_kept_and_led_along() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link.car");
        std::os::unix::fs::symlink("there.car", &link).expect("linked");
        let output = Output::open(Some(&link)).expect("opened");
        output.keep().expect("kept");
        assert!(folder.path().join("there.car").is_file());
        assert!(link.symlink_metadata().expect("there").is_symlink());
    }
}
