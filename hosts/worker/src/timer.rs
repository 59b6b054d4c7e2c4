//! Waiting, by the platform's timers. A timer that is dropped is cleared, so that none outlives its event.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hoverboard_store::library::Timer;
use worker::Delay;
use worker::send::SendFuture;

/// `setTimeout`.
#[derive(Debug, Clone, Copy)]
struct Platform;

/// The timer of the reads.
pub(crate) fn timer() -> Arc<dyn Timer> {
    Arc::new(Platform)
}

impl Timer for Platform {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        SendFuture::new(Delay::from(time)).boxed()
    }
}
