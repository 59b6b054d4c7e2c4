//! A session on a pipe: bytes moved both ways, deadlines kept. What the session's lookups and events are for is
//! decided above.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hoverboard_peer::wire::Error as WireError;
use hoverboard_peer::{Error as SessionError, Session};
use tokio::time::{Instant, Sleep};

use super::Clock;
use super::pipe::{Outgoing, Pipe};

/// How long a peer whose connection is over may take to end its side.
const FAREWELL: Duration = Duration::from_secs(2);

/// Pieces read or written before other tasks of the thread get their turn.
const TURN: usize = 32;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The peer closed it.
    #[error("closed by the peer")]
    ByPeer,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
    /// The session found a fault.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The peer does not read.
    #[error("the peer read nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    /// All peers together had begun too much.
    #[error("unfinished messages of all peers exceed their bound")]
    Unfinished,
    /// The peer, its address or all together have had what they may have.
    #[error("a cap is reached")]
    Capped,
    /// What was begun is finished, and the process is stopping.
    #[error("the process is stopping")]
    Drained,
}

impl Ended {
    /// A word for the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ByPeer => "peer",
            // What is no WebSocket, or a message that is too long for one.
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => "protocol",
            Self::Io(_) => "io",
            Self::Session(SessionError::Wire(WireError::TimedOut(_))) => "timeout",
            // It says why it goes, which is its own affair.
            Self::Session(SessionError::Wire(WireError::GoneAway(_))) => "peer",
            Self::Session(SessionError::Stalled(_) | SessionError::HalfSent(_)) => "stalled",
            Self::Session(_) => "protocol",
            Self::Stalled(_) => "stalled",
            Self::Unfinished => "memory",
            Self::Capped => "capped",
            Self::Drained => "drained",
        }
    }

    /// Whether the peer did what no peer should.
    pub fn is_fault(&self) -> bool {
        matches!(self.reason(), "protocol" | "stalled" | "memory" | "timeout")
    }
}

pub(super) struct Link {
    pub(super) pipe: Pipe,
    pub(super) session: Session,
    out: Outgoing,
    clock: Clock,
    timer: Pin<Box<Sleep>>,
    /// When the pipe last took bytes while some waited.
    moved: Duration,
    /// What of a message was on its way then.
    trickled: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Link {
    pub(super) fn new(pipe: Pipe, session: Session, clock: Clock) -> Self {
        let deadline = session.deadline().map_or_else(Instant::now, |deadline| clock.at(deadline));
        Self {
            pipe,
            session,
            out: Outgoing::default(),
            clock,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
            moved: Duration::ZERO,
            trickled: 0,
            received: 0,
            sent: 0,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Bytes that wait for the peer, in the session or on their way to the pipe.
    pub(super) fn unsent(&self) -> usize {
        self.session.unsent() + self.out.len()
    }

    /// Bytes held of messages that are not whole.
    pub(super) fn unfinished(&self) -> usize {
        self.session.unfinished() + self.pipe.unfinished()
    }

    /// Whether a draining session has nothing left to say, and all of it is with the system.
    pub(super) fn is_drained(&self) -> bool {
        self.session.is_drained() && self.out.is_empty()
    }

    /// Closes the pipe so that what was sent last is not lost. It takes as long as the peer takes to close its side, and
    /// two seconds at most.
    pub(super) async fn close(self) {
        // A peer that does not close has had its time.
        let _ = tokio::time::timeout(FAREWELL, self.pipe.close()).await;
    }

    /// Reads what there is. `Ready(Ok)` if something came, so that there may be something to do.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let now = self.clock.now();
        let session = &mut self.session;
        match self.pipe.poll_receive(cx, |bytes| session.receive(bytes, now).map_err(Ended::from)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Ended::ByPeer)),
            Poll::Ready(Ok(n)) => {
                self.received += n as u64;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Sends what there is, as far as the pipe takes it. `Ready(Ok)` if something went, so that there may be room.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let now = self.clock.now();
        let mut progress = false;
        for _ in 0..TURN {
            if self.out.is_empty() {
                self.session.transmit(self.out.buffer(), self.pipe.chunk(), now)?;
                self.moved = now;
                if self.out.is_empty() {
                    self.out.release();
                    return if progress { Poll::Ready(Ok(())) } else { Poll::Pending };
                }
            }
            match self.pipe.poll_send(cx, &mut self.out) {
                Poll::Ready(Ok(n)) => {
                    self.sent += n as u64;
                    self.moved = now;
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return if progress { Poll::Ready(Ok(())) } else { Poll::Pending },
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps the deadlines. Pending as long as the connection is in time.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let now = self.clock.now();
        if self.trickled != self.pipe.trickled() {
            (self.trickled, self.moved) = (self.pipe.trickled(), now);
        }
        let timeout = self.session.config().wire.stall_timeout;
        let stalled = (!self.out.is_empty()).then(|| self.moved + timeout);
        if stalled.is_some_and(|stalled| now >= stalled) {
            return Poll::Ready(Err(Ended::Stalled(timeout)));
        }
        let session = self.session.deadline();
        if session.is_some_and(|deadline| now >= deadline) {
            self.session.wake(now)?;
            return Poll::Ready(Ok(()));
        }
        let Some(next) = session.into_iter().chain(stalled).min() else { return Poll::Pending };
        // Deadlines mostly move away: the timer is set anew when it fires, or when one has come nearer.
        let next = self.clock.at(next);
        if next < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(next);
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(error: SessionError) -> Ended {
        Ended::Session(error)
    }

    #[test]
    fn a_peer_that_goes_and_says_why_is_not_at_fault_and_one_that_stands_still_is() {
        let gone = session(SessionError::Wire(WireError::GoneAway(2)));
        assert_eq!((gone.reason(), gone.is_fault()), ("peer", false));
        let minute = Duration::from_secs(60);
        for ended in
            [session(SessionError::Stalled(minute)), session(SessionError::HalfSent(minute)), Ended::Stalled(minute)]
        {
            assert_eq!((ended.reason(), ended.is_fault()), ("stalled", true));
            assert!(ended.to_string().ends_with("for 60 s"), "{ended}");
        }
    }
}
