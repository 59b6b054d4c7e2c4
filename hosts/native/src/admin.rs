//! The operator's pages over HTTP: `/health/live`, `/health/ready`, `/metrics`, `/peers`.
//!
//! Not for the public: it listens on loopback unless told otherwise, and knows no secrets and no commands.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::caps::Caps;
use crate::claims::IndexService;
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

/// Where the pages are to be: `HOST:PORT`, the host being a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddr {
    /// An address
    Socket(SocketAddr),
    /// A name, all addresses of which are meant, and a port
    Name(String, u16),
}

/// A text that is not `HOST:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write HOST:PORT, such as 127.0.0.1:4043, [::1]:4043 or localhost:4043")]
pub struct AdminAddrError;

impl FromStr for AdminAddr {
    type Err = AdminAddrError;

    fn from_str(text: &str) -> Result<Self, AdminAddrError> {
        if let Ok(socket) = text.parse() {
            return Ok(Self::Socket(socket));
        }
        let (host, port) = text.rsplit_once(':').ok_or(AdminAddrError)?;
        // What is no name is no address either, or it would have been read as one.
        let is_name = host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
            && host.chars().any(|c| c.is_ascii_alphabetic());
        match port.parse() {
            Ok(port) if is_name => Ok(Self::Name(host.to_owned(), port)),
            _ => Err(AdminAddrError),
        }
    }
}

impl fmt::Display for AdminAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => socket.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl AdminAddr {
    /// Connects to the first that answers of what is meant.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        match self {
            Self::Socket(socket) => TcpStream::connect(socket).await,
            Self::Name(host, port) => TcpStream::connect((host.as_str(), *port)).await,
        }
    }

    /// Takes the address, or all those of the name, of which there is at least one.
    async fn bind(&self) -> io::Result<Vec<TcpListener>> {
        let sockets: Vec<SocketAddr> = match self {
            Self::Socket(socket) => vec![*socket],
            Self::Name(host, port) => tokio::net::lookup_host((host.as_str(), *port)).await?.collect(),
        };
        let mut listeners: Vec<TcpListener> = Vec::with_capacity(sockets.len());
        let mut not_here = None;
        for socket in sockets {
            match TcpListener::bind(socket).await {
                Ok(listener) => listeners.push(listener),
                // A name may have an IPv6 address on a machine that does without.
                Err(error) if matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported) => {
                    not_here = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match not_here {
            Some(error) if listeners.is_empty() => Err(error),
            None if listeners.is_empty() => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            _ => Ok(listeners),
        }
    }
}

/// The admin pages, listening but not answering yet.
#[derive(Debug)]
pub struct Admin {
    listeners: Vec<TcpListener>,
    pages: Pages,
}

/// What the pages are made from.
#[derive(Debug, Clone)]
struct Pages {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    caps: Arc<Caps>,
    /// Where blocks are, once there is a store that may be told of
    index: Arc<OnceLock<IndexService>>,
}

impl Admin {
    /// Takes the port on every address of the host. It resolves a name by the system's resolver.
    pub async fn bind(
        addr: &AdminAddr,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
        caps: Arc<Caps>,
    ) -> Result<Self, ConfigError> {
        let failed = |error| ConfigError::Listen { flag: "admin", addr: addr.to_string(), error };
        let listeners = addr.bind().await.map_err(failed)?;
        let index = Arc::default();
        Ok(Self { listeners, pages: Pages { metrics, readiness, caps, index } })
    }

    /// The addresses really listened on, where a name or port 0 was asked for.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok())
    }

    /// Where to put what tells of a store, once it is open.
    pub fn index(&self) -> Arc<OnceLock<IndexService>> {
        self.pages.index.clone()
    }

    /// Answers until dropped.
    pub async fn run(self) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, self.pages.clone(), permits.clone()));
        }
        accepting.join_all().await;
    }
}

async fn accept(listener: TcpListener, pages: Pages, permits: Arc<Semaphore>) {
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: a busy loop would make it worse.
                tracing::warn!(%error, "admin: cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let pages = pages.clone();
        tokio::spawn(async move {
            let service = service_fn(|mut request| {
                let pages = &pages;
                async move {
                    let told = match pages.index.get() {
                        Some(index) => index.answer(&mut request).await,
                        None => None,
                    };
                    Ok::<_, Infallible>(told.unwrap_or_else(|| answer(&request, pages)))
                }
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

fn answer(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const JSON: &str = "application/json";
    const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/health/live" => page(StatusCode::OK, TEXT, "live\n"),
        "/health/ready" if pages.readiness.is_ready() => page(StatusCode::OK, TEXT, "ready\n"),
        "/health/ready" => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n"),
        "/metrics" => page(StatusCode::OK, PROMETHEUS, pages.metrics.text()),
        "/peers" => match serde_json::to_vec(&pages.caps.page()) {
            Ok(json) => page(StatusCode::OK, JSON, json),
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        "/" => page(StatusCode::OK, TEXT, "hoverboard\n/health/live\n/health/ready\n/metrics\n/peers\n"),
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

    use super::*;
    use crate::caps::Settings;

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut socket = TcpStream::connect(addr).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    /// The pages at an address, and where they are.
    async fn serve(addr: &str, readiness: Arc<Readiness>) -> Result<Vec<SocketAddr>, ConfigError> {
        let addr = addr.parse().expect("an address");
        let metrics = Arc::new(Metrics::new());
        let caps = Arc::new(Caps::in_memory(Settings::unlimited(), metrics.clone()));
        let admin = Admin::bind(&addr, metrics, readiness, caps).await?;
        let addrs = admin.local_addrs().collect();
        tokio::spawn(admin.run());
        Ok(addrs)
    }

    #[tokio::test]
    async fn live_is_not_ready_until_it_is_said_so() {
        let readiness = Arc::new(Readiness::default());
        let addr = serve("127.0.0.1:0", readiness.clone()).await.expect("bound")[0];
        assert!(get(addr, "/health/live").await.starts_with("HTTP/1.1 200"));
        assert!(get(addr, "/health/ready").await.starts_with("HTTP/1.1 503"));
        readiness.set(true);
        assert!(get(addr, "/health/ready").await.starts_with("HTTP/1.1 200"));
        readiness.set(false);
        assert!(get(addr, "/health/ready").await.starts_with("HTTP/1.1 503"));
    }

    #[tokio::test]
    async fn silent_clients_do_not_keep_others_out_of_their_turn() {
        let addr = serve("127.0.0.1:0", Arc::default()).await.expect("bound")[0];
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS - 1 {
            silent.push(TcpStream::connect(addr).await.expect("connected"));
        }
        assert!(get(addr, "/metrics").await.contains("hoverboard_cars"));
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_listened_on() {
        let addrs = serve("localhost:0", Arc::default()).await.expect("bound");
        assert!(!addrs.is_empty());
        for addr in addrs {
            assert!(addr.ip().is_loopback());
            assert!(get(addr, "/health/live").await.starts_with("HTTP/1.1 200"), "{addr}");
        }
    }

    #[tokio::test]
    async fn a_port_taken_on_one_address_of_a_name_is_not_passed_over() {
        let taken = serve("localhost:0", Arc::default()).await.expect("bound");
        for addr in taken {
            let error =
                serve(&format!("localhost:{}", addr.port()), Arc::default()).await.expect_err("taken").to_string();
            assert!(error.contains("--admin") && error.contains(&format!("localhost:{}", addr.port())), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_resolved_names_the_flag() {
        // Longer than a label may be: no resolver asks anybody for it.
        let addr = format!("{}:0", "a".repeat(70));
        let error = serve(&addr, Arc::default()).await.expect_err("no such name").to_string();
        assert!(error.contains("--admin") && error.contains(&addr), "{error}");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let name = |host: &str, port| Ok(AdminAddr::Name(host.to_owned(), port));
        assert_eq!("localhost:4043".parse(), name("localhost", 4043));
        assert_eq!("my-host.example.org.:1".parse(), name("my-host.example.org.", 1));
        for address in ["127.0.0.1:1", "[::1]:4043", "0.0.0.0:0"] {
            assert_eq!(address.parse(), Ok(AdminAddr::Socket(address.parse().expect("an address"))));
        }
        let wrong = [
            "",
            "4043",
            ":4043",
            "localhost",
            "localhost:",
            "localhost:65536",
            "::1:4043",
            "1.2.3:4",
            "a b:1",
            "[x]:1",
            "[::1]",
            "a:b:1",
            "http://a:1",
        ];
        for text in wrong {
            assert_eq!(text.parse::<AdminAddr>(), Err(AdminAddrError), "{text}");
        }
    }
}
