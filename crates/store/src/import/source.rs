//! Where the bytes of a CAR come from when it is uploaded.

use std::io;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

/// A file that can be read at any place: local, spooled, or in memory.
pub trait Source: Send + Sync {
    /// The `len` bytes at byte `at` of the file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or ends before: [`io::ErrorKind::UnexpectedEof`].
    fn read_at(&self, at: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>>;
}

impl Source for Bytes {
    fn read_at(&self, at: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        let slice = || {
            let start = usize::try_from(at).ok()?;
            let end = start.checked_add(len)?;
            (end <= self.len()).then(|| self.slice(start..end))
        };
        future::ready(slice().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())).boxed()
    }
}
