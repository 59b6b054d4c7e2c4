//! The files of an export.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{Lines, MAX_LINE, Row, RowError};

/// How much of a file is read at a time.
const BUFFER: usize = 256 << 10;
/// What a gzipped file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The file cannot be read, or not to its end
    #[error("{}: {error}", path.display())]
    File {
        /// The file
        path: PathBuf,
        /// Why not
        error: io::Error,
    },
    /// A line is wrong
    #[error("{}:{line}: {error}", path.display())]
    Row {
        /// The file
        path: PathBuf,
        /// Counted from one
        line: u64,
        /// What is wrong with it
        error: RowError,
    },
}

/// The files with rows among these files and folders, in a fixed order. Of a folder they are those named `*.json` and
/// `*.json.gz` but for the export's manifests.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    for path in paths {
        let file = |error| Failed::File { path: path.clone(), error };
        if !path.metadata().map_err(file)?.is_dir() {
            found.push(path.clone());
            continue;
        }
        let mut open = vec![path.clone()];
        while let Some(folder) = open.pop() {
            let entries = folder.read_dir().map_err(|error| Failed::File { path: folder.clone(), error })?;
            for entry in entries {
                let entry = entry.map_err(|error| Failed::File { path: folder.clone(), error })?;
                let (path, kind) = (entry.path(), entry.file_type());
                match kind {
                    Ok(kind) if kind.is_dir() => open.push(path),
                    _ if has_rows(&path) => found.push(path),
                    _ => {}
                }
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn has_rows(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    (name.ends_with(".json.gz") || name.ends_with(".json")) && !name.starts_with("manifest-")
}

/// Reads a file row by row; `each` says whether to go on. A line that is wrong goes to `wrong`, which says the same, and
/// does not keep the others from being read.
pub fn rows(
    path: &Path,
    mut each: impl FnMut(Row) -> bool,
    mut wrong: impl FnMut(Failed) -> bool,
) -> Result<(), Failed> {
    let file = |error| Failed::File { path: path.to_owned(), error };
    let mut lines = Lines::new(open(path).map_err(file)?);
    while let Some(line) = lines.next_line().map_err(file)? {
        let parsed = line.bytes.ok_or(RowError::TooLong { max: MAX_LINE }).and_then(Row::parse);
        let go_on = match parsed {
            Ok(row) => each(row),
            Err(error) => wrong(Failed::Row { path: path.to_owned(), line: line.number, error }),
        };
        if !go_on {
            break;
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    let gzipped = file.fill_buf()?.starts_with(&GZIP);
    match gzipped {
        true => Ok(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))),
        false => Ok(Box::new(file)),
    }
}
