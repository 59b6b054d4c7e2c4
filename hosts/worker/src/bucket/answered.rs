//! A request that nobody may wait for any more when its answer comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use worker::wasm_bindgen_futures::spawn_local;

/// A request that is carried on until its answer is here, also when it is dropped before: what comes is then dropped, and
/// a body with it closed. Without this it would stay open.
pub(super) struct Answered<T: 'static>(Option<LocalBoxFuture<'static, T>>);

impl<T> Answered<T> {
    pub(super) fn new(request: impl Future<Output = T> + 'static) -> Self {
        Self(Some(request.boxed_local()))
    }
}

impl<T> Future for Answered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(request) = &mut self.0 else { return Poll::Pending };
        let answer = request.poll_unpin(cx);
        if answer.is_ready() {
            self.0 = None;
        }
        answer
    }
}

impl<T: 'static> Drop for Answered<T> {
    fn drop(&mut self) {
        if let Some(request) = self.0.take() {
            spawn_local(async move { drop(request.await) });
        }
    }
}
