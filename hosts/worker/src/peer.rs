//! One peer on a WebSocket, in either mode: its session, its reads, and what goes out. It does one thing at a time, when
//! it is told to, and never waits: waiting is the modes' part.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use hoverboard_peer::{Answer, Error as SessionError, Event, Held, Lookup, LookupKind, Session, Ticket};
use hoverboard_store::ledger::{Account, Work};
use hoverboard_store::library::Library;
use hoverboard_store::reader::{Found, Reader, Step, Want};
use hoverboard_store::{CarCid, memory};
use libp2p_identity::PeerId;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::WebSocket;

use crate::ended::Ended;
use crate::host::{Desk, Host};
use crate::kept::Kept;
use crate::memory as remembered;

#[wasm_bindgen(raw_module = "./platform.js")]
extern "C" {
    /// Sends a message of these bytes.
    #[wasm_bindgen(catch)]
    fn send(socket: &worker::web_sys::WebSocket, bytes: &[u8]) -> Result<(), JsValue>;
}

/// Bytes of a WebSocket message of ours: each costs a call into the platform.
const MESSAGE: usize = 256 * 1024;

/// Answers taken from the reader before what they make is sent.
const ANSWERS: usize = 64;

/// Bytes of a session that is worth freezing whenever it waits. Of one that is larger most is blocks that wait to be sent.
const KEPT: usize = 640 * 1024;

/// Bytes that wait to be sent, before no more blocks are taken from the reader: enough to have the next message full, and few
/// enough that freezing them costs little.
const UNSENT: usize = 256 * 1024;

/// What a want takes in a frozen session, in bytes.
const WANT_SIZE: usize = 48;

/// How often a memory that fails is asked again.
const RECALLS: u32 = 2;

/// The deadline of a session that has none.
const FAR: Duration = Duration::from_secs(3_600);

/// A peer that is connected.
pub(crate) struct Peer {
    pub(crate) socket: WebSocket,
    pub(crate) kept: Kept,
    /// Its socket is closed; whoever still holds it has nothing more to do.
    pub(crate) ended: bool,
    /// Whether an event waits for reads of this peer.
    pub(crate) pumping: bool,
    /// The peer did something that an event may wait for.
    pub(crate) nudged: bool,
    /// Goes up whenever the session changes: what was frozen before is old then.
    version: u64,
    /// A ping is behind all that was sent. It is frozen with the session: whoever thaws it would send another at every event,
    /// and each answer would be an event.
    probed: bool,
    /// There are CARs that the peer's memory does not know of.
    news: bool,
    /// It was not told of them yet: no answer out of them leaves before that was tried.
    untold: bool,
    /// The first of these answers.
    held_back: Option<(u64, Found)>,
    /// What wakes that event.
    pub(crate) waker: Option<Waker>,
    session: Session,
    library: Arc<Library>,
    reader: Reader,
    account: Account,
    held: Held,
    lookups: HashMap<u64, (Ticket, Cid, Want)>,
    next_lookup: u64,
    recall: Recall,
    /// Lookups that found nothing before the peer's memory was asked.
    missed: Vec<(u64, Found)>,
    /// How often the memory could not be asked.
    recalls: u32,
    /// The generation of the denylist that the open lookups were checked by, at the least.
    denied_by: u64,
    host: Rc<Host>,
}

/// Whether it is known which CARs the peer was reading when it was last here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recall {
    /// Not yet asked.
    Open,
    /// Asked, or it needs no asking.
    Done,
}

/// What the reads of a peer came to for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Answers came and were sent.
    Moved,
    /// An answer came out of CARs that the peer's memory does not know of. It is held back until it was
    /// [told](Peer::told): a peer that has a root asks for what is below it, which can be found by the memory alone.
    News,
    /// The peer wants nothing that could be read now.
    Quiet,
    /// What the event may spend is spent; there is more to do.
    Spent,
}

impl Peer {
    /// A peer whose session begins, or goes on after `cars` were read for it.
    pub(crate) fn new(desk: &Desk, socket: WebSocket, kept: Kept, session: Session, cars: Option<Vec<CarCid>>) -> Self {
        let recall = if cars.is_some() { Recall::Done } else { Recall::Open };
        let (host, account) = (desk.host.clone(), desk.ledger.account());
        let reader = Reader::new(desk.library.clone(), account.clone(), cars.unwrap_or_default());
        Self {
            socket,
            kept,
            ended: false,
            pumping: false,
            nudged: false,
            version: 0,
            probed: false,
            news: false,
            untold: false,
            held_back: None,
            waker: None,
            session,
            library: desk.library.clone(),
            reader,
            account,
            held: Held::new(host.bounds.clone()),
            lookups: HashMap::new(),
            next_lookup: 0,
            recall,
            missed: Vec::new(),
            recalls: 0,
            denied_by: host.deny.generation(),
            host,
        }
    }

    /// A peer whose session was kept.
    pub(crate) fn thaw(desk: &Desk, socket: WebSocket, kept: Kept, frozen: &[u8]) -> Result<Self, Ended> {
        let parts = postcard::from_bytes(frozen).map_err(SessionError::from)?;
        let (cars, news, probed, session): (Option<Vec<u8>>, bool, bool, Bytes) = parts;
        let session = Session::thaw(desk.host.sessions.clone(), &session)?;
        // A list that cannot be read is asked for again.
        let cars = cars.and_then(|cars| memory::decode(&cars).ok());
        Ok(Self { news, untold: news, probed, ..Self::new(desk, socket, kept, session, cars) })
    }

    pub(crate) fn id(&self) -> Option<PeerId> {
        self.session.peer()
    }

    /// Takes a message of the peer's.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], now: Duration) -> Result<(), Ended> {
        self.account.charge(&Work { sealed: bytes.len() as u64, frames: 1, ..Work::default() });
        self.version += 1;
        let result = self.session.receive(bytes, now);
        self.forget_cancelled();
        while let Some(event) = self.session.next_event() {
            if let Event::Connected(_) = event {
                self.account.charge(&Work { handshakes: 1, ..Work::default() });
            }
        }
        Ok(result?)
    }

    /// What the peer does not want any more is not read.
    fn forget_cancelled(&mut self) {
        let session = &self.session;
        let before = self.lookups.len();
        self.lookups.retain(|_, (ticket, ..)| session.is_open(*ticket));
        if self.lookups.len() < before {
            let lookups = &self.lookups;
            self.reader.retain(|key| lookups.contains_key(&key));
            self.missed.retain(|(key, _)| lookups.contains_key(key));
        }
    }

    /// Acts on a deadline that may have passed.
    pub(crate) fn wake(&mut self, now: Duration) -> Result<(), Ended> {
        if self.session.deadline().is_some_and(|deadline| deadline <= now) {
            self.version += 1;
            self.session.wake(now)?;
        }
        Ok(())
    }

    /// When [`wake`](Self::wake) has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.session.deadline()
    }

    /// When an event is needed for it, if the peer does nothing and no event is at work on it.
    pub(crate) fn due(&self, now: Duration) -> Option<Duration> {
        // While there is no room for what would be read, it is the peer that moves things on.
        if self.has_reads() && self.room() > 0 { Some(now) } else { self.deadline() }
    }

    /// The same, as it is said where the session is kept.
    pub(crate) fn kept_deadline(&self, now: Duration) -> Duration {
        self.due(now).unwrap_or(now + FAR)
    }

    fn room(&self) -> usize {
        self.session.room(self.held.allowance().min(UNSENT))
    }

    /// The next want that is to be looked up. None is before it is known what is denied; those of denied blocks are answered.
    fn next_lookup(&mut self) -> Option<Lookup> {
        let deny = &self.host.deny;
        if self.lookups.is_empty() {
            self.denied_by = deny.generation();
        }
        while !deny.is_pending() {
            let lookup = self.session.look_ahead()?;
            match deny.judge(&lookup.cid, &self.account) {
                None => return Some(lookup),
                Some(answer) => self.session.answer(lookup.ticket, answer),
            }
        }
        None
    }

    /// Hands new wants to the reader and sends what there is to send.
    pub(crate) fn turn(&mut self, now: Duration) -> Result<(), Ended> {
        if self.recall == Recall::Done || !self.recalls_first() {
            // What the reader has no room for it is given when it has answered something.
            while !self.reader.is_full()
                && let Some(lookup) = self.next_lookup()
            {
                let want = match lookup.kind {
                    LookupKind::Block => Want::Block,
                    LookupKind::Have => Want::Have { inline_limit: lookup.inline_limit },
                };
                self.lookups.insert(self.next_lookup, (lookup.ticket, lookup.cid, want));
                self.reader.push(self.next_lookup, lookup.cid, want);
                self.next_lookup += 1;
            }
        }
        self.library.set_now(now);
        self.session.set_unproven(self.held.allowance() as u64);
        self.send(now)?;
        // The last bytes have no ping behind them yet, and nothing more is coming that would bring one.
        if self.session.wants() == 0 && self.session.unsent() == 0 && self.session.unproven() > 0 && !self.probed {
            self.probed = true;
            self.session.probe(now)?;
            self.send(now)?;
        }
        let unsent = self.session.unsent() + self.session.unproven() as usize;
        if self.held.update(unsent, self.session.unfinished()) { Ok(()) } else { Err(Ended::Memory) }
    }

    fn send(&mut self, now: Duration) -> Result<(), Ended> {
        let mut out = self.host.out.borrow_mut();
        loop {
            out.clear();
            let unproven = self.session.unproven();
            self.session.transmit(&mut out, MESSAGE, now)?;
            if out.is_empty() {
                return Ok(());
            }
            self.version += 1;
            if self.session.unproven() > unproven {
                self.probed = false;
            }
            self.kept.run(&self.socket)?;
            send(self.socket.as_ref(), &out).map_err(worker::Error::from)?;
            self.account.charge(&Work { sealed: out.len() as u64, frames: 1, ..Work::default() });
        }
    }

    /// Takes what the reads have come to, and sends it. `Pending` while they are under way.
    pub(crate) fn poll_reads(&mut self, cx: &mut Context<'_>, now: Duration) -> Poll<Result<Reads, Ended>> {
        let mut answers = 0;
        let step = loop {
            if answers == ANSWERS || self.held_back.is_some() {
                break None;
            }
            match self.reader.poll_next(cx, self.room()) {
                Poll::Ready(Step::Answer(key, found)) => {
                    self.note_news();
                    if self.untold {
                        self.held_back = Some((key, found));
                    } else {
                        answers += 1;
                        self.answer(key, found);
                    }
                }
                Poll::Ready(step) => break Some(step),
                Poll::Pending => break None,
            }
        };
        if answers > 0 {
            return Poll::Ready(self.turn(now).map(|()| Reads::Moved));
        }
        if self.held_back.is_some() {
            return Poll::Ready(Ok(Reads::News));
        }
        match step {
            None => Poll::Pending,
            Some(Step::Spent(_)) => Poll::Ready(Ok(Reads::Spent)),
            Some(_) => Poll::Ready(Ok(Reads::Quiet)),
        }
    }

    fn answer(&mut self, key: u64, found: Found) {
        if matches!(found, Found::Missing | Found::Unlisted) && self.recall == Recall::Open {
            self.missed.push((key, found));
            return;
        }
        let Some((ticket, cid, _)) = self.lookups.remove(&key) else { return };
        let answer = match found {
            Found::Block(data) => Answer::Block(data),
            Found::Have { size } => Answer::Have { size },
            Found::Missing => Answer::Missing,
            // Without an index of every block, what is not found from its root may still be there.
            Found::Unlisted | Found::Unknown => Answer::Unknown,
        };
        // The list may have changed since it was looked up.
        let deny = &self.host.deny;
        let denied = if deny.generation() == self.denied_by { None } else { deny.judge(&cid, &self.account) };
        self.session.answer(ticket, denied.unwrap_or(answer));
    }

    /// Whether anything of the peer's waits to be read.
    pub(crate) fn has_reads(&self) -> bool {
        !self.reader.is_idle() || self.must_recall() || (self.session.wants() > 0 && self.host.deny.is_pending())
    }

    /// Whether it is worth a moment to see what the peer does: something is open for it, or it has not yet proved that it
    /// received what was sent.
    pub(crate) fn waits(&self) -> bool {
        self.reader.is_holding() || !self.reader.is_idle()
    }

    /// Lets go of what is held open; what is still wanted is read anew.
    pub(crate) fn let_go(&mut self) {
        self.reader.let_go();
    }

    /// Whether the peer's memory is to be asked now.
    pub(crate) fn must_recall(&self) -> bool {
        self.recall == Recall::Open
            && if self.recalls_first() { self.session.wants() > 0 } else { !self.missed.is_empty() }
    }

    /// Whether the memory is asked before anything is looked up. KV, which remembers misses, is not.
    fn recalls_first(&self) -> bool {
        self.host.recalls_first() || self.session.peer().is_some_and(|peer| remembered::knows(&peer))
    }

    /// What the peer's memory said, or that it could not be asked: it will be asked again, but not for ever.
    pub(crate) fn recalled(&mut self, cars: Option<Vec<CarCid>>) {
        if cars.is_none() && self.recalls < RECALLS {
            self.recalls += 1;
            return;
        }
        let cars = cars.unwrap_or_default();
        self.recall = Recall::Done;
        let missed = std::mem::take(&mut self.missed);
        if cars.is_empty() {
            for (key, found) in missed {
                self.answer(key, found);
            }
            return;
        }
        self.note_news();
        // Where it was reading counts more than what was found since.
        let cars = cars.into_iter().chain(self.reader.cars().copied()).collect();
        self.reader = Reader::new(self.library.clone(), self.account.clone(), cars);
        for (key, (_, cid, want)) in &self.lookups {
            self.reader.push(*key, *cid, *want);
        }
    }

    fn note_news(&mut self) {
        if self.reader.cars_changed() {
            (self.news, self.untold) = (true, true);
        }
    }

    /// The CARs to be remembered, if there are new ones.
    pub(crate) fn take_news(&mut self) -> Option<(PeerId, Vec<CarCid>)> {
        let peer = self.session.peer()?;
        self.note_news();
        std::mem::take(&mut self.news).then(|| (peer, self.reader.cars().copied().collect()))
    }

    /// They could not be remembered.
    pub(crate) fn put_news_back(&mut self) {
        self.news = true;
    }

    /// The memory was told, or could not be: gives what was held back for that.
    pub(crate) fn told(&mut self) {
        self.untold = false;
        if let Some((key, found)) = self.held_back.take() {
            self.answer(key, found);
        }
    }

    /// How often the session has changed.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Takes no new wants, and finishes what was begun: what is still to be read is not, and the peer will ask again.
    pub(crate) fn drain(&mut self) {
        self.reader.let_go();
        self.reader.retain(|_| false);
        for (_, (ticket, ..)) in self.lookups.drain() {
            self.session.answer(ticket, Answer::Unknown);
        }
        self.session.drain();
    }

    /// Whether what was begun is finished, and the peer has proved that it received it.
    pub(crate) fn is_drained(&self) -> bool {
        self.session.is_drained() && self.session.unproven() == 0
    }

    /// Tells the peer that this is the end.
    pub(crate) fn say_goodbye(&mut self, now: Duration) -> Result<(), Ended> {
        self.session.go_away()?;
        self.turn(now)
    }

    /// The session with what it needs to be read on, as bytes. `None` in a handshake.
    pub(crate) fn freeze(&self) -> Option<Vec<u8>> {
        let session = self.session.freeze()?;
        let cars = match self.recall {
            Recall::Done => Some(memory::encode(self.reader.cars())),
            Recall::Open => None,
        };
        postcard::to_allocvec(&(cars, self.news, self.probed, Bytes::from(session))).ok()
    }

    /// Keeps the session as it is between two turns. What is kept from before is no longer true in any case.
    pub(crate) fn keep(&mut self, now: Duration) -> worker::Result<()> {
        self.note_news();
        let wants = self.session.wants() * WANT_SIZE;
        let small = wants + self.session.unsent() + self.session.unfinished() < KEPT;
        match small.then(|| self.freeze()).flatten() {
            Some(bytes) => self.kept.freeze(&self.socket, self.kept_deadline(now), bytes),
            None => self.kept.run(&self.socket),
        }
    }

    /// Says in one line of the log that the connection ended.
    pub(crate) fn log(&self, ended: &Ended) {
        let counters = self.session.counters();
        let line = serde_json::json!({
            "event": "closed",
            "peer": self.session.peer().map(|peer| peer.to_string()),
            "reason": ended.to_string(),
            "wants": counters.wants,
            "blocks": counters.blocks,
            "bytes": counters.block_bytes,
        });
        if ended.is_fault() { worker::console_warn!("{line}") } else { worker::console_log!("{line}") }
    }
}
