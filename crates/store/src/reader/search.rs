//! The search for a batch of blocks in the indexes of some CARs, those of them that must be read first included.

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

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
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
    cars: Vec<(u32, CarCid)>,
    asked: Vec<Asked>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let look = Look { library: &library, account: &account, sure: false };
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
    async fn through(
        &self,
        cars: &[(u32, CarCid)],
        mut asked: Vec<Asked>,
        outcome: &mut Outcome,
    ) -> (Vec<Asked>, bool) {
        // Those that lie near each other in a large index share its pages.
        asked.sort_by(|one, other| one.multihash.digest().cmp(other.multihash.digest()));
        let mut doubt = false;
        let read = |(number, car): (u32, CarCid)| async move {
            (number, self.library.index(car, self.sure, self.account).await)
        };
        // Reads that are under way are waited for before anything else is: one that is not polled would keep its place
        // among the few that may wait.
        for cars in cars.chunks(AT_ONCE) {
            for (number, index) in join_all(cars.iter().copied().map(read)).await {
                match index {
                    Ok(index) if !asked.is_empty() && outcome.spent.is_none() => {
                        doubt |= self.within(number, &index, &mut asked, outcome).await;
                    }
                    Ok(_) => {}
                    Err(Failure::Gone) => outcome.gone.push(number),
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

    /// Looks in one index, leaves what was not found, and says whether it may be there all the same.
    async fn within(&self, number: u32, index: &Satnav, asked: &mut Vec<Asked>, outcome: &mut Outcome) -> bool {
        let look = |asked: Asked| async move {
            let found = index.locate(self.library, &asked.multihash, self.sure, self.account).await;
            (asked, found)
        };
        let mut looks = std::pin::pin!(stream::iter(std::mem::take(asked)).map(look).buffered(AT_ONCE));
        let mut doubt = false;
        while let Some((want, found)) = looks.next().await {
            match found {
                Ok(found) => match want.choose(number, &found) {
                    Some(found) => outcome.found.push((want.key, number, found)),
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
