//! One range that is being read: from the request to the last section that anybody wants of it.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_car::MAX_HEAD_LEN;

use super::window::Window;
use crate::cut::{Cutter, Section};
use crate::library::{Body, Failure, LOOK_AGAIN, Library, Opened, Room, Timer};
use crate::plan::{self, Place, Plan, Span};

/// What is received of a section without asking for room, in bytes.
const UNCOUNTED: u64 = 64 << 10;

pub(super) struct Run {
    plan: plan::Run,
    cutter: Cutter,
    phase: Phase,
    /// Sections are cut one after another, so that those nobody wants yet are kept.
    ahead: bool,
    /// A wanted section came out of it.
    pub(super) served: bool,
    /// Nothing it will pass is wanted, and the window is full.
    paused: bool,
    /// For what is there of the next section.
    room: Room,
    timer: Arc<dyn Timer>,
    /// Until there may be more room.
    wait: Option<BoxFuture<'static, ()>>,
}

enum Phase {
    Opening(BoxFuture<'static, Result<Opened, Failure>>),
    Reading { body: Body, size: u64 },
}

/// What a run comes to.
pub(super) enum Event {
    /// A wanted section. Its bytes were not compared with the CID.
    Section(Section),
    /// A wanted block by itself, the same.
    Bare(Place, Bytes),
    /// The wanted section here ends there, beyond what was asked for.
    Longer(Place, u64),
    /// There is no section, or not a whole one.
    Broken(Place, String),
    /// Nothing more is wanted of it.
    Done,
    /// The rest of it was not read.
    Failed(Failure),
}

impl Run {
    pub(super) fn new(library: &Library, plan: plan::Run, open: BoxFuture<'static, Result<Opened, Failure>>) -> Self {
        Self {
            plan,
            cutter: Cutter::new(plan.start),
            phase: Phase::Opening(open),
            ahead: plan.sequential,
            served: false,
            paused: false,
            room: library.room_for_sections(),
            timer: Arc::clone(&library.config.timer),
            wait: None,
        }
    }

    pub(super) fn span(&self) -> Span {
        Span { run: self.plan, at: self.cutter.at() }
    }

    /// Whether it waits for its request to be answered, which goes on whether there is room or not.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening(_))
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether nothing that it will pass is wanted.
    pub(super) fn is_unwanted(&self, plan: &Plan) -> bool {
        plan.first_in(self.plan.car, self.cutter.at()..self.plan.end).is_none()
    }

    /// It will not be polled for a while.
    pub(super) fn pause(&mut self) {
        if let Phase::Reading { body, .. } = &mut self.phase {
            body.pause();
        }
    }

    /// Waits for the answer to the request.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Phase::Opening(open) = &mut self.phase else { return Poll::Ready(Ok(())) };
        match ready!(open.poll_unpin(cx)) {
            Ok(opened) if opened.body.start() == self.plan.start => {
                self.phase = Phase::Reading { body: opened.body, size: opened.size };
                Poll::Ready(Ok(()))
            }
            Ok(_) => Poll::Ready(Err(Failure::failed("the answer is another range than was asked for"))),
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }

    /// Whether what is being cut, so many bytes in all, may be received as a whole. If not, it is asked again after a while.
    fn poll_room(&mut self, cx: &mut Context<'_>, needed: u64) -> Poll<()> {
        let needed = if needed > UNCOUNTED { usize::try_from(needed).unwrap_or(usize::MAX) } else { 0 };
        while !self.room.resize_or_alone(needed) {
            // Who waits holds nothing that others wait for.
            self.room.resize(0);
            let timer = &self.timer;
            ready!(self.wait.get_or_insert_with(|| timer.sleep(LOOK_AGAIN)).poll_unpin(cx));
            self.wait = None;
        }
        self.wait = None;
        Poll::Ready(())
    }

    /// Reads on to the next thing that is of interest. Pending also where it is paused.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, plan: &Plan, window: &mut Window) -> Poll<Event> {
        self.paused = false;
        if let Err(failure) = ready!(self.poll_open(cx)) {
            return Poll::Ready(Event::Failed(failure));
        }
        let plan::Run { car, end, .. } = self.plan;
        loop {
            let at = self.cutter.at();
            let next = plan.first_in(car, at..end);
            let bare = next.and_then(|offset| plan.bare_end(Place { car, offset }));
            let far = next.is_some_and(|next| {
                // The head in front of a block by itself is not to be taken for a section of its own.
                let least = if bare.is_some() { MAX_HEAD_LEN as u64 } else { 0 };
                next > at && (!self.ahead || next - at <= least || next - at > window.limit() as u64)
            });
            match next {
                _ if at >= end => return Poll::Ready(Event::Done),
                None if !self.ahead => return Poll::Ready(Event::Done),
                // Half a section that nobody wants any more is not kept from those who could finish theirs.
                None if !window.has_room() && self.room.size() > 0 => return Poll::Ready(Event::Done),
                None if !window.has_room() => {
                    self.pause();
                    self.paused = true;
                    return Poll::Pending;
                }
                Some(next) if far => self.cutter.skip_to(next),
                _ => {}
            }
            let place = Place { car, offset: self.cutter.at() };
            let wanted = next == Some(place.offset);
            let bare = bare.filter(|_| wanted);
            let needed;
            if let Some(end) = bare {
                needed = end - place.offset;
                if let Some(data) = self.cutter.next_bare(needed) {
                    self.room.resize(0);
                    return Poll::Ready(Event::Bare(place, data));
                }
            } else {
                match self.cutter.next_section() {
                    Ok(Some(section)) if wanted => {
                        self.room.resize(0);
                        return Poll::Ready(Event::Section(section));
                    }
                    Ok(Some(section)) => {
                        self.room.resize(0);
                        window.push(place, section);
                        continue;
                    }
                    Ok(None) => needed = self.cutter.head().ok().flatten().map_or(0, |head| head.section_len()),
                    Err(error) => {
                        // From here on it is not known where a section begins.
                        self.ahead = false;
                        self.cutter.skip_to(place.offset + 1);
                        match wanted {
                            true => return Poll::Ready(Event::Broken(place, error.to_string())),
                            false => continue,
                        }
                    }
                }
            }
            if self.poll_room(cx, needed).is_pending() {
                self.pause();
                return Poll::Pending;
            }
            let Phase::Reading { body, size } = &mut self.phase else { return Poll::Pending };
            match ready!(body.poll_chunk(cx)) {
                Ok(Some(chunk)) => self.cutter.push(chunk),
                Ok(None) if !wanted => return Poll::Ready(Event::Done),
                Ok(None) if body.end() >= *size => {
                    let what = format!("it ends at byte {size}, within the section at {}", place.offset);
                    self.cutter.skip_to(end);
                    return Poll::Ready(Event::Broken(place, what));
                }
                // It came to be wanted when the range was already asked for.
                Ok(None) if bare.is_some() => return Poll::Ready(Event::Done),
                Ok(None) => {
                    let longer = needed.max(end - place.offset + 4096);
                    self.cutter.skip_to(end);
                    return Poll::Ready(Event::Longer(place, place.offset + longer));
                }
                Err(failure) => return Poll::Ready(Event::Failed(failure)),
            }
        }
    }
}
