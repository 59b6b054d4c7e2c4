use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

fn budget(requests: u64, waiting: usize) -> Budget {
    Budget { requests, cpu: Duration::from_secs(1), bytes: 1 << 20, waiting, costs: Costs::default() }
}

#[test]
fn requests_are_counted_when_they_get_a_place_and_places_come_back_on_drop() {
    let ledger = Ledger::new(budget(10, 2));
    let account = ledger.account();
    let first = account.request(Kind::Read).now_or_never().unwrap().unwrap();
    let _second = account.request(Kind::List).now_or_never().unwrap().unwrap();
    let mut third = account.request(Kind::Read);
    assert!(third.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(ledger.spending().requests, [1, 1, 0, 0]);
    drop(first);
    assert!(third.now_or_never().unwrap().is_ok());
    assert_eq!(ledger.spending().requests, [2, 1, 0, 0]);
    assert_eq!(ledger.spending().waiting, 1);
}

#[test]
fn a_budget_that_is_spent_refuses_until_the_next_event() {
    let ledger = Ledger::new(budget(2, 6));
    let account = ledger.account();
    for _ in 0..2 {
        drop(account.request(Kind::Kv).now_or_never().unwrap().unwrap());
    }
    assert_eq!(account.request(Kind::Kv).now_or_never().unwrap().unwrap_err(), Spent::Requests);
    ledger.begin_event();
    assert!(account.request(Kind::Kv).now_or_never().unwrap().is_ok());

    account.mark_exhausted();
    assert_eq!(account.may_request(), Err(Spent::Platform));
    ledger.begin_event();
    account.charge(&Work { handshakes: 100, ..Work::default() });
    assert_eq!(account.may_request(), Err(Spent::Cpu));
    assert_eq!(ledger.spent(), Some(Spent::Cpu));
}

#[test]
fn what_waits_for_a_place_is_told_when_the_budget_ends_meanwhile() {
    let ledger = Ledger::new(budget(10, 1));
    let account = ledger.account();
    let _permit = account.request(Kind::Read).now_or_never().unwrap().unwrap();
    let mut waits = account.request(Kind::Read);
    assert!(waits.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
    account.mark_exhausted();
    assert_eq!(waits.now_or_never().unwrap().unwrap_err(), Spent::Platform);
}

#[test]
fn a_peer_that_holds_places_stands_back_for_one_that_has_none() {
    let ledger = Ledger::new(budget(100, 2));
    let (greedy, modest) = (ledger.account(), ledger.account());
    let _one = greedy.request(Kind::Read).now_or_never().unwrap().unwrap();
    let two = greedy.request(Kind::Read).now_or_never().unwrap().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut again = greedy.request(Kind::Read);
    let mut first = modest.request(Kind::Read);
    assert!(again.poll_unpin(&mut cx).is_pending());
    assert!(first.poll_unpin(&mut cx).is_pending());
    drop(two);
    assert!(again.poll_unpin(&mut cx).is_pending());
    let Poll::Ready(Ok(permit)) = first.poll_unpin(&mut cx) else { panic!("there is a place") };
    assert!(again.poll_unpin(&mut cx).is_pending());
    drop(permit);
    assert!(again.poll_unpin(&mut cx).is_ready());
}

#[test]
fn one_account_holds_half_of_the_memory_at_most() {
    let ledger = Ledger::new(budget(1, 1));
    let (one, two) = (ledger.account(), ledger.account());
    let held = one.reserve(512 << 10).unwrap();
    assert!(one.reserve(1).is_none());
    let _other = two.reserve(256 << 10).unwrap();
    assert_eq!(ledger.spending().bytes, 768 << 10);
    assert!(two.reserve(1).is_none());
    drop(held);
    assert!(two.reserve(256 << 10).is_some());
    assert!(Ledger::new(Budget::UNLIMITED).account().reserve(1 << 40).is_some());
}

#[test]
fn the_platforms_limit_is_recognised_inside_a_stores_error() {
    let inner = object_store::Error::Generic { store: "R2", source: Box::new(TooManySubrequests) };
    assert_eq!(Spent::of(&inner), Some(Spent::Platform));
    let other = object_store::Error::Generic { store: "R2", source: "internal error".into() };
    assert_eq!(Spent::of(&other), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Peers ask, get their answers and give up in any order: the books never show more than the budget, everything
    /// is given back, and whoever keeps asking gets a place.
    #[test]
    fn the_books_hold_in_any_order(
        requests in 1u64..60,
        waiting in 1usize..7,
        steps in prop::collection::vec((0usize..5, 0u8..4), 0..300),
    ) {
        let ledger = Ledger::new(Budget { cpu: Duration::MAX, ..budget(requests, waiting) });
        let accounts: Vec<Account> = (0..5).map(|_| ledger.account()).collect();
        let mut asking: Vec<Vec<Request>> = (0..5).map(|_| Vec::new()).collect();
        let mut permits: Vec<Vec<Permit>> = (0..5).map(|_| Vec::new()).collect();
        let mut cx = Context::from_waker(Waker::noop());
        for (who, what) in steps {
            match what {
                0 => asking[who].push(accounts[who].request(Kind::Read)),
                1 => drop(permits[who].pop()),
                2 => drop(asking[who].pop()),
                _ => {
                    let mut still = Vec::new();
                    for mut request in asking[who].drain(..) {
                        match request.poll_unpin(&mut cx) {
                            Poll::Ready(Ok(permit)) => permits[who].push(permit),
                            Poll::Ready(Err(spent)) => prop_assert_eq!(spent, Spent::Requests),
                            Poll::Pending => still.push(request),
                        }
                    }
                    asking[who] = still;
                }
            }
            let spending = ledger.spending();
            prop_assert!(spending.requests[0] <= requests);
            prop_assert!(spending.waiting <= waiting);
            prop_assert_eq!(spending.waiting, permits.iter().map(Vec::len).sum::<usize>());
        }
        ledger.begin_event();
        permits.clear();
        // Everybody who still asks has a place at once, and gives it back.
        for request in asking.iter_mut().flat_map(|requests| requests.drain(..)).take(requests as usize / 8) {
            prop_assert!(matches!(request.now_or_never(), Some(Ok(_))));
        }
        prop_assert_eq!(ledger.spending().waiting, 0);
    }
}

#[test]
fn an_account_knows_what_it_has_begun_over_all_events() {
    let ledger = Ledger::new(Budget::UNLIMITED);
    let (one, other) = (ledger.account(), ledger.account());
    for _ in 0..3 {
        drop(one.request(Kind::Read).now_or_never().unwrap().unwrap());
        ledger.begin_event();
    }
    drop(one.request(Kind::List).now_or_never().unwrap().unwrap());
    assert_eq!((one.requests(), other.requests()), ([3, 1, 0, 0], [0; 4]));
}
