//! Small changes of the manifest: CARs are struck, and the index is complete or not.

use futures_util::{FutureExt, future};
use hoverboard_index::manifest::Manifest;

use super::Index;
use super::chain::{Change, Made};

/// These CARs are no longer there.
pub(super) struct Strike(pub(super) Vec<u32>);

impl Change for Strike {
    fn upon<'a>(&'a mut self, _: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a> {
        let make = || {
            if self.0.iter().all(|car| newest.struck().contains(*car)) {
                return Ok(None);
            }
            let mut draft = newest.draft(at);
            draft.strike(self.0.iter().copied())?;
            Ok(Some(draft.finish()?))
        };
        future::ready(make()).boxed()
    }
}

/// Whether all CARs of the bucket are indexed, so that a block that is in no run is in no CAR.
pub(super) struct Completeness(pub(super) bool);

impl Change for Completeness {
    fn upon<'a>(&'a mut self, _: &'a Index, newest: &'a Manifest, at: u64) -> Made<'a> {
        let make = || {
            if newest.complete() == self.0 {
                return Ok(None);
            }
            let mut draft = newest.draft(at);
            draft.set_complete(self.0);
            Ok(Some(draft.finish()?))
        };
        future::ready(make()).boxed()
    }
}
