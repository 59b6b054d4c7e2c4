//! One look-up of some blocks: through the small runs, then through the large ones until each is found, then their CARs.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use hoverboard_index::run::{Found, PageAddress, Run};
use hoverboard_index::{Fingerprint, MAX_PLACES, Place};
use multihash::Multihash;
use object_store::path::Path;

use super::Inner;
use super::view::View;
use crate::CarCid;
use crate::layout::INDEX;
use crate::ledger::Account;
use crate::library::{CarPlace, Failure, Located};

/// Pages that are asked for at a time.
const AT_ONCE: usize = 6;
/// The digest in the record of a CAR that was struck long ago.
const VOID: [u8; 32] = super::super::known::VOID;

/// What is known of one block so far.
#[derive(Clone, Default)]
struct Sought {
    fingerprint: Option<Fingerprint>,
    places: Vec<Place>,
    /// Other CARs have it too.
    more: bool,
    /// Something that may know of it could not be read.
    doubt: bool,
    /// Runs were not asked, because places were known already: others may have it.
    skipped: bool,
}

impl Sought {
    fn take(&mut self, found: &Found, view: &View) {
        let struck = view.manifest.struck();
        self.places.extend(found.places.iter().filter(|place| !struck.contains(place.car)));
        self.more |= found.more;
    }
}

/// Why a search has to be made again: an object is gone that the manifest names.
struct Outdated(Path);

impl Inner {
    /// Looks blocks up. `None`: the bucket has no index.
    ///
    /// # Errors
    ///
    /// The budget is spent, or no manifest can be read.
    pub(super) async fn locate(
        self: &Arc<Self>,
        multihashes: &[Multihash<64>],
        account: &Account,
    ) -> Result<Option<Vec<Located>>, Failure> {
        let Some(view) = self.view(None, account).await? else { return Ok(None) };
        let (sought, outdated) = self.search(&view, multihashes, account).await?;
        let Some(Outdated(key)) = outdated else {
            return self.resolve(&view, sought, account).await.map(Some);
        };
        // The runs that it names may have been merged away since.
        let Some(newer) = self.view(Some(&view), account).await? else { return Ok(None) };
        if newer.manifest.generation() == view.manifest.generation() {
            self.settings
                .observer
                .fault(&format!("{INDEX}/{key}"), &"the newest manifest names it, and it is not there");
            return self.resolve(&view, sought, account).await.map(Some);
        }
        let (sought, _) = self.search(&newer, multihashes, account).await?;
        self.resolve(&newer, sought, account).await.map(Some)
    }

    /// Searches the runs of a manifest.
    async fn search(
        self: &Arc<Self>,
        view: &Arc<View>,
        multihashes: &[Multihash<64>],
        account: &Account,
    ) -> Result<(Vec<Sought>, Option<Outdated>), Failure> {
        let key = view.manifest.key();
        let new = |multihash| Sought { fingerprint: Some(key.fingerprint(multihash)), ..Sought::default() };
        let mut sought: Vec<Sought> = multihashes.iter().map(new).collect();
        let mut outdated = None;
        let mut paged = Vec::new();
        for run in view.resident() {
            match self.resident(run, account).await {
                Ok(Some(slice)) => {
                    for sought in &mut sought {
                        if let Some(fingerprint) = sought.fingerprint {
                            sought.take(&slice.lookup(fingerprint), view);
                        }
                    }
                }
                Ok(None) => paged.push(run),
                Err(failure) => {
                    outdated = outdated.or(doubt(failure, &run, 0, sought.iter_mut())?);
                }
            }
        }
        for run in paged.into_iter().chain(view.paged()) {
            outdated = outdated.or(self.search_pages(view, run, &mut sought, account).await?);
        }
        Ok((sought, outdated))
    }

    /// Searches one run by its pages, for the blocks that are not found yet.
    async fn search_pages(
        self: &Arc<Self>,
        view: &Arc<View>,
        run: Run,
        sought: &mut [Sought],
        account: &Account,
    ) -> Result<Option<Outdated>, Failure> {
        let mut outdated = None;
        let mut wanted: BTreeMap<PageAddress, Vec<usize>> = BTreeMap::new();
        for (number, sought) in sought.iter_mut().enumerate() {
            if !sought.places.is_empty() {
                sought.skipped = true;
                continue;
            }
            if let Some(fingerprint) = sought.fingerprint {
                wanted.entry(run.address(fingerprint)).or_default().push(number);
            }
        }
        // A page, and what overflowed from it: a second round, and no third.
        while !wanted.is_empty() {
            let mut next: BTreeMap<PageAddress, Vec<usize>> = BTreeMap::new();
            let read = |(address, numbers)| async move { (address, numbers, self.page(run, address, account).await) };
            let mut pages = stream::iter(std::mem::take(&mut wanted)).map(read).buffer_unordered(AT_ONCE);
            while let Some((address, numbers, page)) = pages.next().await {
                let page = match page {
                    Ok(page) => page,
                    Err(failure) => {
                        let mut of_page = numbers;
                        of_page.sort_unstable();
                        let affected = sought.iter_mut().enumerate();
                        let affected = affected.filter(|(number, _)| of_page.binary_search(number).is_ok());
                        let affected = affected.map(|(_, sought)| sought);
                        outdated = outdated.or(doubt(failure, &run, address.shard, affected)?);
                        continue;
                    }
                };
                for number in numbers {
                    let Some(sought) = sought.get_mut(number) else { continue };
                    let Some(fingerprint) = sought.fingerprint else { continue };
                    let lookup = page.lookup(fingerprint);
                    sought.take(&lookup.found, view);
                    if let Some(overflow) = lookup.next {
                        next.entry(overflow).or_default().push(number);
                    }
                }
            }
            wanted = next;
        }
        Ok(outdated)
    }

    /// Turns ordinals into CARs, and what was found into answers.
    async fn resolve(
        self: &Arc<Self>,
        view: &Arc<View>,
        sought: Vec<Sought>,
        account: &Account,
    ) -> Result<Vec<Located>, Failure> {
        let mut located = Vec::with_capacity(sought.len());
        for mut sought in sought {
            let mut places: Vec<CarPlace> = Vec::with_capacity(MAX_PLACES);
            for place in &sought.places {
                match self.car_of(view, place.car, account).await {
                    // It was struck, and is in a run that says so no more.
                    Ok(None) => {}
                    Ok(Some(car)) if places.iter().any(|known| known.car == car && known.extent == place.extent) => {}
                    Ok(Some(car)) => places.push(CarPlace { car, extent: place.extent }),
                    Err(Failure::Spent(spent)) => return Err(Failure::Spent(spent)),
                    Err(_) => sought.doubt = true,
                }
            }
            // Where others have it that are not named, or while CARs are not in the index yet, nothing is certain.
            let certain = !sought.doubt && !sought.more && !sought.skipped && view.manifest.complete();
            located.push(match places.is_empty() {
                false => Located::At { places, more: !certain },
                true if certain => Located::Missing,
                true => Located::Unknown,
            });
        }
        Ok(located)
    }

    /// The CAR of an ordinal. `None`: it is gone.
    async fn car_of(
        self: &Arc<Self>,
        view: &Arc<View>,
        ordinal: u32,
        account: &Account,
    ) -> Result<Option<CarCid>, Failure> {
        let none = || Failure::wrong(format_args!("no segment has CAR {ordinal}"));
        let segment = *view.manifest.segment_of(ordinal).ok_or_else(none)?;
        let number = segment.page_of(ordinal).ok_or_else(none)?;
        let page = self.car_page(segment, number, account).await?;
        let record = page.record(ordinal).ok_or_else(none)?;
        Ok((record.digest != VOID).then(|| CarCid::of_digest(record.digest)))
    }
}

/// Takes note of what could not be read. An error only if the budget is spent.
fn doubt<'a>(
    failure: Failure,
    run: &Run,
    shard: u32,
    sought: impl Iterator<Item = &'a mut Sought>,
) -> Result<Option<Outdated>, Failure> {
    if matches!(failure, Failure::Spent(_)) {
        return Err(failure);
    }
    sought.for_each(|sought| sought.doubt = true);
    Ok(matches!(failure, Failure::Gone).then(|| Outdated(Path::from(run.shard_key(shard)))))
}
