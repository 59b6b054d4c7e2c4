//! TCP and WebSocket as one kind of pipe: bytes in any pieces, polled, with no buffer while nothing moves.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::metered::Metered;

/// How much is read from a socket at a time.
const READ: usize = 64 * 1024;

/// The largest WebSocket message accepted, in bytes. Clients send a Noise frame or a few in one.
const MAX_WS_MESSAGE: usize = 1024 * 1024;

/// What a WebSocket may hold that is not sent: a message of ours, and answers to pings of a peer that does not read.
const MAX_WS_UNSENT: usize = 256 * 1024;

thread_local! {
    /// Where sockets are read to: connections that wait have no buffer of their own.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection's bytes.
#[derive(Debug)]
pub(super) enum Pipe {
    /// As they are.
    Tcp(TcpStream),
    /// In binary messages, whose borders mean nothing.
    WebSocket(Box<WebSocket>),
}

/// Bytes of a control frame of a client's beside its payload.
const CONTROL_HEAD: u64 = 2 + 4;

/// A WebSocket, and how much had come from its socket when the last message was whole.
#[derive(Debug)]
pub(super) struct WebSocket {
    stream: WebSocketStream<Metered>,
    whole: u64,
}

impl Pipe {
    /// A WebSocket after its handshake.
    pub(super) fn websocket(stream: WebSocketStream<Metered>) -> Self {
        let whole = stream.get_ref().read();
        Self::WebSocket(Box::new(WebSocket { stream, whole }))
    }

    /// How a WebSocket is set up: small buffers, as most connections are idle.
    pub(super) fn websocket_config() -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WS_UNSENT)
            .max_message_size(Some(MAX_WS_MESSAGE))
            .max_frame_size(Some(MAX_WS_MESSAGE))
    }

    /// How many bytes are best sent at a time.
    pub(super) fn chunk(&self) -> usize {
        match self {
            Self::Tcp(_) => 256 * 1024,
            // The WebSocket keeps a buffer as large as its largest message.
            Self::WebSocket(_) => 64 * 1024,
        }
    }

    /// Hands the next bytes to `take`. `Ready(Ok(0))` is the end.
    pub(super) fn poll_receive<E: From<io::Error>>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Poll<Result<usize, E>> {
        match self {
            Self::Tcp(socket) => SCRATCH.with_borrow_mut(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                ready!(Pin::new(socket).poll_read(cx, &mut buf))?;
                let filled = buf.filled_mut();
                let len = filled.len();
                if len > 0 {
                    take(filled)?;
                }
                Poll::Ready(Ok(len))
            }),
            Self::WebSocket(socket) => loop {
                let next = ready!(Pin::new(&mut socket.stream).poll_next(cx));
                let read = socket.stream.get_ref().read();
                socket.whole = match &next {
                    // One may come in the middle of a message, which is no more whole by that.
                    Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                        read.min(socket.whole + CONTROL_HEAD + payload.len() as u64)
                    }
                    _ => read,
                };
                match next {
                    None | Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => return Poll::Ready(Ok(0)),
                    Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(0)),
                    Some(Ok(Message::Binary(bytes))) if !bytes.is_empty() => {
                        let mut bytes = Vec::from(bytes);
                        take(&mut bytes)?;
                        return Poll::Ready(Ok(bytes.len()));
                    }
                    Some(Ok(Message::Text(_))) => return Poll::Ready(Err(text_message().into())),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(io_error(error).into())),
                }
            },
        }
    }

    /// Bytes that came of a message and are held until it is whole.
    pub(super) fn unfinished(&self) -> usize {
        match self {
            Self::Tcp(_) => 0,
            Self::WebSocket(socket) => (socket.stream.get_ref().read() - socket.whole) as usize,
        }
    }

    /// Bytes that the system took of messages that are on their way: it grows before
    /// [`poll_send`](Self::poll_send) is ready.
    pub(super) fn trickled(&self) -> u64 {
        match self {
            Self::Tcp(_) => 0,
            Self::WebSocket(socket) => socket.stream.get_ref().written(),
        }
    }

    /// Says that nothing more comes, and passes over what the peer sends until it has ended its side, too. A socket
    /// that is closed with bytes unread takes back what the peer has not received yet.
    pub(super) async fn close(self) {
        match self {
            Self::Tcp(mut socket) => {
                let mut scratch = [0; 4 * 1024];
                if socket.shutdown().await.is_ok() {
                    while matches!(socket.read(&mut scratch).await, Ok(1..)) {}
                }
            }
            Self::WebSocket(mut socket) => {
                if socket.stream.close(None).await.is_ok() {
                    while matches!(socket.stream.next().await, Some(Ok(_))) {}
                }
            }
        }
    }

    /// Sends from the front of `out`. `Ready` when something was sent, and for a WebSocket when all of it was.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => {
                let n = ready!(Pin::new(socket).poll_write(cx, out.rest()))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                out.advance(n);
                Poll::Ready(Ok(n))
            }
            Self::WebSocket(socket) => {
                let mut socket = Pin::new(&mut socket.stream);
                if !out.handed_over {
                    ready!(socket.as_mut().poll_ready(cx)).map_err(io_error)?;
                    let message = Message::Binary(std::mem::take(&mut out.bytes).into());
                    out.handed_over = true;
                    out.length = message.len();
                    socket.as_mut().start_send(message).map_err(io_error)?;
                }
                ready!(socket.poll_flush(cx)).map_err(io_error)?;
                let n = out.length;
                *out = Outgoing::default();
                Poll::Ready(Ok(n))
            }
        }
    }
}

/// Bytes on their way to the pipe.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// Whether the WebSocket has them and only has to be flushed.
    handed_over: bool,
    length: usize,
}

impl Outgoing {
    /// Whether everything was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.handed_over
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        if self.handed_over { self.length } else { self.bytes.len() - self.sent }
    }

    /// Where to write the next bytes, once everything before was sent.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Gives the memory back.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
        }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

fn text_message() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a WebSocket text message came; libp2p sends binary ones")
}

/// Turns a WebSocket's error into the kind of error that a socket has.
pub(super) fn io_error(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, format!("WebSocket: {other}")),
    }
}

#[cfg(test)]
mod tests;
