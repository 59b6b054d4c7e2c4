//! Which range of which CAR to read next: a queue of wanted places, and the rules by which they are joined. Pure.
//!
//! - The queue is swept like a disk: the next run begins at the first want at or behind the place where the last one
//!   was to end, and goes round.
//! - A run goes on to the next want while the *gap* between them is small. Where wants take too many requests, the gap
//!   grows as far as it must and may: a request costs more than the bytes that are passed over.
//! - A run that begins where another one ended, whose bytes were nearly all wanted, is *sequential*: it reads on beyond
//!   the wants, twice as far each time.
//! - What an open run will pass is not planned: it serves also the wants that come while it is open.

mod gap;

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::Range;

use self::gap::Credit;

/// Where a section begins: in which CAR, by the number that the reader knows it under, and where in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The number of the CAR.
    pub car: u32,
    /// Bytes from its start.
    pub offset: u64,
}

/// How reads are joined. All lengths in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Wants that lie at most this far apart are read by one request.
    pub gap: u64,
    /// The gap may grow to this where a CAR's wants would take more requests than [`requests`](Self::requests).
    pub max_gap: u64,
    /// So many requests to one CAR are few enough, and beyond these a sixteenth of the wants that they serve.
    pub requests: usize,
    /// The longest run of wants.
    pub max_run: u64,
    /// The first sequential run is at least so long.
    pub first_ahead: u64,
    /// No sequential run is longer for being sequential.
    pub max_ahead: u64,
    /// A run that joins the end of an open one is not begun before that one has only so much left.
    pub lead: u64,
}

impl Default for Tuning {
    /// For a bucket behind HTTP, where requests are counted.
    fn default() -> Self {
        Self {
            gap: 512 << 10,
            max_gap: 4 << 20,
            requests: 24,
            max_run: 32 << 20,
            first_ahead: 4 << 20,
            max_ahead: 64 << 20,
            lead: 2 << 20,
        }
    }
}

/// A range to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The number of the CAR.
    pub car: u32,
    /// Where a section begins, that of the first want.
    pub start: u64,
    /// Where to stop: behind the last want or further.
    pub end: u64,
    /// Whether it reads on beyond the wants, so that what it passes will probably be wanted.
    pub sequential: bool,
}

/// What is left of a run that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The run as it was planned.
    pub run: Run,
    /// How far it came.
    pub at: u64,
}

/// The queue. Wants are known by the keys that the reader's host gave them.
#[derive(Debug)]
pub struct Plan {
    tuning: Tuning,
    wants: BTreeMap<Place, Wanted>,
    /// The sweep goes on here.
    cursor: Place,
    trails: Vec<Trail>,
    /// What requests were made of late, the last CAR's last.
    credits: Vec<Credit>,
}

#[derive(Debug)]
struct Wanted {
    /// Where the section ends, or where it will be taken to end.
    end: u64,
    /// No section begins here but the block itself, which ends exactly there.
    bare: bool,
    keys: Vec<u64>,
}

/// One of the last runs, which the next one may follow.
#[derive(Debug)]
struct Trail {
    run: Run,
    /// How far it came, or will.
    end: u64,
    /// Bytes of it that were wanted.
    served: u64,
    ahead: u64,
}

/// So many streams can be read ahead side by side.
const TRAILS: usize = 4;

impl Plan {
    /// An empty queue.
    pub fn new(tuning: Tuning) -> Self {
        Self { tuning, wants: BTreeMap::new(), cursor: Place::default(), trails: Vec::new(), credits: Vec::new() }
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// Adds a want for the section at `place`, which ends at `end` or may be taken to.
    pub fn insert(&mut self, place: Place, end: u64, key: u64) {
        self.add(place, end, key, false);
    }

    /// Adds a want for the block whose own bytes lie from `place` to `end`. Where a section is wanted that should begin at
    /// the same place, one of the two is wrong, and both are taken for sections.
    pub fn insert_bare(&mut self, place: Place, end: u64, key: u64) {
        self.add(place, end, key, true);
    }

    fn add(&mut self, place: Place, end: u64, key: u64, bare: bool) {
        let wanted = self.wants.entry(place).or_insert_with(|| Wanted { end, bare, keys: Vec::new() });
        wanted.bare &= bare && wanted.end == end;
        wanted.end = wanted.end.max(end);
        wanted.keys.push(key);
    }

    /// Where the block ends whose own bytes begin at `place`. `None`: a section is wanted there, or nothing.
    pub fn bare_end(&self, place: Place) -> Option<u64> {
        self.wants.get(&place).filter(|wanted| wanted.bare).map(|wanted| wanted.end)
    }

    /// Says where the section at `place` really ends.
    pub fn set_end(&mut self, place: Place, end: u64) {
        if let Some(wanted) = self.wants.get_mut(&place) {
            wanted.end = end;
        }
    }

    /// Forgets one want.
    pub fn remove(&mut self, place: Place, key: u64) {
        if let Some(wanted) = self.wants.get_mut(&place) {
            wanted.keys.retain(|other| *other != key);
            if wanted.keys.is_empty() {
                self.wants.remove(&place);
            }
        }
    }

    /// Takes all wants for the section at `place`, because they are answered or have failed.
    pub fn take(&mut self, place: Place) -> Vec<u64> {
        self.wants.remove(&place).map_or_else(Vec::new, |wanted| wanted.keys)
    }

    /// The wants for the section at `place`.
    pub fn keys_at(&self, place: Place) -> Vec<u64> {
        self.wants.get(&place).map_or_else(Vec::new, |wanted| wanted.keys.clone())
    }

    /// The first wanted section that begins in this range of a CAR.
    pub fn first_in(&self, car: u32, range: Range<u64>) -> Option<u64> {
        if range.is_empty() {
            return None;
        }
        let places = Place { car, offset: range.start }..Place { car, offset: range.end };
        self.wants.range(places).next().map(|(place, _)| place.offset)
    }

    /// The wanted sections that begin in this range of a CAR, in order.
    pub fn all_in(&self, car: u32, range: Range<u64>) -> impl Iterator<Item = Place> {
        let end = range.end.max(range.start);
        let places = Place { car, offset: range.start }..Place { car, offset: end };
        self.wants.range(places).map(|(place, _)| *place)
    }

    /// Says that a section of this length was given out.
    pub fn served(&mut self, place: Place, len: u64) {
        let covers = |run: &Run| run.car == place.car && (run.start..run.end).contains(&place.offset);
        if let Some(trail) = self.trails.iter_mut().rev().find(|trail| covers(&trail.run)) {
            trail.served += len;
        }
        self.refund_want(place.car);
    }

    /// Says that a run was closed having come to `at`. One that was given up well before its end reads less far ahead
    /// when it is taken up again.
    pub fn closed(&mut self, run: &Run, at: u64) {
        if let Some(trail) = self.trails.iter_mut().find(|trail| trail.run == *run)
            && at < run.end
        {
            trail.end = at;
            if run.end - at > self.tuning.lead {
                trail.ahead /= 4;
            }
        }
    }

    /// The next run: one for which `ready` says that its CAR may be read now, and that no open run will pass. Call it
    /// again while there is room for more; `None` also where wants are better left to an open run's successor.
    ///
    /// `boundary` tells for a place in a CAR where a section begins, there or later: a run that reads ahead ends there
    /// rather than within a section. Where that is not known, it returns the place itself.
    pub fn next_run(
        &mut self,
        open: &[Span],
        ready: impl Fn(u32) -> bool,
        boundary: impl Fn(Place) -> u64,
    ) -> Option<Run> {
        let first = self
            .first_free(Some(self.cursor), None, open, &ready)
            .or_else(|| self.first_free(None, Some(self.cursor), open, &ready))?;
        let fence = open.iter().filter(|span| span.run.car == first.car && span.at > first.offset);
        let fence = fence.map(|span| span.at).min().unwrap_or(u64::MAX);
        let end = self.joined(first, fence);
        let run = Run { car: first.car, start: first.offset, end, sequential: false };
        let run = self.follow(run, open, |offset| boundary(Place { car: run.car, offset }).min(fence));
        self.cursor = Place { car: run.car, offset: run.end };
        self.charge_request(run.car);
        Some(run)
    }

    /// The first want in a part of the queue that is not left to an open run.
    fn first_free(
        &self,
        from: Option<Place>,
        upto: Option<Place>,
        open: &[Span],
        ready: &impl Fn(u32) -> bool,
    ) -> Option<Place> {
        let mut from = from.map_or(Unbounded, Included);
        let upto = upto.map_or(Unbounded, Excluded);
        loop {
            if let (Included(from) | Excluded(from), Excluded(upto)) = (from, upto)
                && from >= upto
            {
                return None;
            }
            let (place, _) = self.wants.range((from, upto)).next()?;
            let next = if ready(place.car) {
                open.iter().filter(|span| span.run.car == place.car).find_map(|span| self.left_to(span, place.offset))
            } else {
                Some(u64::MAX)
            };
            match next {
                None => return Some(*place),
                Some(offset) => from = Excluded(Place { car: place.car, offset }),
            }
        }
    }

    /// If the want at `offset` is left to an open run or to what follows it: all up to which offset are.
    fn left_to(&self, span: &Span, offset: u64) -> Option<u64> {
        let end = span.run.end;
        let successor = end.saturating_add(self.tuning.gap);
        if (span.at..end).contains(&offset) {
            Some(end - 1)
        } else if (end..=successor).contains(&offset) && end.saturating_sub(span.at) > self.tuning.lead {
            Some(successor)
        } else {
            None
        }
    }

    /// Where a run that begins at `first` ends, by the wants that lie near enough.
    fn joined(&self, first: Place, fence: u64) -> u64 {
        let gap = self.gap_in(first.car);
        let limit = first.offset.saturating_add(self.tuning.max_run);
        let upto = Place { car: first.car, offset: fence };
        let mut wants = self.wants.range(first..upto);
        let mut end = wants.next().map_or(first.offset, |(_, wanted)| wanted.end);
        for (place, wanted) in wants {
            if place.offset > end.saturating_add(gap) || wanted.end > limit {
                break;
            }
            end = end.max(wanted.end);
        }
        end
    }

    /// The run, longer if it follows another one; and noted, so that others may follow it.
    fn follow(&mut self, run: Run, open: &[Span], boundary: impl Fn(u64) -> u64) -> Run {
        let gap = self.tuning.gap;
        let follows = |trail: &Trail| {
            let passed = open.iter().find(|span| span.run == trail.run).map_or(trail.end, |span| span.at);
            trail.run.car == run.car
                && (trail.end..=trail.end.saturating_add(gap)).contains(&run.start)
                && 2 * trail.served >= passed.saturating_sub(trail.run.start)
        };
        let followed = self.trails.iter().position(follows).map(|number| self.trails.remove(number));
        let ahead = followed
            .map_or(0, |trail| trail.ahead.saturating_mul(2).clamp(self.tuning.first_ahead, self.tuning.max_ahead));
        let far = boundary(run.start.saturating_add(ahead));
        let run = Run { end: run.end.max(far), sequential: far > run.end, ..run };
        if self.trails.len() == TRAILS {
            self.trails.remove(0);
        }
        self.trails.push(Trail { run, end: run.end, served: 0, ahead });
        run
    }
}

#[cfg(test)]
mod tests;
