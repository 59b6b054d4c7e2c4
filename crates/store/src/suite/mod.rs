//! What every store must do: cases that a host's tests run over its own.
//!
//! They are plain futures over a [`Bucket`] and need no test framework, so that they run over R2 inside a Worker as they
//! do over a local folder. A case says what was wrong in words and does not panic, where it would take the
//! instance down. Cases use keys of their own and may share a bucket, also one that was used before.

mod cars;
mod failing;
mod imports;
mod index;
mod objects;

use std::fmt;

use futures_util::future::BoxFuture;

use crate::Bucket;

/// A case: something that must be so of every store.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What must be so.
    pub name: &'static str,
    run: for<'a> fn(&'a Bucket) -> BoxFuture<'a, Outcome>,
}

impl Case {
    /// Runs the case.
    ///
    /// # Errors
    ///
    /// It is not so.
    pub async fn run(&self, bucket: &Bucket) -> Outcome {
        (self.run)(bucket).await
    }
}

/// How a case ended.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a case failed.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// As `Failure` is no error itself, any error can become one.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Every case: the plain ones over objects first, then those that import, and those that index.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    objects::CASES.iter().chain(imports::CASES).chain(index::CASES)
}

/// Runs every case twice, since what one left behind must make no difference, and says what failed: nothing, of a store
/// that does what it must.
pub async fn failures(bucket: &Bucket) -> Vec<String> {
    let mut failures = Vec::new();
    for round in 1..=2 {
        for case in cases() {
            if let Err(failure) = case.run(bucket).await {
                failures.push(format!("round {round}, {}: {failure}", case.name));
            }
        }
    }
    failures
}

/// A case out of an async function, named as it is.
macro_rules! case {
    ($function:ident) => {
        $crate::suite::Case { name: stringify!($function), run: |bucket| Box::pin($function(bucket)) }
    };
}

/// Fails the case unless this holds; the rest is what to say then.
macro_rules! ensure {
    ($holds:expr, $($say:tt)+) => {
        if !$holds {
            return Err($crate::suite::Failure(format!($($say)+)));
        }
    };
}

use {case, ensure};
