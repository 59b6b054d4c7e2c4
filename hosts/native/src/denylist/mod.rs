//! The denylists of a serving process: loaded when it starts, and again when they change, without a restart.
//!
//! | module | it is |
//! |---|---|
//! | [`source`] | where a list comes from: a file, a URL, an object of S3 |
//! | [`fetch`] | its bytes, if they have changed |
//! | [`kept`] | the last good copy of what came over the network |
//! | [`list`] | one list that is kept up to date |
//! | [`current`] | all of them: is this block denied? |
//!
//! What the rules mean is the business of `hoverboard-denylist`.

mod current;
mod fetch;
mod kept;
mod list;
mod source;

use std::time::Duration;

pub use self::current::{Denylists, Watch};
pub use self::list::{LoadError, Loaded, load};
pub use self::source::{Source, SourceError};

/// Which denylists there are, and what is done with them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where they are, in their order: what a later one says goes before what an earlier one does.
    pub sources: Vec<Source>,
    /// How often those that are not files are asked for. Files are looked at every second.
    pub refresh: Duration,
    /// Whether blocks are served while a list could never be loaded.
    pub optional: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { sources: Vec::new(), refresh: Duration::from_secs(300), optional: false }
    }
}

/// The most denylists at a time.
pub const MAX_LISTS: usize = 16;

/// A denylist that has to be there and is not.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot load the denylist {from}: {error}. With --denylist-optional blocks are served without it until it is there"
)]
pub struct DenylistError {
    /// Where it should be.
    pub from: Source,
    /// Why it cannot be used.
    pub error: LoadError,
}
