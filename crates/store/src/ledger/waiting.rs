//! Requests that wait for one of the few places where a request may wait for the head of its answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::{Account, Books, Kind, Spent, Work};

/// Who waits. A free place is anybody's who holds no more places than every other account that waits: so the places
/// go round, and one who does not come when called keeps nobody else from coming.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: BTreeMap<u64, (u64, Waker)>,
    next: u64,
}

impl Queue {
    /// Calls all: they are few, and the first to come who may take the place takes it.
    pub(super) fn wake_all(&mut self) {
        self.waiters.values().for_each(|(_, waker)| waker.wake_by_ref());
    }
}

impl Books {
    fn has_place_for(&self, account: u64) -> bool {
        let own = self.shares.waiting(account);
        self.spending.waiting < self.budget.waiting
            && self.queue.waiters.values().all(|(other, _)| *other == account || own <= self.shares.waiting(*other))
    }
}

/// A request to be: see [`Account::request`].
#[derive(Debug)]
#[must_use = "nothing is reserved before it is awaited"]
pub struct Request {
    account: Account,
    kind: Kind,
    ticket: Option<u64>,
}

impl Request {
    pub(super) fn new(account: Account, kind: Kind) -> Self {
        Self { account, kind, ticket: None }
    }
}

impl Future for Request {
    type Output = Result<Permit, Spent>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let account = this.account.0.id;
        let mut books = this.account.0.books.lock();
        let spent = books.spent().or_else(|| (!books.shares.may_draw(account)).then_some(Spent::Requests));
        let ready = match spent {
            Some(spent) => Err(spent),
            None if books.has_place_for(account) => {
                books.shares.draw(account);
                books.shares.wait(account);
                books.spending.waiting += 1;
                books.spending.requests[this.kind as usize] += 1;
                this.account.0.requests[this.kind as usize].fetch_add(1, Ordering::Relaxed);
                books.charge(&Work { requests: 1, ..Work::default() });
                Ok(())
            }
            None => {
                let queue = &mut books.queue;
                let ticket = *this.ticket.get_or_insert_with(|| {
                    queue.next += 1;
                    queue.next
                });
                queue.waiters.insert(ticket, (account, cx.waker().clone()));
                return Poll::Pending;
            }
        };
        if let Some(ticket) = this.ticket.take() {
            books.queue.waiters.remove(&ticket);
            // Others may have stood back for this account.
            books.queue.wake_all();
        }
        drop(books);
        Poll::Ready(ready.map(|()| Permit { account: this.account.clone() }))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let mut books = self.account.0.books.lock();
            books.queue.waiters.remove(&ticket);
            books.queue.wake_all();
        }
    }
}

/// One place among the requests that wait for the head of their answer, given back on drop. The request itself
/// stays counted.
#[derive(Debug)]
pub struct Permit {
    account: Account,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut books = self.account.0.books.lock();
        books.spending.waiting -= 1;
        books.shares.waited(self.account.0.id);
        books.queue.wake_all();
    }
}
