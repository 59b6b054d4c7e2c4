//! One peer's reads: blocks are asked for by CID, and come as the bucket gives them.
//!
//! A block is looked up in the CARs that the peer was reading; where it is in none, in the index of every block, if there
//! is one; then it is taken for a root and its CARs are found by a listing. What is found waits in the [`plan`](crate::plan)
//! for the range that will pass it. Every block is hashed before it is given out.
//!
//! [`Found::Missing`] is the truth: the index of every block was asked, and a listing and every index that it names were
//! read. Whatever fails is tried again, then in other places, and is then [`Found::Unknown`].
//!
//! A reader is polled, not spawned: it owns no task, and between two polls it can be given more to do. It holds, of
//! its own, less than a block for each of [`Config::runs`](crate::library::Config::runs) and the window of
//! [`Config::window`](crate::library::Config::window).

mod cars;
mod find;
mod give;
mod locate;
mod read;
mod run;
mod search;
mod window;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use self::cars::Cars;
use self::locate::{Locating, Spread};
use self::run::Run;
use self::search::Outcome;
use self::window::Window;
use crate::CarCid;
use crate::ledger::{Account, Spent};
use crate::library::{Failure, Library, Listing, Room, Whole};
use crate::plan::{Place, Plan};

/// Wants that every reader may have, however many the others have.
const FREE_WANTS: usize = 16;
/// Room is made for so many further ones at a time.
const WANTS_AT_ONCE: usize = 32;

/// What is wanted of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Its bytes.
    Block,
    /// Whether it is there; its bytes where they are no more than this.
    Have {
        /// In bytes.
        inline_limit: usize,
    },
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The block, which matches the CID.
    Block(Bytes),
    /// An index says that it is there, and is more than the inline limit. Answers [`Want::Have`] alone.
    Have {
        /// Its length in bytes, about; `u64::MAX` where the index does not tell.
        size: u64,
    },
    /// It is definitely not there: no locator knows of it, an index of every block among them.
    Missing,
    /// No listing leads to it, and the bucket has no index of every block: it may be there all the same.
    Unlisted,
    /// It could not be found out.
    Unknown,
}

/// What [`Reader::poll_next`] comes to.
#[derive(Debug)]
pub enum Step {
    /// The answer to the want of this key, which is forgotten with it.
    Answer(u64, Found),
    /// There is nothing to do before something is pushed, there is more room, or what is held is let go.
    Idle,
    /// The budget of the event is over. Everything is kept; polled again, the reader tries again.
    Spent(Spent),
}

/// One peer's reads.
pub struct Reader {
    library: Arc<Library>,
    account: Account,
    wants: BTreeMap<u64, Entry>,
    cars: Cars,
    /// Wants to be looked up in the CARs that are known.
    fresh: Vec<u64>,
    /// Wants that are in none of these, and are to be listed as roots.
    strays: VecDeque<u64>,
    /// The same, which a locator is to be asked for.
    unlocated: VecDeque<u64>,
    locating: Option<Locating>,
    spread: Spread,
    search: Option<BoxFuture<'static, Outcome>>,
    listings: FuturesUnordered<BoxFuture<'static, Listed>>,
    /// What listings came to, to be looked at one after another.
    named: VecDeque<Listed>,
    vain: Vain,
    /// Listings, one after another, whose CARs had nothing that other wants needed.
    lonely: u32,
    plan: Plan,
    runs: Vec<Run>,
    /// Small CARs that are being read.
    loading: Vec<(u32, Loading)>,
    /// Small CARs that are being given out.
    whole: Vec<(u32, Arc<Whole>)>,
    window: Window,
    /// Wanted sections that are in the window.
    hits: VecDeque<Place>,
    answers: VecDeque<(u64, Found)>,
    spent: Option<Spent>,
    /// For wants beyond the first few.
    room: Room,
}

/// A want, until it is answered.
struct Entry {
    cid: Cid,
    want: Want,
    stage: Stage,
    /// Where to look next, if it is in none of the known CARs.
    next: Next,
    /// It is not in the CARs that came to be known before this.
    searched: u32,
    /// An index of every block does not have it.
    indexed: bool,
    /// Its place is that of its own bytes, and not of a section.
    bare: bool,
    /// It may be somewhere that could not be looked at.
    doubt: bool,
    /// Places where it should have been and was not, or could not be read.
    bad: Vec<Place>,
    /// Reads that failed, at the place where it is looked for now.
    tries: u32,
    /// Reads of what was not it, at that place.
    wrong: u32,
}

impl Entry {
    /// The CARs that its listing named are among those that are searched.
    fn is_listed(&self) -> bool {
        matches!(self.next, Next::Other(_))
    }

    /// What is not found now may be missing, or was not where an index said: all is to be looked through, and read once
    /// more where it may have been read wrongly.
    fn is_last(&self) -> bool {
        self.is_listed() || !self.bad.is_empty()
    }

    /// CARs that came to be known before this need not be searched.
    fn search_from(&self) -> u32 {
        if self.is_last() { 0 } else { self.searched }
    }

    /// It was looked for everywhere.
    fn conclusion(&self) -> Found {
        match (self.doubt || !self.bad.is_empty(), self.indexed) {
            (true, _) => Found::Unknown,
            (false, true) => Found::Missing,
            (false, false) => Found::Unlisted,
        }
    }
}

/// Where a want is looked for that is in no known CAR, in the order of what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// In the index of every block.
    Runs,
    /// In the listing of a root.
    Listing,
    /// By the other locator of this number.
    Other(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In `fresh`.
    Fresh,
    /// In the search that is under way.
    Searching,
    /// In `strays` or `unlocated`.
    Stray,
    /// In the look-up by a locator that is under way.
    Locating,
    /// In a listing that is under way.
    Listing,
    /// In the plan.
    At(Place),
}

/// What a listing came to, and for whom it was made.
type Listed = (u64, Cid, Result<Arc<Listing>, Failure>);

type Loading = BoxFuture<'static, Result<Arc<Whole>, Failure>>;

/// Listings that found nothing, since when.
#[derive(Default)]
struct Vain {
    count: u32,
    since: Duration,
}

impl Reader {
    /// A reader for a peer that was reading these CARs, newest first.
    pub fn new(library: Arc<Library>, account: Account, cars: Vec<CarCid>) -> Self {
        let config = &library.config;
        Self {
            plan: Plan::new(config.tuning),
            window: Window::new(account.clone(), config.window),
            room: library.room_for_wants(),
            library,
            account,
            wants: BTreeMap::new(),
            cars: Cars::new(cars),
            fresh: Vec::new(),
            strays: VecDeque::new(),
            unlocated: VecDeque::new(),
            locating: None,
            spread: Spread::default(),
            search: None,
            listings: FuturesUnordered::new(),
            named: VecDeque::new(),
            vain: Vain::default(),
            lonely: 0,
            runs: Vec::new(),
            loading: Vec::new(),
            whole: Vec::new(),
            hits: VecDeque::new(),
            answers: VecDeque::new(),
            spent: None,
        }
    }

    /// Asks for a block. `key` is the host's own, and comes back with the answer; a want that has the same is
    /// forgotten.
    pub fn push(&mut self, key: u64, cid: Cid, want: Want) {
        self.forget(key);
        if let Some(found) = self.known_already(&cid, want) {
            self.answers.push_back((key, found));
            return;
        }
        let entry = Entry {
            cid,
            want,
            stage: Stage::Fresh,
            next: Next::Runs,
            searched: 0,
            indexed: false,
            bare: false,
            doubt: false,
            bad: Vec::new(),
            tries: 0,
            wrong: 0,
        };
        self.wants.insert(key, entry);
        self.fresh.push(key);
    }

    /// Whether the host should keep further wants to itself for now: this reader has all that it may have of the wants
    /// that all readers may have together, see [`Config::wants`](crate::library::Config::wants). It always may have some;
    /// so it is enough to ask again when it has given an answer.
    pub fn is_full(&mut self) -> bool {
        let more = (self.wants.len() + 1).saturating_sub(FREE_WANTS).next_multiple_of(WANTS_AT_ONCE);
        more > self.room.size() && !self.room.resize_to_share(more)
    }

    /// Forgets the wants whose keys `keep` does not keep.
    pub fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        self.answers.retain(|(key, _)| keep(*key));
        let dropped: Vec<u64> = self.wants.keys().copied().filter(|key| !keep(*key)).collect();
        dropped.into_iter().for_each(|key| self.forget(key));
    }

    /// Whether every want is answered.
    pub fn is_idle(&self) -> bool {
        self.wants.is_empty() && self.answers.is_empty()
    }

    /// Whether there is something that [`let_go`](Self::let_go) would close or drop.
    pub fn is_holding(&self) -> bool {
        !self.runs.is_empty()
            || !self.window.is_empty()
            || !self.loading.is_empty()
            || !self.whole.is_empty()
            || !self.listings.is_empty()
            || self.search.is_some()
            || self.locating.is_some()
    }

    /// The CARs where this peer's blocks are looked up, that of the last one first: what to remember of the peer.
    pub fn cars(&self) -> impl Iterator<Item = &CarCid> {
        self.cars.cids()
    }

    /// Whether these are others than when it was last asked, whatever their order.
    pub fn cars_changed(&mut self) -> bool {
        self.cars.take_changed()
    }

    /// Closes all requests and timers, and drops what was read ahead. Wants are kept, and are looked up anew where they
    /// were being looked up.
    pub fn let_go(&mut self) {
        for run in self.runs.drain(..) {
            let span = run.span();
            self.plan.closed(&span.run, span.at);
        }
        self.loading.clear();
        self.whole.clear();
        self.window.clear();
        self.hits.clear();
        self.search = None;
        self.locating = None;
        self.listings.clear();
        self.named.clear();
        self.spent = None;
        self.cars.all_mut().for_each(|(_, car)| car.wait = None);
        let looked_up = |stage| matches!(stage, Stage::Searching | Stage::Locating | Stage::Listing);
        let again: Vec<u64> =
            self.wants.iter().filter(|(_, entry)| looked_up(entry.stage)).map(|(key, _)| *key).collect();
        again.into_iter().for_each(|key| self.look_up_again(key));
    }

    /// The next answer, as the bucket gives it.
    ///
    /// `room` is how many bytes of blocks may be given out now. A block is given out whenever it is more than zero,
    /// however long; while it is zero nothing is read but what was asked for already, and the answers that need no
    /// room are given. Poll it also then: a request that is not polled keeps its place among the few that may wait.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<Step> {
        loop {
            let placed = self.answers.iter().position(|(_, found)| room > 0 || !matches!(found, Found::Block(_)));
            if let Some((key, found)) = placed.and_then(|place| self.answers.remove(place)) {
                return Poll::Ready(Step::Answer(key, found));
            }
            let looked_up = self.poll_lookups(cx);
            let read = self.poll_reads(cx, room > 0);
            if !looked_up && !read {
                break;
            }
        }
        if self.is_waiting(room > 0) {
            return Poll::Pending;
        }
        match self.spent.take() {
            Some(spent) => Poll::Ready(Step::Spent(spent)),
            None => Poll::Ready(Step::Idle),
        }
    }

    /// Whether something is under way that will wake the task.
    fn is_waiting(&mut self, room: bool) -> bool {
        self.search.is_some()
            || self.locating.is_some()
            || !self.listings.is_empty()
            || !self.loading.is_empty()
            || self.runs.iter().any(|run| run.is_opening() || (room && !run.is_paused()))
            || (room && self.cars.all_mut().any(|(_, car)| car.wait.is_some()))
    }

    /// What needs no looking up: a block that is its own CID, and one that could not be checked.
    fn known_already(&self, cid: &Cid, want: Want) -> Option<Found> {
        let (code, digest) = (cid.hash().code(), cid.hash().digest());
        match code {
            0x12 if digest.len() == 32 => None,
            0x00 => match want {
                Want::Have { inline_limit } if digest.len() > inline_limit => {
                    Some(Found::Have { size: digest.len() as u64 })
                }
                _ => Some(Found::Block(Bytes::copy_from_slice(digest))),
            },
            // A block without bytes shows whether its hash could be told at all.
            _ => match hoverboard_dag::verify_with(&*self.library.config.sha256, cid, &[]) {
                Ok(()) | Err(hoverboard_dag::VerifyError::Mismatch) => None,
                Err(_) => Some(Found::Unknown),
            },
        }
    }

    fn forget(&mut self, key: u64) {
        if let Some(Entry { stage: Stage::At(place), .. }) = self.wants.remove(&key) {
            self.plan.remove(place, key);
        }
        let needed = self.wants.len().saturating_sub(FREE_WANTS).next_multiple_of(WANTS_AT_ONCE);
        // One that is pushed now should not have to ask for it again.
        if needed + WANTS_AT_ONCE < self.room.size() {
            self.room.resize_to_share(needed);
        }
    }

    fn answer(&mut self, key: u64, found: Found) {
        self.forget(key);
        self.answers.push_back((key, found));
    }

    /// Looks for a want anew, wherever it was.
    fn look_up_again(&mut self, key: u64) {
        let Some(entry) = self.wants.get_mut(&key) else { return };
        if let Stage::At(place) = entry.stage {
            self.plan.remove(place, key);
        }
        if let Some(entry) = self.wants.get_mut(&key) {
            (entry.stage, entry.tries, entry.wrong) = (Stage::Fresh, 0, 0);
            self.fresh.push(key);
        }
    }

    /// Notes that the budget is spent; unless it was another peer's part of it, whose read this one shared.
    fn note_spent(&mut self) {
        self.spent = self.account.may_request().err();
    }

    /// Ends the waits that are over, and says whether one was.
    fn poll_waits(&mut self, cx: &mut Context<'_>) -> bool {
        let mut over = false;
        for (_, car) in self.cars.all_mut() {
            if car.wait.as_mut().is_some_and(|wait| wait.poll_unpin(cx).is_ready()) {
                car.wait = None;
                over = true;
            }
        }
        over
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("wants", &self.wants.len())
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}
