//! Sessions of an object while nothing happens to them: thawed when their socket says something, and written to where they
//! outlive the object's memory when an event ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use worker::WebSocket;

use super::{Peers, Shared};
use crate::ended::Ended;
use crate::host::now;
use crate::kept::{self, Attached, Kept, KeptError};
use crate::peer::Peer;

/// How often a kept session is read anew because an event was at work on it meanwhile, or written because it changed.
const TRIES: usize = 3;

impl Peers {
    /// The peer on `socket`, thawed if it slept. `None` if its session cannot go on: the socket is closed then.
    pub(super) async fn find(&self, socket: &WebSocket) -> Option<Shared> {
        let id = self.tag(socket);
        let mut thawed = Err(Ended::from(KeptError::Busy));
        for _ in 0..TRIES {
            if let Some(peer) = self.known(&id) {
                return Some(peer);
            }
            let attached = Attached::read(socket).ok().flatten();
            thawed = self.thaw(socket, &id, attached.as_ref()).await;
            // There is one session on a socket. Another event may have thawed it meanwhile, and may be done with it already:
            // what was read is old then.
            if let Some(peer) = self.known(&id) {
                return Some(peer);
            }
            let read_anew = Attached::read(socket).ok().flatten();
            if attached.zip(read_anew).is_none_or(|(before, after)| before.is_same_form(&after)) {
                break;
            }
            thawed = Err(KeptError::Busy.into());
        }
        match thawed {
            Ok(peer) => {
                let peer = Rc::new(RefCell::new(peer));
                self.peers.borrow_mut().insert(id, peer.clone());
                Some(peer)
            }
            Err(ended) => {
                let line = serde_json::json!({ "event": "not thawed", "reason": ended.to_string() });
                worker::console_warn!("{line}");
                let _ = socket.close(Some(ended.code()), Some(ended.told()));
                self.clear(socket).await;
                None
            }
        }
    }

    fn known(&self, id: &str) -> Option<Shared> {
        self.peers.borrow().get(id).cloned()
    }

    async fn thaw(
        &self,
        socket: &WebSocket,
        id: &str,
        attached: Option<&Attached>,
    ) -> std::result::Result<Peer, Ended> {
        let desk = self.desk()?;
        let attached = attached.ok_or(KeptError::Nothing)?;
        let (kept, bytes) = Kept::load(&self.state, id.to_owned(), attached).await?;
        Peer::thaw(&desk, socket.clone(), kept, &bytes)
    }

    /// Deletes what a session that nobody has in memory left behind.
    pub(super) async fn clear(&self, socket: &WebSocket) {
        let id = self.tag(socket);
        kept::forget(&id);
        if let Ok(Some(attached)) = Attached::read(socket) {
            self.delete(attached.keys(&id)).await;
        }
    }

    pub(super) async fn delete(&self, keys: Vec<String>) {
        if !keys.is_empty() {
            let _ = self.state.storage().delete_multiple(keys).await;
        }
    }

    /// Keeps what of a session does not fit its attachment, so that it outlives the object's memory. What happens while it is
    /// written makes it old: it must never be thawed.
    pub(super) async fn spill(&self, peer: &Shared) {
        for _ in 0..TRIES {
            let (id, version, parts) = {
                let mut peer = peer.borrow_mut();
                if peer.ended || peer.pumping || peer.kept.is_attached() || peer.kept.spilling {
                    return;
                }
                let Some(parts) = peer.freeze().and_then(|bytes| peer.kept.split(bytes)) else { return };
                peer.kept.spilling = true;
                (peer.kept.id().to_owned(), peer.version(), parts)
            };
            let spilled = kept::spill(&self.state, &id, &parts).await;
            let mut peer = peer.borrow_mut();
            peer.kept.spilling = false;
            if spilled.is_err() {
                return;
            }
            if let Some(first) = parts.first()
                && !peer.ended
                && !peer.pumping
                && peer.version() == version
            {
                let deadline = peer.kept_deadline(now());
                let Peer { kept, socket, .. } = &mut *peer;
                if let Err(error) = kept.settle(socket, deadline, first) {
                    worker::console_warn!(
                        "{}",
                        serde_json::json!({ "event": "attachment", "error": error.to_string() })
                    );
                }
                return;
            }
        }
    }
}

/// Until when the session on a socket sleeps; `None` if it can never be woken, or has to be at once.
pub(super) fn sleeps_until(socket: &WebSocket) -> Option<Duration> {
    Attached::read(socket).ok().flatten().map(|attached| attached.deadline)
}
