//! Which CAR files there are: the paths that were given, and what lies in the folders among them.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;

/// What a look at the paths found.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// CAR files, each once, in the order found
    pub(crate) cars: Vec<(PathBuf, Stamp)>,
    /// Files and folders that are or may be there but cannot be looked at
    pub(crate) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Listing {
    /// Whether it is not known what lies at `path`.
    pub(crate) fn is_unsure_of(&self, path: &Path) -> bool {
        self.unreadable.iter().any(|(unreadable, _)| path.starts_with(unreadable))
    }
}

/// Looks at every path: a file is a CAR whatever its name, a folder is searched, at any depth, for files named
/// `*.car`. Links are followed; a file or folder that is reached twice counts once.
pub(crate) fn list(paths: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    let mut seen = HashSet::new();
    let mut folders = Vec::new();
    for path in paths {
        visit(path.clone(), true, &mut listing, &mut seen, &mut folders);
        while let Some(folder) = folders.pop() {
            match entries(&folder) {
                Ok(entries) => {
                    for entry in entries {
                        visit(entry, false, &mut listing, &mut seen, &mut folders);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => listing.unreadable.push((folder, error)),
            }
        }
    }
    listing
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable();
    Ok(entries)
}

fn visit(
    path: PathBuf,
    named: bool,
    listing: &mut Listing,
    seen: &mut HashSet<(u64, u64)>,
    folders: &mut Vec<PathBuf>,
) {
    let is_car = named || path.extension().is_some_and(|extension| extension == "car");
    let meta = match std::fs::metadata(&path) {
        Ok(meta) => meta,
        // Gone, or a link to nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            // What cannot be looked at may be a folder of CARs, so its name does not excuse it.
            listing.unreadable.push((path, error));
            return;
        }
    };
    let first_time = |meta: &Metadata, seen: &mut HashSet<_>| seen.insert((meta.dev(), meta.ino()));
    if meta.is_dir() && first_time(&meta, seen) {
        folders.push(path);
    } else if meta.is_file() && is_car && first_time(&meta, seen) {
        listing.cars.push((path, Stamp::from(&meta)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_for_cars_and_named_files_are_taken_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("a/b")).expect("made");
        for name in ["a/one.car", "a/b/two.car", "a/notes.txt", "three.blob"] {
            std::fs::write(at(name), b"").expect("written");
        }
        std::os::unix::fs::symlink(at("a"), at("a/b/loop")).expect("linked");
        std::os::unix::fs::symlink(at("nowhere"), at("a/dangling.car")).expect("linked");
        let listing = list(&[at("three.blob"), at("a"), at("a/one.car"), at("missing.car")]);
        let names: Vec<PathBuf> = listing.cars.into_iter().map(|(path, _)| path).collect();
        assert_eq!(names, [at("three.blob"), at("a/one.car"), at("a/b/two.car")]);
        assert!(listing.unreadable.is_empty());
    }
}
