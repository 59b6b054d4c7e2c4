//! The mode without Durable Objects: one connection is one event, with one budget. When that is spent, the session finishes
//! what it has begun, says so, and closes; the peer comes back and finds its place by its peer id.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{FutureExt as _, StreamExt as _};
use hoverboard_peer::Session;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::Uint8Array;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, WebSocket, WebsocketEvent};

use crate::ended::Ended;
use crate::host::{Desk, now, random};
use crate::kept::Kept;
use crate::peer::{Peer, Reads};

/// How long a body is held open for a peer that wants nothing of it.
const GRACE: Duration = Duration::from_secs(1);

/// How long a session whose budget is spent may take to finish what it has begun.
const FAREWELL: Duration = Duration::from_secs(10);

#[wasm_bindgen(raw_module = "./instance.js")]
extern "C" {
    /// Has the socket closed when this instance is lost.
    fn adopt(socket: &worker::web_sys::WebSocket);
}

/// Bytes of a message that are looked at together.
const PIECE: u32 = 1024 * 1024;

/// What comes next on a connection.
enum Next {
    Socket(Option<worker::Result<WebsocketEvent>>),
    Reads(Result<Reads, Ended>),
    Time,
}

/// Serves the peer on `socket` until it goes or its budget ends.
pub(crate) async fn serve(desk: Rc<Desk>, socket: WebSocket) {
    let session = match Session::accept(desk.host.sessions.clone(), None, random(), now()) {
        Ok(session) => session,
        Err(error) => {
            return worker::console_error!("{}", serde_json::json!({ "event": "accept", "error": error.to_string() }));
        }
    };
    let mut peer = Peer::new(&desk, socket.clone(), Kept::new(String::new()), session, None);
    let ended = run(&desk, &mut peer, &socket).await.err().unwrap_or(Ended::ByPeer);
    if let Some((id, cars)) = peer.take_news() {
        // There is no later occasion.
        let _ = desk.remember(id, &cars).await;
    }
    peer.log(&ended);
    // The peer may have closed it before.
    let _ = socket.close(Some(ended.code()), Some(ended.told()));
}

/// Takes a message a piece at a time: what the instance's memory once grew to it keeps.
fn receive(peer: &mut Peer, message: &Uint8Array) -> Result<(), Ended> {
    for from in (0..message.length()).step_by(PIECE as usize) {
        let mut piece = message.subarray(from, message.length().min(from + PIECE)).to_vec();
        peer.receive(&mut piece, now())?;
    }
    Ok(())
}

async fn run(desk: &Rc<Desk>, peer: &mut Peer, socket: &WebSocket) -> Result<(), Ended> {
    adopt(socket.as_ref());
    let mut events = socket.events()?;
    let mut farewell: Option<Duration> = None;
    // The reads have nothing to do until the peer does something.
    let mut quiet = false;
    let mut remembered = false;
    peer.turn(now())?;
    loop {
        if farewell.is_none() && desk.keep_denylist().await {
            peer.turn(now())?;
        }
        if farewell.is_none() && peer.must_recall() {
            let cars = desk.recall(peer.id()).await;
            peer.recalled(cars);
            peer.turn(now())?;
        }
        let grace = (quiet && peer.waits()).then(|| now() + GRACE);
        let time = [peer.deadline(), farewell, grace].into_iter().flatten().min();
        let was_quiet = quiet;
        let next = {
            let reads = std::future::poll_fn(|cx| match peer.poll_reads(cx, now()) {
                // Until the peer wants more, or proves that it received what was sent.
                Poll::Ready(Ok(Reads::Quiet)) if was_quiet => Poll::Pending,
                reads => reads,
            });
            let mut reads = pin!(async { if farewell.is_some() { std::future::pending().await } else { reads.await } });
            let socket_or_reads = select(events.next(), reads.as_mut()).map(|either| match either {
                Either::Left((event, _)) => Next::Socket(event),
                Either::Right((reads, _)) => Next::Reads(reads),
            });
            let pause = time.map_or(Duration::from_secs(3_600), |time| time.saturating_sub(now()));
            match select(socket_or_reads, Delay::from(pause)).await {
                Either::Left((next, _)) => next,
                Either::Right(_) => Next::Time,
            }
        };
        quiet = matches!(next, Next::Reads(Ok(Reads::Quiet)));
        match next {
            Next::Socket(None | Some(Ok(WebsocketEvent::Close(_)))) => return Err(Ended::ByPeer),
            Next::Socket(Some(Err(error))) => return Err(error.into()),
            Next::Socket(Some(Ok(WebsocketEvent::Message(message)))) => {
                let data = message.as_ref().data();
                if data.is_string() {
                    return Err(Ended::Text);
                }
                receive(peer, &Uint8Array::new(&data))?;
            }
            Next::Reads(Ok(Reads::Spent)) => {
                peer.drain();
                farewell = Some(now() + FAREWELL);
            }
            Next::Reads(reads) => {
                reads?;
                // Once a session, as early as there is something; and at its end, if there is more by then.
                if !remembered && let Some((id, cars)) = peer.take_news() {
                    remembered = true;
                    let desk = desk.clone();
                    spawn_local(async move {
                        let _ = desk.remember(id, &cars).await;
                    });
                }
                // KV would not show it at once anyway: nothing waits for it.
                peer.told();
            }
            Next::Time => {
                peer.wake(now())?;
                if was_quiet {
                    peer.let_go();
                }
            }
        }
        peer.turn(now())?;
        if farewell.is_some_and(|time| time <= now() || peer.is_drained()) {
            peer.say_goodbye(now())?;
            return Err(Ended::Budget);
        }
    }
}
