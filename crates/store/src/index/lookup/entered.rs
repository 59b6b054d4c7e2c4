//! Which of its ordinals a CAR is indexed under, by the CAR's own entry in the runs: no look at the CAR table as a whole.

use std::sync::Arc;

use hoverboard_index::Place;
use hoverboard_index::cars::Record;
use hoverboard_index::manifest::Manifest;
use hoverboard_index::run::Run;

use super::view::View;
use super::{Inner, Runs};
use crate::CarCid;
use crate::ledger::Account;
use crate::library::Failure;

/// What an index says of a CAR.
pub(crate) struct Entered {
    view: Arc<View>,
    /// Its ordinals that are not struck, and the record of each.
    pub(crate) ordinals: Vec<(u32, Record)>,
    /// There may be more of them: only a look at the whole CAR table tells.
    pub(crate) more: bool,
}

impl Entered {
    /// The manifest that it rests on.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.view.manifest
    }
}

impl Runs {
    /// What the index says of a CAR, by the manifest that is the newest now. `None`: there is no index.
    ///
    /// # Errors
    ///
    /// Something of it cannot be read, or the budget is spent.
    pub(crate) async fn entered(&self, car: &CarCid, account: &Account) -> Result<Option<Entered>, Failure> {
        let inner = &self.0;
        let Some(view) = inner.view(None, account).await? else { return Ok(None) };
        match inner.ordinals(&view, car, account).await {
            // The runs that it names may have been merged away since.
            Err(Failure::Gone) => {}
            outcome => return outcome.map(Some),
        }
        let Some(view) = inner.view(Some(&view), account).await? else { return Ok(None) };
        inner.ordinals(&view, car, account).await.map(Some)
    }
}

impl Inner {
    async fn ordinals(self: &Arc<Self>, view: &Arc<View>, car: &CarCid, account: &Account) -> Result<Entered, Failure> {
        let mut entered = Entered { view: Arc::clone(view), ordinals: Vec::new(), more: false };
        let mut places: Vec<Place> = Vec::new();
        let mut paged: Vec<Run> = view.paged().collect();
        let fingerprint = view.manifest.key().car_fingerprint(car.digest());
        for run in view.resident() {
            let Some(slice) = self.resident(run, account).await? else {
                paged.push(run);
                continue;
            };
            let found = slice.lookup(fingerprint);
            places.extend(&found.places);
            entered.more |= found.more;
        }
        for run in paged {
            let mut next = Some(run.address(fingerprint));
            // A page, and what overflowed from it: not more.
            while let Some(address) = next {
                let lookup = self.page(run, address, account).await?.lookup(fingerprint);
                places.extend(&lookup.found.places);
                entered.more |= lookup.found.more;
                next = lookup.next;
            }
        }
        for place in places.iter().filter(|place| !view.manifest.struck().contains(place.car)) {
            let none = || Failure::wrong(format_args!("no segment has CAR {}", place.car));
            let segment = *view.manifest.segment_of(place.car).ok_or_else(none)?;
            let number = segment.page_of(place.car).ok_or_else(none)?;
            let page = self.car_page(segment, number, account).await?;
            let record = page.record(place.car).ok_or_else(none)?;
            // One of another digest was struck, and is forgotten.
            if record.digest == *car.digest() {
                entered.ordinals.push((place.car, record));
            }
        }
        Ok(entered)
    }
}
