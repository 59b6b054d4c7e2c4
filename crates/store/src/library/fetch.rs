//! One request: its permit, the head of its answer, and the bytes after it.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Config, Library, Timer};
use crate::ledger::{Account, Kind, Spent, Work};

/// Why a read brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Definitely not there.
    #[error("it is not there")]
    Gone,
    /// Not the object it was.
    #[error("it was replaced")]
    Replaced,
    /// Nothing was asked: the budget of the event is spent.
    #[error(transparent)]
    Spent(#[from] Spent),
    /// It is too large to be read at once just now.
    #[error("there is no room for it")]
    NoRoom,
    /// The store failed, and may not next time.
    #[error("{0}")]
    Failed(Arc<str>),
    /// What was read is not what it should be.
    #[error("{0}")]
    Wrong(Arc<str>),
}

impl Failure {
    pub(crate) fn of(error: &object_store::Error, account: &Account) -> Self {
        use object_store::Error;
        if let Some(spent) = Spent::of(error) {
            account.mark_exhausted();
            return Self::Spent(spent);
        }
        match error {
            Error::NotFound { .. } => Self::Gone,
            Error::Precondition { .. } => Self::Replaced,
            error => Self::failed(error),
        }
    }

    pub(crate) fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string().into())
    }

    pub(crate) fn wrong(why: impl ToString) -> Self {
        Self::Wrong(why.to_string().into())
    }
}

/// An answer whose head is here.
pub(crate) struct Opened {
    pub(crate) body: Body,
    /// The length of the whole object.
    pub(crate) size: u64,
    /// Its strong ETag, where the store has one.
    pub(crate) e_tag: Option<String>,
}

impl Library {
    /// Asks for a range of an object, which may end beyond its end.
    pub(crate) async fn open(
        &self,
        store: &Arc<dyn ObjectStore>,
        key: &Path,
        range: Range<u64>,
        if_match: Option<String>,
        account: &Account,
    ) -> Result<Opened, Failure> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match, ..GetOptions::default() };
        let permit = account.request(Kind::Read).await?;
        let result = self.watched(store.get_opts(key, options)).await?;
        drop(permit);
        let result = result.map_err(|error| Failure::of(&error, account))?;
        Ok(Opened {
            size: result.meta.size,
            e_tag: result.meta.e_tag.clone().filter(|e_tag| !e_tag.starts_with("W/")),
            body: Body {
                left: result.range.end.saturating_sub(result.range.start),
                range: result.range.clone(),
                stream: result.into_stream(),
                stall: Stall::new(&self.config),
                account: account.clone(),
            },
        })
    }

    /// A future of the store's, which is not waited for without end.
    pub(crate) async fn watched<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        let mut future = std::pin::pin!(future);
        let mut stall = Stall::new(&self.config);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => stall.poll(cx).map(Err),
        })
        .await
    }

    /// Reads until it works, as often as [`Retry`](super::Retry) says.
    pub(crate) async fn retrying<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        read: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let may_pass =
            |failure: &Failure| matches!(failure, Failure::Failed(_) | Failure::Wrong(_) | Failure::Replaced);
        self.config.retry.run(&*self.config.timer, may_pass, read).await
    }
}

/// The bytes of a range, exactly as many as the head of the answer said.
pub(crate) struct Body {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    range: Range<u64>,
    left: u64,
    stall: Stall,
    account: Account,
}

impl Body {
    /// Where in the object the bytes end.
    pub(crate) fn end(&self) -> u64 {
        self.range.end
    }

    /// Where in the object the bytes begin.
    pub(crate) fn start(&self) -> u64 {
        self.range.start
    }

    /// The next bytes; `None` at the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        if self.left == 0 {
            return Poll::Ready(Ok(None));
        }
        let chunk = match self.stream.poll_next_unpin(cx) {
            Poll::Ready(chunk) => chunk,
            Poll::Pending => return Poll::Ready(Err(ready!(self.stall.poll(cx)))),
        };
        self.stall.progress();
        let chunk = match chunk {
            Some(Ok(chunk)) if chunk.len() as u64 <= self.left => chunk,
            Some(Ok(_)) => return Poll::Ready(Err(Failure::failed("the answer is longer than its head says"))),
            Some(Err(error)) => return Poll::Ready(Err(Failure::of(&error, &self.account))),
            None => return Poll::Ready(Err(Failure::failed("the answer is shorter than its head says"))),
        };
        self.left -= chunk.len() as u64;
        self.account.charge(&Work { read: chunk.len() as u64, ..Work::default() });
        Poll::Ready(Ok(Some(chunk)))
    }

    /// Not being polled for a while is not the store's fault.
    pub(crate) fn pause(&mut self) {
        self.stall.pause();
    }

    /// Reads until `out` has so many bytes, or to the end.
    pub(crate) async fn read(&mut self, out: &mut Vec<u8>, upto: usize) -> Result<(), Failure> {
        while out.len() < upto
            && let Some(chunk) = poll_fn(|cx| self.poll_chunk(cx)).await?
        {
            out.extend_from_slice(&chunk);
        }
        Ok(())
    }
}

/// Notices that something brings nothing for too long. One timer serves many steps, so that a step costs none.
struct Stall {
    timer: Arc<dyn Timer>,
    time: Duration,
    armed: Option<BoxFuture<'static, ()>>,
    progressed: bool,
}

impl Stall {
    fn new(config: &Config) -> Self {
        Self { timer: Arc::clone(&config.timer), time: config.retry.stalled, armed: None, progressed: false }
    }

    fn progress(&mut self) {
        self.progressed = true;
    }

    fn pause(&mut self) {
        self.armed = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            let armed = self.armed.get_or_insert_with(|| {
                self.progressed = false;
                self.timer.sleep(self.time)
            });
            ready!(armed.poll_unpin(cx));
            self.armed = None;
            if !self.progressed {
                return Poll::Ready(Failure::failed(format_args!("no answer within {:?}", self.time)));
            }
        }
    }
}
