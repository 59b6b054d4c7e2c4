//! A web server of the worst kind, and requests to a good one.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is at a path.
#[derive(Clone)]
pub(crate) enum Page {
    /// These bytes, and ranges of them
    Bytes(Vec<u8>),
    /// These bytes, whatever range is asked for
    Whole(Vec<u8>),
    /// A redirect to this URL
    Redirect(String),
    /// Bytes without an end, said to be a terabyte
    Terabyte,
    /// Bytes without an end, of which nothing is said
    Endless,
    /// The first half of these bytes, and then the end of the connection
    Half(Vec<u8>),
    /// This status
    Status(u16),
}

/// A server on loopback.
pub(crate) struct Web {
    pub(crate) addr: SocketAddr,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let addr = listener.local_addr().expect("bound");
        let (pages, asked) = (Arc::<Mutex<HashMap<_, _>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (all, log) = (pages.clone(), asked.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (all, log) = (all.clone(), log.clone());
                std::thread::spawn(move || answer(socket, &all, &log));
            }
        });
        Self { addr, pages, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn put(&self, path: &str, page: Page) {
        self.pages.lock().expect("not poisoned").insert(path.to_owned(), page);
    }

    /// The paths that were asked for so far, without their queries.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn answer(socket: TcpStream, pages: &Mutex<HashMap<String, Page>>, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(socket.try_clone().expect("cloned")).lines().map_while(Result::ok);
    let path = lines.next().and_then(|line| Some(line.split(' ').nth(1)?.split('?').next()?.to_owned()));
    let Some(path) = path else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    log.lock().expect("not poisoned").push(path.clone());
    let page = pages.lock().expect("not poisoned").get(&path).cloned();
    // Whoever hangs up early has seen enough.
    let _ = send(socket, page.unwrap_or(Page::Status(404)), range(&headers));
}

/// First and last byte of the range that is asked for.
fn range(headers: &[String]) -> Option<(usize, Option<usize>)> {
    let lower = headers.iter().map(|line| line.to_ascii_lowercase());
    let (first, last) = lower
        .filter_map(|line| line.strip_prefix("range: bytes=").map(str::to_owned))
        .next()?
        .split_once('-')
        .map(|(first, last)| (first.to_owned(), last.to_owned()))?;
    Some((first.parse().ok()?, last.parse().ok()))
}

fn send(mut socket: TcpStream, page: Page, range: Option<(usize, Option<usize>)>) -> std::io::Result<()> {
    let mut head =
        |status: &str, headers: &str| write!(socket, "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n");
    match page {
        Page::Bytes(bytes) => {
            let (first, last) = range.unwrap_or((0, None));
            let end = last.map_or(bytes.len(), |last| bytes.len().min(last + 1));
            let part = bytes.get(first..end).unwrap_or_default();
            match range {
                Some(_) => {
                    let headers = format!(
                        "content-range: bytes {first}-{}/{}\r\ncontent-length: {}\r\n",
                        end - 1,
                        bytes.len(),
                        part.len()
                    );
                    head("206 Partial Content", &headers)?;
                }
                None => head("200 OK", &format!("content-length: {}\r\n", part.len()))?,
            }
            socket.write_all(part)
        }
        Page::Whole(bytes) => {
            head("200 OK", &format!("content-length: {}\r\n", bytes.len()))?;
            socket.write_all(&bytes)
        }
        Page::Half(bytes) => {
            head("200 OK", &format!("content-length: {}\r\n", bytes.len()))?;
            socket.write_all(&bytes[..bytes.len() / 2])
        }
        Page::Redirect(url) => head("302 Found", &format!("location: {url}\r\ncontent-length: 0\r\n")),
        Page::Status(status) => head(&format!("{status} So"), "content-length: 0\r\n"),
        Page::Terabyte | Page::Endless => {
            let length = if matches!(page, Page::Terabyte) { "content-length: 1099511627776\r\n" } else { "" };
            head("200 OK", length)?;
            loop {
                socket.write_all(&[0; 1 << 16])?;
            }
        }
    }
}

/// Sends a request; the status and the body of the answer.
pub(crate) fn request(addr: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, Vec<u8>) {
    let mut socket = TcpStream::connect(addr).expect("connects");
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("answered");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer[end + 4..].to_vec())
}
