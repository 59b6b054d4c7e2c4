//! The operator's pages over HTTP: `/health/live`, `/health/ready`, `/metrics`.
//!
//! Not for the public: it listens on loopback unless told otherwise, and knows no secrets and no commands.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::config::ConfigError;
use crate::metrics::Metrics;

/// Connections at once; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 32;
/// How long a client may take over its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether peers can be served: after the first index, until a stop is asked for.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// Says so from now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether peers can be served.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The admin pages, listening but not answering yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

impl Admin {
    /// Takes the port.
    pub async fn bind(addr: SocketAddr, metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Result<Self, ConfigError> {
        let failed = |error| ConfigError::Listen { flag: "admin", addr: addr.to_string(), error };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        Ok(Self { listener, metrics, readiness })
    }

    /// The address really listened on, where port 0 was asked for.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until dropped.
    pub async fn run(self) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: a busy loop would make it worse.
                    tracing::warn!(%error, "admin: cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (metrics, readiness) = (self.metrics.clone(), self.readiness.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = answer(&request, &metrics, &readiness);
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut server = hyper::server::conn::http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                    tracing::debug!(%error, "admin: connection ended");
                }
                drop(permit);
            });
        }
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, readiness: &Readiness) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/health/live" => page(StatusCode::OK, TEXT, "live\n"),
        "/health/ready" if readiness.is_ready() => page(StatusCode::OK, TEXT, "ready\n"),
        "/health/ready" => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n"),
        "/metrics" => page(StatusCode::OK, PROMETHEUS, metrics.text()),
        "/" => page(StatusCode::OK, TEXT, "hoverboard\n/health/live\n/health/ready\n/metrics\n"),
        _ => page(StatusCode::NOT_FOUND, TEXT, "not found\n"),
    }
}

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut socket = TcpStream::connect(addr).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    #[tokio::test]
    async fn live_is_not_ready_until_it_is_said_so() {
        let readiness = Arc::new(Readiness::default());
        let bound =
            Admin::bind("127.0.0.1:0".parse().expect("an address"), Arc::new(Metrics::new()), readiness.clone());
        let admin = bound.await.expect("bound");
        let addr = admin.local_addr().expect("bound");
        tokio::spawn(admin.run());
        assert!(get(addr, "/health/live").await.starts_with("HTTP/1.1 200"));
        assert!(get(addr, "/health/ready").await.starts_with("HTTP/1.1 503"));
        readiness.set(true);
        assert!(get(addr, "/health/ready").await.starts_with("HTTP/1.1 200"));
        readiness.set(false);
        assert!(get(addr, "/health/ready").await.starts_with("HTTP/1.1 503"));
    }

    #[tokio::test]
    async fn silent_clients_do_not_keep_others_out_of_their_turn() {
        let bound = Admin::bind("127.0.0.1:0".parse().expect("an address"), Arc::new(Metrics::new()), Arc::default());
        let admin = bound.await.expect("bound");
        let addr = admin.local_addr().expect("bound");
        tokio::spawn(admin.run());
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS - 1 {
            silent.push(TcpStream::connect(addr).await.expect("connected"));
        }
        assert!(get(addr, "/metrics").await.contains("hoverboard_cars"));
    }
}
