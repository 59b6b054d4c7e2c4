//! One request over HTTP: bounded in bytes and time, not led elsewhere, and only to addresses that may be asked.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hoverboard_claims::{Addresses, is_public};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url, redirect};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the whole of a request may take.
const WHOLE: Duration = Duration::from_secs(30);

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL cannot be put together
    #[error("no URL")]
    Url,
    /// The request failed
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// The object store failed
    #[error("{0}")]
    Store(#[from] object_store::Error),
    /// Another answer than the bytes, a redirect among others
    #[error("status {0}")]
    Status(StatusCode),
    /// The answer is longer than was allowed
    #[error("more than {0} bytes")]
    TooLong(u64),
    /// The answer is another range than was asked for
    #[error("another range than was asked for")]
    Range,
    /// The bytes are not the block that was asked for, or no section
    #[error("{0}")]
    Wrong(String),
}

/// What came of a request.
pub(super) enum Found {
    /// These bytes
    Body(Bytes),
    /// There is nothing there, which is certain
    Nothing,
}

/// Two clients: one that connects to public addresses alone, and one for what the operator vouches for.
#[derive(Debug)]
pub(super) struct Client {
    public: reqwest::Client,
    vouched: reqwest::Client,
}

impl Client {
    pub(super) fn new() -> Result<Self, FetchError> {
        // TLS has no provider of its own here; a second call finds the first one's and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let agent = concat!("hoverboard/", env!("CARGO_PKG_VERSION"));
            let client = reqwest::Client::builder().user_agent(agent).redirect(redirect::Policy::none());
            client.connect_timeout(CONNECT).read_timeout(SILENCE).timeout(WHOLE)
        };
        // A proxy would resolve names itself, and connect to what it finds.
        let public = builder().https_only(true).no_proxy().dns_resolver(Arc::new(PublicOnly)).build()?;
        Ok(Self { public, vouched: builder().build()? })
    }

    /// Gets what is at a URL that the operator vouches for.
    pub(super) async fn vouched(
        &self,
        url: Url,
        range: Option<(u64, Option<u64>)>,
        max_bytes: u64,
    ) -> Result<Found, FetchError> {
        self.get(url, Addresses::Any, range, max_bytes).await
    }

    /// Gets what is at a URL, or `range` of it: an offset and a length.
    pub(super) async fn get(
        &self,
        url: Url,
        addresses: Addresses,
        range: Option<(u64, Option<u64>)>,
        max_bytes: u64,
    ) -> Result<Found, FetchError> {
        match self.open(url, addresses, range).await? {
            Some(mut body) => {
                let mut bytes = BytesMut::new();
                while body.read(&mut bytes, max_bytes).await? {}
                Ok(Found::Body(bytes.freeze()))
            }
            None => Ok(Found::Nothing),
        }
    }

    /// Asks, and waits for the head of the answer. `None`: there is nothing there.
    pub(super) async fn open(
        &self,
        url: Url,
        addresses: Addresses,
        range: Option<(u64, Option<u64>)>,
    ) -> Result<Option<Body>, FetchError> {
        let client = match addresses {
            Addresses::Public => &self.public,
            Addresses::Any => &self.vouched,
        };
        let mut request = client.get(url);
        if let Some((offset, length)) = range {
            let last = length.and_then(|length| offset.checked_add(length)?.checked_sub(1));
            let last = last.map_or(String::new(), |last| last.to_string());
            request = request.header(RANGE, format!("bytes={offset}-{last}"));
        }
        let response = request.send().await?;
        let offset = range.map_or(0, |(offset, _)| offset);
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            StatusCode::PARTIAL_CONTENT if range.is_some() && begins_at(&response, offset) => {}
            StatusCode::PARTIAL_CONTENT => return Err(FetchError::Range),
            // Who does not know ranges sends everything, which serves as long as the bytes are at its front.
            StatusCode::OK if offset == 0 => {}
            StatusCode::OK => return Err(FetchError::Range),
            status => return Err(FetchError::Status(status)),
        }
        Ok(Some(Body { response, left: range.and_then(|(_, length)| length) }))
    }
}

fn begins_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range
        .is_some_and(|range| range.strip_prefix("bytes ").is_some_and(|range| range.starts_with(&format!("{offset}-"))))
}

/// The bytes of an answer, of which no more are read than are used.
pub(super) struct Body {
    response: Response,
    /// How many of them were asked for, if it was a certain number.
    left: Option<u64>,
}

impl Body {
    /// Reads on. Whether there may be more.
    pub(super) async fn read(&mut self, bytes: &mut BytesMut, max_bytes: u64) -> Result<bool, FetchError> {
        if self.left == Some(0) {
            return Ok(false);
        }
        let Some(mut chunk) = self.response.chunk().await? else {
            return match self.left {
                Some(_) => Err(FetchError::Range),
                None => Ok(false),
            };
        };
        if let Some(left) = &mut self.left {
            chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= chunk.len() as u64;
        }
        if (bytes.len() + chunk.len()) as u64 > max_bytes {
            return Err(FetchError::TooLong(max_bytes));
        }
        bytes.extend_from_slice(&chunk);
        Ok(true)
    }
}

/// Resolves names to those of their addresses that are public. A name that has others too is connected to by none of
/// them, and what was looked at is what is connected to.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            public_only(found).map_err(Into::into)
        })
    }
}

fn public_only(mut found: Vec<SocketAddr>) -> io::Result<Addrs> {
    found.retain(|address| is_public(address.ip()));
    match found.is_empty() {
        true => Err(io::Error::other("the name has no public address")),
        false => Ok(Box::new(found.into_iter())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_only_what_is_public_of_it() {
        let addresses = ["127.0.0.1:0", "1.1.1.1:0", "[::1]:0", "[fd00::1]:0"].map(|text| text.parse().expect("valid"));
        let kept: Vec<SocketAddr> = public_only(addresses.to_vec()).expect("one is public").collect();
        assert_eq!(kept, [addresses[1]]);
        assert!(public_only(vec![addresses[0], addresses[2]]).is_err());
    }

    #[tokio::test]
    async fn names_of_this_machine_are_not_connected_to() {
        let client = Client::new().expect("made");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("https://localhost:{}/", listener.local_addr().expect("bound").port());
        let asked = client.get(url.parse().expect("a URL"), Addresses::Public, None, 1000).await;
        assert!(matches!(asked, Err(FetchError::Http(_))));
        let connected = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(connected.is_err(), "somebody connected");
    }
}
