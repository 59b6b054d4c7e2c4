//! A session while its object sleeps: in the attachment of its socket, and what is too large for that in the
//! object's storage. It is not the session itself, and never looks into it.
//!
//! The form is written twice an event at most: as *running* before the first byte leaves, which costs nothing but a
//! copy of some bytes, and as *frozen* when nothing more is to be sent at once. See [`hoverboard_peer::frozen`] for why.

use std::time::Duration;

use hoverboard_peer::frozen::{Stored, StoredError};
use worker::js_sys::Uint8Array;
use worker::worker_sys::ext::WebSocketExt as _;
use worker::{State, WebSocket};

/// Bytes of a part. The platform keeps 16 KiB an attachment, its own encoding and our deadline included.
const PART: usize = 15 * 1024;

/// Parts that are stored beside the attachment. More are not: that session lives as long as its object does.
const MAX_SPILLED: usize = 64;

/// How many times a session may be written to storage: each is billed. A quiet session needs none.
const MAX_SPILLS: u32 = 32;

/// Where the form of one session stands.
#[derive(Debug)]
pub(crate) struct Kept {
    id: String,
    generation: u64,
    running: bool,
    spilled: usize,
    spills: u32,
}

/// What a socket's attachment says of its session.
pub(crate) struct Attached {
    /// When the session has to be woken; zero while a host is at work on it.
    pub(crate) deadline: Duration,
    first: Vec<u8>,
}

/// Why a session that was kept cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("the socket has no session")]
    Nothing,
    #[error("the platform: {0}")]
    Platform(#[from] worker::Error),
}

impl Kept {
    /// Of a session that has just begun: nothing of it is kept until its handshake is done.
    pub(crate) fn new(id: String) -> Self {
        Self { id, generation: 0, running: true, spilled: 0, spills: 0 }
    }

    /// Reads a kept session back. It stays *frozen* where it is kept, until [`run`](Self::run).
    pub(crate) async fn load(state: &State, id: String, attached: Attached) -> Result<(Self, Vec<u8>), KeptError> {
        let spilled = Stored::parts(&attached.first)?.saturating_sub(1);
        let mut parts = vec![attached.first];
        for index in 1..=spilled {
            let part: Option<serde_bytes::ByteBuf> = state.storage().get(&key(&id, index)).await?;
            parts.push(part.ok_or(StoredError::Parts)?.into_vec());
        }
        let (generation, session) = Stored::join(parts.iter().map(Vec::as_slice))?;
        Ok((Self { id, generation, running: false, spilled, spills: 0 }, session))
    }

    /// Marks the session as being at work, before the first byte of an event leaves.
    pub(crate) fn run(&mut self, socket: &WebSocket) -> worker::Result<()> {
        if !self.running {
            let running = Stored::Running { generation: self.generation };
            let parts = running.split(PART).unwrap_or_default();
            attach(socket, Duration::ZERO, parts.first().map_or(&[], Vec::as_slice))?;
            self.running = true;
        }
        Ok(())
    }

    /// Keeps the session in the attachment, if it fits.
    pub(crate) fn freeze(&mut self, socket: &WebSocket, deadline: Duration, session: Vec<u8>) -> worker::Result<bool> {
        if session.len() > PART / 16 * 15 {
            return Ok(false);
        }
        self.generation += 1;
        let frozen = Stored::Frozen { generation: self.generation, session };
        let Some([part]) = frozen.split(PART).and_then(|parts| <[Vec<u8>; 1]>::try_from(parts).ok()) else {
            return Ok(false);
        };
        attach(socket, deadline, &part)?;
        self.running = false;
        Ok(true)
    }

    /// Splits a session that does not fit the attachment. `None` if it is too large, or was written too often: it
    /// stays *running* then, and ends with its object.
    pub(crate) fn split(&mut self, session: Vec<u8>) -> Option<Vec<Vec<u8>>> {
        if self.spills >= MAX_SPILLS {
            return None;
        }
        self.generation += 1;
        let parts = Stored::Frozen { generation: self.generation, session }.split(PART)?;
        let spilled = parts.len().checked_sub(1).filter(|spilled| *spilled <= MAX_SPILLED)?;
        self.spills += 1;
        self.spilled = self.spilled.max(spilled);
        Some(parts)
    }

    /// Keeps the first part of a session whose other parts were [spilled](spill).
    pub(crate) fn settle(&mut self, socket: &WebSocket, deadline: Duration, first: &[u8]) -> worker::Result<()> {
        attach(socket, deadline, first)?;
        self.running = false;
        Ok(())
    }

    /// Whether the form says *running*.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// The keys that the session has in storage.
    pub(crate) fn keys(&self) -> Vec<String> {
        (1..=self.spilled).map(|index| key(&self.id, index)).collect()
    }

    /// The name of the session within its object.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// Writes all parts but the first to the object's storage.
pub(crate) async fn spill(state: &State, id: &str, parts: &[Vec<u8>]) -> worker::Result<()> {
    for (index, part) in parts.iter().enumerate().skip(1) {
        state.storage().put_raw(&key(id, index), Uint8Array::from(part.as_slice())).await?;
    }
    Ok(())
}

impl Attached {
    /// What the attachment of `socket` says; `None` for a handshake that was cut off.
    pub(crate) fn read(socket: &WebSocket) -> worker::Result<Option<Self>> {
        let value = socket.as_ref().deserialize_attachment()?;
        if value.is_null() || value.is_undefined() {
            return Ok(None);
        }
        let bytes = Uint8Array::new(&value).to_vec();
        let Some((deadline, first)) = bytes.split_first_chunk() else { return Ok(None) };
        let deadline = Duration::from_millis(u64::from_le_bytes(*deadline));
        Ok(Some(Self { deadline, first: first.to_vec() }))
    }

    /// The keys that the session `id` has in storage.
    pub(crate) fn keys(&self, id: &str) -> Vec<String> {
        (1..Stored::parts(&self.first).unwrap_or(0)).map(|index| key(id, index)).collect()
    }
}

fn attach(socket: &WebSocket, deadline: Duration, part: &[u8]) -> worker::Result<()> {
    let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    let bytes = [&deadline.to_le_bytes(), part].concat();
    Ok(socket.as_ref().serialize_attachment(Uint8Array::from(bytes.as_slice()).into())?)
}

fn key(id: &str, index: usize) -> String {
    format!("session/{id}/{index}")
}
