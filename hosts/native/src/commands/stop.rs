//! The signals that ask a process to end: SIGTERM and SIGINT.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Both signals. From the moment it is made they no longer end the process by themselves.
pub(super) struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    /// Takes the signals over. Call it inside a tokio runtime.
    pub(super) fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::Failed(format!("cannot listen to signals: {error}"));
        Ok(Self {
            term: signal(SignalKind::terminate()).map_err(failed)?,
            int: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    /// Waits for the next one, and says which it was.
    pub(super) async fn asked(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.term.recv() => SignalKind::terminate(),
            _ = self.int.recv() => SignalKind::interrupt(),
        }
    }
}
