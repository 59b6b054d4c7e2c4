//! A cache bounded by what its values cost, and reads under way that several wait for.

use std::collections::BTreeMap;
use std::hash::Hash;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use lru::LruCache;
use parking_lot::Mutex;

use super::Failure;

/// The least recently used go first.
pub(crate) struct Cache<K, V> {
    entries: LruCache<K, (V, usize)>,
    cost: usize,
    limit: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: LruCache::unbounded(), cost: 0, limit }
    }

    pub(crate) fn find(&mut self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// What all values together cost.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Keeps a value, unless it costs more than all may.
    pub(crate) fn insert(&mut self, key: K, value: V, cost: usize) {
        self.remove(&key);
        if cost > self.limit {
            return;
        }
        while self.cost > self.limit - cost && self.remove_oldest() {}
        self.cost += cost;
        self.entries.put(key, (value, cost));
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((_, cost)) = self.entries.pop(key) {
            self.cost -= cost;
        }
    }

    /// Lets what is kept cost more from now on; the oldest make room. `false`: not even all of them would.
    pub(crate) fn reprice(&mut self, key: &K, cost: usize) -> bool {
        if cost > self.limit {
            return false;
        }
        // Being looked at makes it the newest.
        let Some((_, priced)) = self.entries.get_mut(key) else { return false };
        self.cost = self.cost - *priced + cost;
        *priced = cost;
        while self.cost > self.limit && self.remove_oldest() {}
        true
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&K, &V) -> bool)
    where
        K: Clone,
    {
        let drop: Vec<K> =
            self.entries.iter().filter(|(key, (value, _))| !keep(key, value)).map(|(key, _)| key.clone()).collect();
        drop.iter().for_each(|key| self.remove(key));
    }

    /// Whether there was one.
    pub(crate) fn remove_oldest(&mut self) -> bool {
        let oldest = self.entries.pop_lru();
        if let Some((_, (_, cost))) = &oldest {
            self.cost -= cost;
        }
        oldest.is_some()
    }
}

type Read<V> = BoxFuture<'static, Result<V, Failure>>;

/// Reads under way, each of which goes on as long as one who joined it is still there.
pub(crate) struct Flights<K, V: Clone>(Mutex<BTreeMap<K, WeakShared<Read<V>>>>);

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V: Clone> Flights<K, V> {
    /// The read under way for `key`, or the one that `start` makes. One that is over is not joined: its outcome is
    /// what a cache is for.
    pub(crate) fn join(&self, key: K, start: impl FnOnce() -> Read<V>) -> Shared<Read<V>> {
        let mut flights = self.0.lock();
        let under_way = |flight: &Shared<Read<V>>| flight.peek().is_none();
        if let Some(flight) = flights.get(&key).and_then(WeakShared::upgrade).filter(under_way) {
            return flight;
        }
        flights.retain(|_, flight| flight.upgrade().is_some());
        let flight = start().shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, weak);
        }
        flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_and_the_sum_stays_below_the_limit() {
        let mut cache = Cache::new(10);
        cache.insert(1, 'a', 4);
        cache.insert(2, 'b', 4);
        assert_eq!(cache.find(&1), Some(&'a'));
        cache.insert(3, 'c', 4);
        assert_eq!([1, 2, 3].map(|key| cache.find(&key).copied()), [Some('a'), None, Some('c')]);
        cache.insert(4, 'd', 11);
        assert_eq!((cache.find(&4).copied(), cache.cost), (None, 8));
        cache.insert(1, 'e', 10);
        assert_eq!([1, 3].map(|key| cache.find(&key).copied()), [Some('e'), None]);
        assert_eq!(cache.cost, 10);
    }

    #[test]
    fn a_read_is_shared_while_somebody_waits_and_begun_anew_afterwards() {
        let flights = Flights::<u8, u8>::default();
        let never = || -> Read<u8> { futures_util::future::pending().boxed() };
        let ready = || -> Read<u8> { async { Ok(1) }.boxed() };
        let first = flights.join(0, never);
        assert!(flights.join(0, ready).now_or_never().is_none());
        drop(first);
        assert!(matches!(flights.join(0, ready).now_or_never(), Some(Ok(1))));
    }
}
