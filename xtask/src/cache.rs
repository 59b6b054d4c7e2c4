//! Where things live that are costly to make and belong to no checkout: toolchains, peers, test data.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The cache folder: `$HOVERBOARD_CACHE`, or `hoverboard` in the platform's cache folder.
///
/// Anything in it may be deleted at any time and is made again when it is next needed.
#[derive(Debug)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    /// Finds the cache folder, and creates it.
    pub(crate) fn locate() -> Result<Self> {
        let folder = match env::var_os("HOVERBOARD_CACHE") {
            Some(folder) => PathBuf::from(folder),
            None => platform_folder()?.join("hoverboard"),
        };
        fs::create_dir_all(&folder).with_context(|| format!("cannot create the cache folder {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        Ok(Self(folder))
    }

    /// A path in the cache. Nothing is created.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// A folder in the cache, created.
    pub(crate) fn folder(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = self.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    /// A folder in the cache, emptied.
    pub(crate) fn fresh_folder(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = self.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        self.folder(&folder)
    }
}

fn platform_folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(folder));
    }
    let home = env::home_dir().context("no home folder: set HOVERBOARD_CACHE to a folder")?;
    Ok(if cfg!(target_os = "macos") { home.join("Library/Caches") } else { home.join(".cache") })
}
