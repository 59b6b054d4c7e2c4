//! The search for a batch of blocks in the indexes of some CARs, those of them that must be read first included.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use multihash::Multihash;

use crate::CarCid;
use crate::ledger::{Account, Spent};
use crate::library::{Failure, Library};
use crate::plan::Place;
use crate::satnav::{Found, Satnav};

/// Indexes that are read at a time, and pages of one.
const AT_ONCE: usize = 4;

/// A block to be found.
pub(super) struct Asked {
    pub(super) key: u64,
    pub(super) multihash: Multihash<64>,
    /// CARs that came to be known before this were searched already.
    pub(super) from: u32,
    /// Places where it turned out not to be.
    pub(super) bad: Vec<Place>,
    /// It will be missing if it is in none, or was not where an index said: all is read once more that may have been
    /// read wrongly.
    pub(super) last: bool,
}

impl Asked {
    /// The first of these places where it may be.
    pub(super) fn choose(&self, car: u32, found: &[Found]) -> Option<Found> {
        let bad = |found: &&Found| self.bad.contains(&Place { car, offset: found.offset });
        found.iter().find(|found| !bad(found)).copied()
    }
}

/// A CAR to look in.
#[derive(Clone, Copy)]
pub(super) struct Searched {
    pub(super) number: u32,
    pub(super) cid: CarCid,
    /// When it came to be known.
    pub(super) since: u32,
}

/// What an index told that is held whole, by the keys of the wants; or one that is not.
enum Looked {
    Through(BTreeMap<u64, Vec<Found>>),
    Large(Arc<Satnav>),
}

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
    /// CARs that come to be known from here on were not searched.
    pub(super) upto: u32,
    pub(super) found: Vec<(u64, u32, Found)>,
    /// Not found, although all indexes could be read.
    pub(super) absent: Vec<u64>,
    /// Not found, and one index could not be read.
    pub(super) doubtful: Vec<u64>,
    /// Not looked for to the end.
    pub(super) unfinished: Vec<u64>,
    /// CARs whose index is gone.
    pub(super) gone: Vec<u32>,
    pub(super) spent: Option<Spent>,
}

/// Looks in some CARs after others; of the indexes that come later, hardly more are read than are needed.
pub(super) async fn search(
    library: Arc<Library>,
    account: Account,
    cars: Vec<Searched>,
    upto: u32,
    asked: Vec<Asked>,
) -> Outcome {
    let mut outcome = Outcome { upto, ..Outcome::default() };
    let look = Look { library: &library, account: &account, sure: false };
    let order: Vec<u64> = asked.iter().map(|asked| asked.key).collect();
    let (rest, mut doubt) = look.through(&cars, asked, &mut outcome).await;
    let (last, rest): (Vec<Asked>, Vec<Asked>) = rest.into_iter().partition(|asked| asked.last);
    let mut keys: Vec<u64> = rest.into_iter().map(|asked| asked.key).collect();
    if doubt || last.is_empty() || outcome.spent.is_some() {
        keys.extend(last.into_iter().map(|asked| asked.key));
    } else {
        let look = Look { sure: true, ..look };
        let (rest, doubtful) = look.through(&cars, last, &mut outcome).await;
        keys.extend(rest.into_iter().map(|asked| asked.key));
        doubt = doubtful;
    }
    // Who was asked for first is looked for first elsewhere.
    let left: BTreeSet<u64> = keys.into_iter().collect();
    let keys = order.into_iter().filter(|key| left.contains(key)).collect();
    match (outcome.spent, doubt) {
        (Some(_), _) => outcome.unfinished = keys,
        (None, true) => outcome.doubtful = keys,
        (None, false) => outcome.absent = keys,
    }
    outcome
}

struct Look<'a> {
    library: &'a Arc<Library>,
    account: &'a Account,
    sure: bool,
}

impl Look<'_> {
    /// Looks in all CARs, and returns what was not found, and whether it may be there all the same.
    async fn through(&self, cars: &[Searched], mut asked: Vec<Asked>, outcome: &mut Outcome) -> (Vec<Asked>, bool) {
        // Those that lie near each other in a large index share its pages.
        asked.sort_by(|one, other| one.multihash.digest().cmp(other.multihash.digest()));
        let mut doubt = false;
        // Reads that are under way are waited for before anything else is: one that is not polled would keep its place
        // among the few that may wait.
        let mut cars = cars.iter();
        loop {
            // Those that all who are still asked for were looked for in are passed over.
            let from = asked.iter().map(|asked| asked.from).min().unwrap_or(u32::MAX);
            let cars: Vec<_> = cars.by_ref().filter(|car| car.since >= from).take(AT_ONCE).collect();
            if cars.is_empty() {
                break;
            }
            for (car, looked) in join_all(cars.into_iter().map(|car| self.look_in(*car, &asked))).await {
                match looked {
                    Ok(Looked::Through(mut found)) => asked.retain(|want| {
                        let found = found.remove(&want.key).and_then(|found| want.choose(car.number, &found));
                        outcome.found.extend(found.map(|found| (want.key, car.number, found)));
                        found.is_none()
                    }),
                    Ok(Looked::Large(index)) if !asked.is_empty() && outcome.spent.is_none() => {
                        doubt |= self.within(car, &index, &mut asked, outcome).await;
                    }
                    Ok(Looked::Large(_)) => {}
                    Err(Failure::Gone) => outcome.gone.push(car.number),
                    Err(Failure::Spent(spent)) => outcome.spent = Some(spent),
                    Err(_) => doubt = true,
                }
            }
            if asked.is_empty() || outcome.spent.is_some() {
                break;
            }
        }
        (asked, doubt)
    }

    /// Looks in one CAR's index, if that is held whole. It is let go at once: who waits for the next one must not hold any.
    async fn look_in(&self, car: Searched, asked: &[Asked]) -> (Searched, Result<Looked, Failure>) {
        let index = match self.library.index(car.cid, self.sure, self.account).await {
            Ok(index) => index,
            Err(failure) => return (car, Err(failure)),
        };
        let mut through = BTreeMap::new();
        let asked = asked.iter().filter(|asked| car.since >= asked.from);
        for asked in asked {
            match index.locate_now(&asked.multihash) {
                Some(found) if found.is_empty() => {}
                Some(found) => drop(through.insert(asked.key, found)),
                None => return (car, Ok(Looked::Large(index))),
            }
            self.library.count_look_ups(1);
        }
        (car, Ok(Looked::Through(through)))
    }

    /// Looks in one index, leaves what was not found, and says whether it may be there all the same.
    async fn within(&self, car: Searched, index: &Satnav, asked: &mut Vec<Asked>, outcome: &mut Outcome) -> bool {
        let (these, others): (Vec<Asked>, Vec<Asked>) =
            std::mem::take(asked).into_iter().partition(|asked| car.since >= asked.from);
        *asked = others;
        self.library.count_look_ups(these.len());
        let look = |asked: Asked| async move {
            let found = index.locate(self.library, &asked.multihash, self.sure, self.account).await;
            (asked, found)
        };
        let mut looks = std::pin::pin!(stream::iter(these).map(look).buffered(AT_ONCE));
        let mut doubt = false;
        while let Some((want, found)) = looks.next().await {
            match found {
                Ok(found) => match want.choose(car.number, &found) {
                    Some(found) => outcome.found.push((want.key, car.number, found)),
                    None => asked.push(want),
                },
                Err(failure) => {
                    match failure {
                        Failure::Spent(spent) => outcome.spent = Some(spent),
                        _ => doubt = true,
                    }
                    asked.push(want);
                }
            }
        }
        doubt
    }
}
