//! A session while no event is at work on it: in the attachment of its socket, and what is too large for that in the object's
//! storage, or, between two turns of an event, beside the instance. It is not the session itself, and never looks into it.
//!
//! Before the first byte of an event leaves, the attachment says *running*, which costs nothing but a copy of some bytes; see
//! [`hoverboard_peer::frozen`] for why. It goes on saying so while the session lies beside the instance, where it survives
//! a trap and nothing else.

use std::time::Duration;

use hoverboard_peer::frozen::{Stored, StoredError};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::Uint8Array;
use worker::worker_sys::ext::WebSocketExt as _;
use worker::{State, WebSocket};

#[wasm_bindgen(raw_module = "./beside.js")]
extern "C" {
    #[wasm_bindgen(js_name = keep)]
    fn keep_beside(id: &str, form: &[u8]);
    #[wasm_bindgen(js_name = kept)]
    fn kept_beside(id: &str) -> Option<Uint8Array>;
    #[wasm_bindgen(js_name = forget)]
    fn forget_beside(id: &str);
}

/// Bytes of a part. The platform keeps 16 KiB an attachment, its own encoding and our head included.
const PART: usize = 15 * 1024;

/// Parts that are stored beside the attachment. More are not: that session lives as long as its object does.
const MAX_SPILLED: usize = 64;

/// How many times a session may be written to storage: each is billed. A quiet session needs none.
const MAX_SPILLS: u16 = 32;

/// Where the form of one session stands.
#[derive(Debug)]
pub(crate) struct Kept {
    id: String,
    generation: u64,
    place: Place,
    /// Parts that are in storage, or were.
    spilled: u16,
    spills: u16,
    /// Whether parts are being written.
    pub(crate) spilling: bool,
}

/// Where the session is kept as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nowhere: an event is at work on it.
    Running,
    /// In the attachment, and in storage.
    Attached,
    /// Beside the instance.
    Beside,
}

/// What a socket's attachment says of its session.
pub(crate) struct Attached {
    /// When the session has to be woken; zero while a host is at work on it.
    pub(crate) deadline: Duration,
    spills: u16,
    spilled: u16,
    first: Vec<u8>,
}

/// Why a session that was kept cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("the socket has no session")]
    Nothing,
    #[error("other events were at work on the session whenever it was read")]
    Busy,
    #[error("the platform: {0}")]
    Platform(#[from] worker::Error),
}

impl Kept {
    /// Of a session that has just begun: nothing of it is kept until its handshake is done.
    pub(crate) fn new(id: String) -> Self {
        Self { id, generation: 0, place: Place::Running, spilled: 0, spills: 0, spilling: false }
    }

    /// Reads a kept session back. It stays where it is kept, until [`run`](Self::run).
    pub(crate) async fn load(state: &State, id: String, attached: &Attached) -> Result<(Self, Vec<u8>), KeptError> {
        let Attached { spills, spilled, .. } = *attached;
        let of = |generation, place| Self { id: id.clone(), generation, place, spilled, spills, spilling: false };
        let count = Stored::parts(&attached.first)?;
        if attached.is_at_work()
            && let Some(form) = kept_beside(&id)
        {
            let (generation, session) = Stored::join([form.to_vec().as_slice()])?;
            return Ok((of(generation, Place::Beside), session));
        }
        let mut parts = vec![attached.first.clone()];
        for index in 1..count {
            let part: Option<serde_bytes::ByteBuf> = state.storage().get(&key(&id, index)).await?;
            parts.push(part.ok_or(StoredError::Parts)?.into_vec());
        }
        let (generation, session) = Stored::join(parts.iter().map(Vec::as_slice))?;
        Ok((of(generation, Place::Attached), session))
    }

    /// Marks the session as being at work, before the first byte of an event leaves.
    pub(crate) fn run(&mut self, socket: &WebSocket) -> worker::Result<()> {
        match self.place {
            Place::Running => {}
            Place::Attached => {
                let running = Stored::Running { generation: self.generation };
                let parts = running.split(PART).unwrap_or_default();
                self.attach(socket, Duration::ZERO, parts.first().map_or(&[], Vec::as_slice))?;
            }
            Place::Beside => forget_beside(&self.id),
        }
        self.place = Place::Running;
        Ok(())
    }

    /// Keeps the session in the attachment if it fits, and beside the instance if it does not.
    pub(crate) fn freeze(&mut self, socket: &WebSocket, deadline: Duration, session: Vec<u8>) -> worker::Result<()> {
        let form = self.next_form(session).split(usize::MAX).and_then(|parts| parts.into_iter().next());
        match form {
            Some(form) if form.len() <= PART => self.settle(socket, deadline, &form),
            Some(form) => {
                self.run(socket)?;
                keep_beside(&self.id, &form);
                self.place = Place::Beside;
                Ok(())
            }
            None => self.run(socket),
        }
    }

    /// Splits a session that does not fit the attachment. `None` if it is too large, or was written too often: it
    /// ends with its object then.
    pub(crate) fn split(&mut self, session: Vec<u8>) -> Option<Vec<Vec<u8>>> {
        if self.spills >= MAX_SPILLS {
            return None;
        }
        let parts = self.next_form(session).split(PART)?;
        let spilled = parts.len().checked_sub(1).filter(|spilled| *spilled <= MAX_SPILLED)?;
        self.spills += 1;
        self.spilled = self.spilled.max(spilled as u16);
        Some(parts)
    }

    fn next_form(&mut self, session: Vec<u8>) -> Stored {
        self.generation += 1;
        Stored::Frozen { generation: self.generation, session }
    }

    /// Attaches the form's first part, which is all of it or whose other parts were [spilled](spill).
    pub(crate) fn settle(&mut self, socket: &WebSocket, deadline: Duration, first: &[u8]) -> worker::Result<()> {
        self.attach(socket, deadline, first)?;
        if self.place == Place::Beside {
            forget_beside(&self.id);
        }
        self.place = Place::Attached;
        Ok(())
    }

    /// Whether the session would go on if the object were to lose its memory now.
    pub(crate) fn is_attached(&self) -> bool {
        self.place == Place::Attached
    }

    /// Whether it is kept nowhere as it is now.
    pub(crate) fn is_running(&self) -> bool {
        self.place == Place::Running
    }

    /// The keys that the session may have in storage.
    pub(crate) fn keys(&self) -> Vec<String> {
        keys(&self.id, self.spilled)
    }

    /// The name of the session within its object.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn attach(&self, socket: &WebSocket, deadline: Duration, part: &[u8]) -> worker::Result<()> {
        let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let (spills, spilled) = (self.spills.to_le_bytes(), self.spilled.to_le_bytes());
        let bytes = [&deadline.to_le_bytes(), spills.as_slice(), &spilled, part].concat();
        Ok(socket.as_ref().serialize_attachment(Uint8Array::from(bytes.as_slice()).into())?)
    }
}

/// Writes all parts but the first to the object's storage.
pub(crate) async fn spill(state: &State, id: &str, parts: &[Vec<u8>]) -> worker::Result<()> {
    for (index, part) in parts.iter().enumerate().skip(1) {
        state.storage().put_raw(&key(id, index), Uint8Array::from(part.as_slice())).await?;
    }
    Ok(())
}

/// Drops what a session that ended outside of an instance may have beside it.
pub(crate) fn forget(id: &str) {
    forget_beside(id);
}

impl Attached {
    /// What the attachment of `socket` says; `None` for a handshake that was cut off.
    pub(crate) fn read(socket: &WebSocket) -> worker::Result<Option<Self>> {
        let value = socket.as_ref().deserialize_attachment()?;
        if value.is_null() || value.is_undefined() {
            return Ok(None);
        }
        Ok(Self::parse(&Uint8Array::new(&value).to_vec()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (deadline, rest) = bytes.split_first_chunk()?;
        let (spills, rest) = rest.split_first_chunk()?;
        let (spilled, first) = rest.split_first_chunk()?;
        Some(Self {
            deadline: Duration::from_millis(u64::from_le_bytes(*deadline)),
            spills: u16::from_le_bytes(*spills),
            spilled: u16::from_le_bytes(*spilled),
            first: first.to_vec(),
        })
    }

    /// Whether an event is, or was, at work on the session when its host went away.
    fn is_at_work(&self) -> bool {
        self.deadline.is_zero()
    }

    /// Whether it says the same of the session: nothing was at work on it in between.
    pub(crate) fn is_same_form(&self, other: &Self) -> bool {
        self.first == other.first
    }

    /// The keys that the session `id` may have in storage.
    pub(crate) fn keys(&self, id: &str) -> Vec<String> {
        keys(id, self.spilled)
    }
}

fn keys(id: &str, spilled: u16) -> Vec<String> {
    (1..=usize::from(spilled)).map(|index| key(id, index)).collect()
}

fn key(id: &str, index: usize) -> String {
    format!("session/{id}/{index}")
}
