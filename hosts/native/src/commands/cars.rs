//! What `ls` and `verify` share: the CAR files that their paths name.

use std::path::PathBuf;

use crate::catalog::discover;
use crate::config::ConfigError;

use super::Failure;

/// The CAR files among the paths, and whether everything could be looked at; what could not is named on stderr.
pub(super) fn find(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, bool), Failure> {
    for path in paths {
        std::fs::metadata(path).map_err(|error| ConfigError::Path { path: path.clone(), error })?;
    }
    let listing = discover::list(paths);
    for (path, error) in &listing.unreadable {
        eprintln!("{}: {error}", path.display());
    }
    if listing.cars.is_empty() {
        eprintln!("no CAR file found: folders are searched for *.car");
    }
    let complete = listing.unreadable.is_empty();
    Ok((listing.cars.into_iter().map(|(path, _)| path).collect(), complete))
}

/// `1 block`, `2 blocks`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
