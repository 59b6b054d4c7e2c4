//! The Durable Object: many peers, each on a WebSocket that stays open while the object sleeps.
//!
//! Everything happens in an event: a message, an alarm, a request. An event ends with every session of which nothing is under
//! way written to where it is kept, and leaves no timer, promise or open body behind. All deadlines hang on the one alarm.
//! What one event may not spend any more goes on in an alarm.

mod alarm;
mod sleep;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use hoverboard_peer::Session;
use worker::{
    Delay, DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, WebSocketPair,
    durable_object,
};

use self::alarm::Alarm;
use self::sleep::sleeps_until;
use crate::ended::Ended;
use crate::host::{Desk, Host, now, random, random_id};
use crate::kept::Kept;
use crate::peer::{Peer, Reads};

/// How long an event waits, with a body open, for a peer to want more of it or to prove that it received what was sent.
const GRACE: Duration = Duration::from_millis(400);

/// How long after the event whose budget is spent the next one begins.
const PAUSE: Duration = Duration::from_millis(50);

type Shared = Rc<RefCell<Peer>>;

/// A Durable Object with peers.
#[durable_object]
pub struct Peers {
    state: State,
    env: Env,
    desk: RefCell<Option<Rc<Desk>>>,
    peers: RefCell<HashMap<String, Shared>>,
    /// When the alarm is set to ring, as far as this object knows since it woke.
    alarm: Cell<Alarm>,
    /// Events that wait for reads.
    pumps: Cell<usize>,
    /// A peer has used its part of what the event may spend: another event is needed.
    starved: Cell<bool>,
}

impl DurableObject for Peers {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            desk: RefCell::default(),
            peers: RefCell::default(),
            alarm: Cell::new(Alarm::Unknown),
            pumps: Cell::new(0),
            starved: Cell::new(false),
        }
    }

    /// A client opens a WebSocket.
    async fn fetch(&self, _request: Request) -> Result<Response> {
        let desk = self.desk()?;
        let WebSocketPair { client, server } = WebSocketPair::new()?;
        if self.state.get_websockets().len() >= desk.host.config.max_connections {
            return Response::error("as many peers as allowed are connected", 503);
        }
        let id = random_id();
        self.state.accept_websocket_with_tags(&server, &[&id]);
        let session = Session::accept(desk.host.sessions.clone(), None, random(), now())
            .map_err(|error| worker::Error::RustError(error.to_string()))?;
        let peer = Rc::new(RefCell::new(Peer::new(&desk, server, Kept::new(id.clone()), session, None)));
        self.peers.borrow_mut().insert(id, peer.clone());
        self.turn(&peer, |_| Ok(())).await;
        self.set_alarm().await;
        Response::from_websocket(client)
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let Some(peer) = self.find(&socket).await else { return Ok(()) };
        self.turn(&peer, |peer| {
            peer.nudged = true;
            match message {
                WebSocketIncomingMessage::Binary(mut bytes) => peer.receive(&mut bytes, now()),
                WebSocketIncomingMessage::String(_) => Err(Ended::Text),
            }
        })
        .await;
        self.settle(&[peer]).await;
        Ok(())
    }

    async fn websocket_close(&self, socket: WebSocket, _code: usize, _reason: String, _clean: bool) -> Result<()> {
        self.gone(&socket).await;
        Ok(())
    }

    async fn websocket_error(&self, socket: WebSocket, _error: worker::Error) -> Result<()> {
        self.gone(&socket).await;
        Ok(())
    }

    /// Deadlines that have passed, and work that an event could not finish.
    async fn alarm(&self) -> Result<Response> {
        self.alarm.set(Alarm::None);
        let mut due = Vec::new();
        let mut later: Option<Duration> = None;
        for socket in self.state.get_websockets() {
            let known = self.peers.borrow().get(&self.tag(&socket)).cloned();
            let peer = match (known, sleeps_until(&socket)) {
                (Some(peer), _) => Some(peer),
                (None, Some(deadline)) if deadline > now() => {
                    later = later.into_iter().chain([deadline]).min();
                    None
                }
                (None, _) => self.find(&socket).await,
            };
            due.extend(peer);
        }
        for peer in &due {
            self.turn(peer, |peer| peer.wake(now())).await;
        }
        self.settle(&due).await;
        if let Some(later) = later {
            self.ring(later).await;
        }
        Response::empty()
    }
}

impl Peers {
    /// What the peers of this object share.
    fn desk(&self) -> Result<Rc<Desk>> {
        if let Some(desk) = &*self.desk.borrow() {
            return Ok(desk.clone());
        }
        let desk = Rc::new(Desk::new(Host::of(&self.env)?, &self.env)?);
        *self.desk.borrow_mut() = Some(desk.clone());
        Ok(desk)
    }

    fn tag(&self, socket: &WebSocket) -> String {
        self.state.get_tags(socket).into_iter().next().unwrap_or_default()
    }

    /// Does something with a peer and sends what follows from it.
    async fn turn(&self, peer: &Shared, act: impl FnOnce(&mut Peer) -> std::result::Result<(), Ended>) {
        let done = {
            let mut peer = peer.borrow_mut();
            if peer.ended {
                return;
            }
            let done = act(&mut peer).and_then(|()| peer.turn(now()));
            if done.is_ok() {
                if let Some(waker) = peer.waker.take() {
                    waker.wake();
                }
                peer.keep(now()).map_err(Ended::from)
            } else {
                done
            }
        };
        if let Err(ended) = done {
            self.end(peer, &ended).await;
        }
    }

    /// Ends the event for these peers: reads what they want, keeps their sessions, sets the alarm.
    async fn settle(&self, peers: &[Shared]) {
        join_all(peers.iter().map(|peer| self.pump(peer))).await;
        for peer in peers {
            self.spill(peer).await;
        }
        self.set_alarm().await;
        if self.desk().is_ok_and(|desk| desk.host.config.debug_forget) {
            // What would be lost when the object sleeps is lost now.
            self.peers.borrow_mut().retain(|_, peer| {
                let in_use = Rc::strong_count(peer) > 1 + peers.iter().filter(|other| Rc::ptr_eq(other, peer)).count();
                let peer = peer.borrow();
                in_use || peer.pumping || peer.kept.is_running()
            });
        }
    }

    /// Reads what a peer wants until it wants nothing, or the event's budget is spent. One event at a time does so for
    /// each peer; the others hand their wants to it.
    async fn pump(&self, peer: &Shared) {
        {
            let mut peer = peer.borrow_mut();
            if peer.ended || peer.pumping || !peer.has_reads() {
                return;
            }
            peer.pumping = true;
            peer.nudged = false;
        }
        if self.pumps.replace(self.pumps.get() + 1) == 0
            && let Ok(desk) = self.desk()
        {
            self.starved.set(false);
            desk.begin_event();
        }
        let ended = self.read(peer).await;
        self.pumps.set(self.pumps.get() - 1);
        {
            let mut peer = peer.borrow_mut();
            peer.pumping = false;
            peer.waker = None;
            peer.let_go();
        }
        match ended {
            Ok(()) => self.remember(peer).await,
            Err(ended) => self.end(peer, &ended).await,
        }
        // The next event has a budget of its own once the last reader of this one is done.
        if self.pumps.get() == 0 && self.starved.replace(false) {
            self.ring(now() + PAUSE).await;
        }
    }

    async fn read(&self, peer: &Shared) -> std::result::Result<(), Ended> {
        let desk = self.desk()?;
        loop {
            if desk.keep_denylist().await {
                let mut peer = peer.borrow_mut();
                peer.turn(now())?;
                peer.keep(now())?;
            }
            if peer.borrow().must_recall() {
                let id = peer.borrow().id();
                let cars = desk.recall(id).await;
                let mut peer = peer.borrow_mut();
                peer.recalled(cars);
                peer.turn(now())?;
            }
            let reads = std::future::poll_fn(|cx| {
                let mut peer = peer.borrow_mut();
                if peer.ended {
                    return Poll::Ready(Err(Ended::ByPeer));
                }
                peer.waker = Some(cx.waker().clone());
                let reads = peer.poll_reads(cx, now());
                // Where it waits others come to run, and may take the instance with them.
                if !matches!(reads, Poll::Ready(Ok(Reads::Moved))) {
                    peer.keep(now())?;
                }
                reads
            });
            match reads.await? {
                Reads::Moved => {}
                Reads::News => {
                    self.remember(peer).await;
                    let mut peer = peer.borrow_mut();
                    peer.told();
                    peer.turn(now())?;
                }
                Reads::Spent => {
                    self.starved.set(true);
                    return Ok(());
                }
                Reads::Quiet if peer.borrow().must_recall() => {}
                Reads::Quiet if self.starved.get() || !peer.borrow().waits() || !nudged(peer).await => return Ok(()),
                Reads::Quiet => {}
            }
        }
    }

    /// Remembers which CARs are read for a peer, so that it finds its place when it comes back.
    async fn remember(&self, peer: &Shared) {
        let news = peer.borrow_mut().take_news();
        if let (Some((id, cars)), Ok(desk)) = (news, self.desk())
            && !desk.remember(id, &cars).await
        {
            peer.borrow_mut().put_news_back();
        }
    }

    /// Closes a peer's socket and forgets it.
    async fn end(&self, peer: &Shared, ended: &Ended) {
        let keys = {
            let mut peer = peer.borrow_mut();
            if std::mem::replace(&mut peer.ended, true) {
                return;
            }
            peer.log(ended);
            // The peer may have closed it before, and then neither is heard. What still comes finds no session to thaw.
            let Peer { kept, socket, .. } = &mut *peer;
            let _ = kept.run(socket);
            let _ = socket.close(Some(ended.code()), Some(ended.told()));
            self.peers.borrow_mut().remove(peer.kept.id());
            if let Some(waker) = peer.waker.take() {
                waker.wake();
            }
            peer.kept.keys()
        };
        self.remember(peer).await;
        self.delete(keys).await;
    }

    async fn gone(&self, socket: &WebSocket) {
        let known = self.peers.borrow().get(&self.tag(socket)).cloned();
        match known {
            Some(peer) => self.end(&peer, &Ended::ByPeer).await,
            // It slept: what it had in storage is found by its attachment.
            None => {
                let _ = socket.close(Some(1000), Some(String::new()));
                self.clear(socket).await;
            }
        }
    }
}

/// Waits a moment for the peer to do something; `false` if it did not.
async fn nudged(peer: &Shared) -> bool {
    let nudged = std::future::poll_fn(|cx| {
        let mut peer = peer.borrow_mut();
        peer.waker = Some(cx.waker().clone());
        if peer.ended || std::mem::take(&mut peer.nudged) { Poll::Ready(()) } else { Poll::Pending }
    });
    matches!(select(nudged, Delay::from(GRACE)).await, Either::Left(_))
}
