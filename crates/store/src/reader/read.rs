//! Ranges opened as the plan has them, and what comes of them.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;

use super::Reader;
use super::run::{Event, Run};
use crate::library::Failure;
use crate::plan::{self, Place, Span};

/// A CAR up to this length is read whole for its first block, in bytes.
const TINY: u64 = 1 << 20;
/// A larger one is when so many of its blocks are wanted, or it is read for the second time.
const SEVERAL: usize = 4;

impl Reader {
    /// Goes on reading, and says whether anything came of it. Without room, only what was asked for is waited for.
    pub(super) fn poll_reads(&mut self, cx: &mut Context<'_>, room: bool) -> bool {
        let mut moved = self.poll_loading(cx);
        if !room {
            return moved | self.poll_opening(cx);
        }
        moved |= self.poll_waits(cx);
        if self.give_hit() || self.give_from_whole() {
            return true;
        }
        moved |= self.poll_runs(cx);
        // Answers go first: they make room in the window, and wants behind them come sooner.
        if self.answers.is_empty() {
            moved |= self.open();
        }
        moved
    }

    fn poll_loading(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        let mut place = 0;
        while let Some((number, load)) = self.loading.get_mut(place) {
            let number = *number;
            match load.poll_unpin(cx) {
                Poll::Pending => place += 1,
                Poll::Ready(whole) => {
                    drop(self.loading.remove(place));
                    moved = true;
                    match whole {
                        Ok(whole) => self.whole.push((number, whole)),
                        Err(Failure::NoRoom) => {
                            if let Some(car) = self.cars.get_mut(number) {
                                car.streamed = true;
                            }
                        }
                        Err(failure) => {
                            let places = self.plan.all_in(number, 0..u64::MAX).collect();
                            self.failed(number, places, &failure);
                        }
                    }
                }
            }
        }
        moved
    }

    /// Waits for the heads of answers, which others may be waiting to ask for.
    fn poll_opening(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        let mut place = 0;
        while let Some(run) = self.runs.get_mut(place) {
            if !run.is_opening() {
                run.pause();
                place += 1;
                continue;
            }
            match run.poll_open(cx) {
                Poll::Pending => place += 1,
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(failure)) => {
                    moved = true;
                    self.end_run(place, Some(failure));
                }
            }
        }
        moved
    }

    fn poll_runs(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        let mut place = 0;
        while let Some(run) = self.runs.get_mut(place) {
            let span = run.span();
            let Poll::Ready(event) = run.poll(cx, &self.plan, &mut self.window) else {
                place += 1;
                continue;
            };
            moved = true;
            match event {
                Event::Section(section) => {
                    run.served = true;
                    // The others have their turn before this one has its next.
                    self.runs[place..].rotate_left(1);
                    if let Some(car) = self.cars.get_mut(span.run.car) {
                        car.failures = 0;
                    }
                    self.give(Place { car: span.run.car, offset: section.offset }, section);
                    break;
                }
                Event::Bare(at, data) => {
                    run.served = true;
                    self.runs[place..].rotate_left(1);
                    if let Some(car) = self.cars.get_mut(at.car) {
                        car.failures = 0;
                    }
                    self.give_bare(at, data);
                    break;
                }
                Event::Longer(at, end) => {
                    self.plan.set_end(at, end);
                    if let Some(car) = self.cars.get_mut(at.car) {
                        car.expected = car.expected.max(end - at.offset);
                    }
                    // A run that reads ahead may end anywhere.
                    if !span.run.sequential {
                        self.count_try(at);
                    }
                }
                Event::Broken(at, what) => self.is_broken(at, &what),
                Event::Done => self.end_run(place, None),
                Event::Failed(failure) => self.end_run(place, Some(failure)),
            }
        }
        moved
    }

    /// Closes a run, and if it failed says whose reads that were: those of all that were left, or, where it came some
    /// way, only of the one it failed at.
    fn end_run(&mut self, place: usize, failure: Option<Failure>) {
        let run = self.runs.remove(place);
        let Span { run: planned, at } = run.span();
        self.plan.closed(&planned, at);
        if let Some(failure) = failure {
            let left = self.plan.all_in(planned.car, at..planned.end);
            let blamed = left.take(if run.served { 1 } else { usize::MAX }).collect();
            self.failed(planned.car, blamed, &failure);
        }
    }

    /// Opens what the plan has, as many ranges as may be open at a time.
    fn open(&mut self) -> bool {
        let mut moved = false;
        while self.spent.is_none() {
            let (unwanted, wanted): (Vec<usize>, Vec<usize>) =
                (0..self.runs.len()).partition(|place| self.runs[*place].is_unwanted(&self.plan));
            if wanted.len() + self.loading.len() >= self.library.config.runs.max(1) {
                break;
            }
            let spans: Vec<Span> = wanted.iter().map(|place| self.runs[*place].span()).collect();
            let ready = |number| {
                self.cars.get(number).is_some_and(|car| car.wait.is_none())
                    && self.loading.iter().all(|(other, _)| *other != number)
                    && self.whole.iter().all(|(other, _)| *other != number)
            };
            let boundary = |place: Place| {
                let index = self.cars.get(place.car).and_then(|car| self.library.cached_index(&car.cid));
                index.map_or(place.offset, |index| index.boundary(place.offset))
            };
            let Some(run) = self.plan.next_run(&spans, ready, boundary) else { break };
            moved = true;
            // What was being read ahead and nobody came for makes way.
            for place in unwanted.into_iter().rev() {
                self.end_run(place, None);
            }
            self.begin(run);
        }
        moved
    }

    fn begin(&mut self, run: plan::Run) {
        let Some(cid) = self.cars.get(run.car).map(|car| car.cid) else { return };
        if let Some(whole) = self.library.cached_whole(&cid) {
            self.whole.push((run.car, whole));
            return;
        }
        let whole = self.length_if_better_whole(run.car);
        if let Some(car) = self.cars.get_mut(run.car) {
            car.reads += 1;
        }
        if let Some(length) = whole {
            self.loading.push((run.car, self.library.whole(cid, length, &self.account)));
            return;
        }
        let (library, account) = (Arc::clone(&self.library), self.account.clone());
        let open = async move { library.open_car(cid, run.start..run.end, &account).await };
        self.runs.push(Run::new(&self.library, run, open.boxed()));
    }

    /// About how long a CAR is, if it is small enough and wanted enough to be read whole.
    fn length_if_better_whole(&self, number: u32) -> Option<u64> {
        let car = self.cars.get(number).filter(|car| !car.streamed)?;
        let extent = self.library.cached_index(&car.cid)?.extent()?;
        let length = extent.saturating_add(car.expected);
        let wanted = || self.plan.all_in(number, 0..u64::MAX).nth(SEVERAL - 1).is_some();
        (length <= self.library.config.whole_car && (extent <= TINY || car.reads > 0 || wanted())).then_some(length)
    }
}
