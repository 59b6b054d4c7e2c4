//! What an event may spend, and who of the peers that share it may spend how much.
//!
//! One ledger stands for what the platform counts together: a Durable Object, or one connection of a plain Worker. It
//! counts requests, waiting requests, bytes held and CPU time, the last by estimate: in a Worker the clock stands still
//! while code runs. Everything is reserved before it is spent, so that the platform's own limit is met by nobody.
//!
//! Requests and CPU time are counted per event and begin anew with [`Ledger::begin_event`]. Bytes and waiting
//! requests are what is held at the moment, and are given back on drop.
//!
//! There is no clock in here, and nothing is ever queued but the requests that wait for one of the few places.

mod budget;
mod shares;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

pub use self::budget::{Budget, Costs, Work};
use self::shares::Shares;
use self::waiting::Queue;
pub use self::waiting::{Permit, Request};

/// What a request is for. All count alike; the kinds are told apart for whoever reads the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A read of an object or a range of it.
    Read,
    /// A listing.
    List,
    /// A read or write of the key-value store.
    Kv,
    /// A call to another object.
    Call,
}

/// Why nothing more can be spent in this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Spent {
    /// The requests of the event, or this account's part of them, are used up.
    #[error("the requests of this event are used up")]
    Requests,
    /// The CPU time of the event is used up.
    #[error("the CPU time of this event is used up")]
    Cpu,
    /// The platform itself refused another request.
    #[error("the platform allows this event no more requests")]
    Platform,
}

/// The error by which a store says that the platform refused another request in this event. A store wraps it in
/// [`object_store::Error::Generic`], where [`Spent::of`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many subrequests")]
pub struct TooManySubrequests;

impl Spent {
    /// Whether an error is, or was caused by, [`TooManySubrequests`].
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<TooManySubrequests>() {
                return Some(Self::Platform);
            }
            cause = error.source();
        }
        None
    }
}

/// What was spent in the current event, and what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// Requests begun, by [`Kind`] in the order of its variants.
    pub requests: [u64; 4],
    /// CPU time, estimated.
    pub cpu: Duration,
    /// Bytes held.
    pub bytes: usize,
    /// Requests that wait for the head of their answer.
    pub waiting: usize,
}

/// The books of one event after another. Cloning shares them.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Books>>);

struct Books {
    budget: Budget,
    spending: Spending,
    /// The platform's own limit was met.
    exhausted: bool,
    shares: Shares,
    queue: Queue,
    next_account: u64,
}

impl Books {
    /// Why nothing can be spent by anybody; a single account's share is another question.
    fn spent(&self) -> Option<Spent> {
        if self.exhausted {
            Some(Spent::Platform)
        } else if self.spending.cpu >= self.budget.cpu {
            Some(Spent::Cpu)
        } else if self.shares.left() == 0 {
            Some(Spent::Requests)
        } else {
            None
        }
    }

    fn charge(&mut self, work: &Work) {
        self.spending.cpu = self.spending.cpu.saturating_add(self.budget.costs.of(work));
    }
}

impl Ledger {
    /// A ledger whose first event has begun.
    pub fn new(budget: Budget) -> Self {
        let budget = Budget { waiting: budget.waiting.max(1), ..budget };
        Self(Arc::new(Mutex::new(Books {
            budget,
            spending: Spending::default(),
            exhausted: false,
            shares: Shares::new(budget.requests),
            queue: Queue::default(),
            next_account: 0,
        })))
    }

    /// Begins an event: requests and CPU time are counted from zero. What is held is held on.
    pub fn begin_event(&self) {
        let mut books = self.0.lock();
        books.spending.requests = [0; 4];
        books.spending.cpu = Duration::ZERO;
        books.exhausted = false;
        books.shares.begin();
        books.queue.wake_all();
    }

    /// Opens the account of a peer. It is closed when its last clone is dropped.
    pub fn account(&self) -> Account {
        let mut books = self.0.lock();
        let id = books.next_account;
        books.next_account += 1;
        books.shares.open(id);
        Account(Arc::new(Owner { books: self.0.clone(), id, requests: Default::default() }))
    }

    /// Counts work that no single peer is to be charged with.
    pub fn charge(&self, work: &Work) {
        self.0.lock().charge(work);
    }

    /// What was spent.
    pub fn spending(&self) -> Spending {
        self.0.lock().spending
    }

    /// Why nothing more can be spent in this event, if so.
    pub fn spent(&self) -> Option<Spent> {
        self.0.lock().spent()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ledger").field(&self.spending()).finish()
    }
}

/// A peer's account in a [`Ledger`]. Cloning gives another hand on the same account.
#[derive(Clone)]
pub struct Account(Arc<Owner>);

struct Owner {
    books: Arc<Mutex<Books>>,
    id: u64,
    /// Requests begun by this account, over all events, by [`Kind`].
    requests: [AtomicU64; 4],
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut books = self.books.lock();
        books.shares.close(self.id);
        books.queue.wake_all();
    }
}

impl Account {
    /// Waits for a place, then counts one request. The permit is to be dropped when the head of the answer is here.
    ///
    /// # Errors
    ///
    /// The event's budget is spent, or this account's part of it. Nothing was counted then.
    pub fn request(&self, kind: Kind) -> Request {
        Request::new(self.clone(), kind)
    }

    /// The requests that this account has begun since it was opened, over all events: by [`Kind`] in the order of its
    /// variants.
    pub fn requests(&self) -> [u64; 4] {
        self.0.requests.each_ref().map(|requests| requests.load(Ordering::Relaxed))
    }

    /// Counts work.
    pub fn charge(&self, work: &Work) {
        self.0.books.lock().charge(work);
    }

    /// Reserves memory. `None` if there is too little: an account never gets more than half of what the others left,
    /// so that there is always something for the next one.
    pub fn reserve(&self, bytes: usize) -> Option<Held> {
        let mut books = self.0.books.lock();
        let own = books.shares.bytes(self.0.id);
        let left_by_others = books.budget.bytes - (books.spending.bytes - own);
        if own.checked_add(bytes)? > left_by_others / 2 {
            return None;
        }
        books.spending.bytes += bytes;
        books.shares.hold(self.0.id, bytes);
        Some(Held { account: self.clone(), bytes })
    }

    /// Says that the platform refused a request for want of budget: nothing more is spent in this event.
    pub fn mark_exhausted(&self) {
        let mut books = self.0.books.lock();
        books.exhausted = true;
        books.queue.wake_all();
    }

    /// Whether this account could begin a request now, leaving aside who waits for a place.
    pub fn may_request(&self) -> Result<(), Spent> {
        let books = self.0.books.lock();
        match books.spent() {
            Some(spent) => Err(spent),
            None if books.shares.may_draw(self.0.id) => Ok(()),
            None => Err(Spent::Requests),
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&self.0.id).finish()
    }
}

/// Reserved memory, given back on drop.
#[derive(Debug)]
pub struct Held {
    account: Account,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut books = self.account.0.books.lock();
        books.spending.bytes -= self.bytes;
        books.shares.release(self.account.0.id, self.bytes);
    }
}

#[cfg(test)]
mod tests;
