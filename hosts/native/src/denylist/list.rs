//! One denylist that is kept up to date: asked for at intervals, and again soon where that failed. What was good last counts
//! until there is something better.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hoverboard_denylist::{Denylist, ListError, OpenError, Problem, Rules};
use tokio::time::Instant;

use super::fetch::{FetchError, Fetched, Tag, fetch, stamp};
use super::kept::Kept;
use super::source::Source;
use crate::catalog::stamp::Stamp;

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A file is loaded when it has not changed for so long: whoever writes it is done then. File systems keep times to between
/// a nanosecond and two seconds.
const SETTLE: Duration = Duration::from_secs(2);
/// A list that could not be loaded is asked for again after so long, or sooner where it is asked for more often.
const AGAIN: Duration = Duration::from_secs(30);

/// Why a denylist cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be had
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is no list
    #[error(transparent)]
    List(#[from] ListError),
    /// It was compiled, and is damaged
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The process is ending
    #[error("it was interrupted")]
    Interrupted,
}

/// A list that was read, and the first of its lines that are no rules.
#[derive(Debug)]
pub struct Loaded {
    /// The list.
    pub list: Denylist,
    /// Lines passed over; of a list that was compiled elsewhere only their number is known.
    pub problems: Vec<Problem>,
}

/// Loads a list once.
///
/// # Errors
/// It cannot be had, or is none.
pub async fn load(source: &Source) -> Result<Loaded, LoadError> {
    match fetch(source, None).await? {
        Fetched::New(bytes, _) => read(bytes).await,
        Fetched::Unchanged => Err(LoadError::Interrupted),
    }
}

/// Reads a list in any of its forms. It takes a thread for some 100 ms.
async fn read(bytes: Bytes) -> Result<Loaded, LoadError> {
    let read = move || {
        if Denylist::is_compiled(&bytes) {
            return Ok(Loaded { list: Denylist::open(bytes)?, problems: Vec::new() });
        }
        let mut rules = Rules::new();
        rules.read(&bytes)?;
        drop(bytes);
        let problems = rules.problems().to_vec();
        Ok(Loaded { list: Denylist::open(rules.compile())?, problems })
    };
    tokio::task::spawn_blocking(read).await.map_err(|_| LoadError::Interrupted)?
}

/// A list, and when it is to be looked at next.
#[derive(Debug)]
pub(super) struct List {
    source: Source,
    refresh: Duration,
    kept: Option<Kept>,
    /// Of the list that counts.
    tag: Option<Tag>,
    /// Of what came after it and is no list: it is not read again.
    bad: Option<Tag>,
    /// A file's stamp, and since when it has been this one.
    seen: Option<(Stamp, Instant)>,
    /// What was said last of a failure: it is not said again every second.
    failure: Option<String>,
}

/// What came of looking at a list.
#[derive(Debug)]
pub(super) enum Looked {
    /// It is the one that is known.
    Same,
    /// It is being written to, or is still what could not be used before.
    Waiting,
    /// It is another one.
    New(Arc<Denylist>),
    /// It cannot be loaded.
    Failed(LoadError),
}

impl List {
    pub(super) fn new(source: Source, refresh: Duration, kept: Option<Kept>) -> Self {
        Self { source, refresh, kept, tag: None, bad: None, seen: None, failure: None }
    }

    /// The copy of it from an earlier run.
    pub(super) async fn last_good(&self) -> Option<Arc<Denylist>> {
        let kept = self.kept.clone()?;
        let list = tokio::task::spawn_blocking(move || kept.load()).await.ok()??;
        Some(Arc::new(list))
    }

    /// Waits until it is time to look again.
    pub(super) async fn wait(&self) {
        let time = match (&self.source, &self.failure) {
            (Source::File(_), _) => LOOK,
            (_, Some(_)) => AGAIN.min(self.refresh),
            (_, None) => self.refresh,
        };
        tokio::time::sleep(time).await;
    }

    /// Looks whether it has changed, and if so loads it.
    pub(super) async fn look(&mut self) -> Looked {
        if let Source::File(path) = &self.source
            && !self.is_settled(stamp(path).ok())
        {
            return Looked::Waiting;
        }
        self.load(true).await
    }

    /// Loads it, if it is not the one that is known. `settled`: a file has not been written to for a while.
    pub(super) async fn load(&mut self, settled: bool) -> Looked {
        let (bytes, tag) = match fetch(&self.source, self.bad.as_ref().or(self.tag.as_ref())).await {
            Ok(Fetched::New(bytes, tag)) => (bytes, tag.filter(|tag| settled || tag.is_settled())),
            Ok(Fetched::Unchanged) if self.bad.is_some() => return Looked::Waiting,
            Ok(Fetched::Unchanged) => {
                self.failure = None;
                return Looked::Same;
            }
            Err(error) => return self.failed(error.into()),
        };
        match read(bytes).await {
            Ok(loaded) => {
                self.report(&loaded);
                (self.tag, self.bad, self.failure) = (tag, None, None);
                let list = Arc::new(loaded.list);
                self.keep(list.clone()).await;
                Looked::New(list)
            }
            Err(error) => {
                self.bad = tag;
                self.failed(error)
            }
        }
    }

    /// Says so, if it is not what was said last.
    fn failed(&mut self, error: LoadError) -> Looked {
        let text = error.to_string();
        if self.failure.as_ref() != Some(&text) {
            tracing::warn!(denylist = %self.source, error = %text, "cannot load: the last good one counts, if any");
        }
        self.failure = Some(text);
        Looked::Failed(error)
    }

    /// Whether a file that may have changed has been as it is now for long enough to be loaded; and one that cannot be
    /// looked at is tried, which says why.
    fn is_settled(&mut self, now: Option<Stamp>) -> bool {
        let Some(stamp) = now else { return true };
        match self.seen {
            Some((seen, since)) if seen == stamp => since.elapsed() >= SETTLE,
            _ => {
                self.seen = Some((stamp, Instant::now()));
                false
            }
        }
    }

    async fn keep(&self, list: Arc<Denylist>) {
        let Some(kept) = self.kept.clone() else { return };
        let stored = tokio::task::spawn_blocking(move || kept.store(&list)).await;
        if let Ok(Err(error)) = stored {
            tracing::warn!(denylist = %self.source, %error, "cannot keep a copy of a denylist");
        }
    }

    fn report(&self, loaded: &Loaded) {
        let counts = loaded.list.counts();
        tracing::info!(
            denylist = %self.source,
            rules = counts.enforced(),
            exceptions = loaded.list.exceptions(),
            path_rules_not_enforced = counts.paths,
            name_rules_not_enforced = counts.names,
            "loaded"
        );
        if counts.unsupported > 0 {
            let rules = counts.unsupported;
            tracing::warn!(denylist = %self.source, rules, "hashes by other functions than sha2-256 are not enforced");
        }
        if counts.malformed > 0 {
            let first = loaded.problems.first().map(|problem| format!("line {}: {}", problem.line, problem.why));
            let lines = counts.malformed;
            tracing::warn!(denylist = %self.source, lines, first, "lines that are no rules were passed over");
        }
    }
}
