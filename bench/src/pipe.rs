//! The byte pipe to a server: TCP, or the binary messages of a WebSocket over it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use multiaddr::{Multiaddr, Protocol as Part};
use tungstenite::{Message, WebSocket};

/// Nothing that is measured here pauses for longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection, and what was last read from it.
pub(crate) struct Pipe {
    socket: Socket,
    buffer: Vec<u8>,
    /// Bytes of a message at most, where there are messages.
    message: usize,
}

enum Socket {
    Tcp(TcpStream),
    WebSocket(Box<WebSocket<TcpStream>>),
}

impl Pipe {
    /// Connects to `/ip4/…/tcp/…`, with `/ws` behind it for a WebSocket.
    pub(crate) fn dial(addr: &Multiaddr) -> Result<Self> {
        let mut parts = addr.iter();
        let ip = match parts.next() {
            Some(Part::Ip4(ip)) => IpAddr::from(ip),
            Some(Part::Ip6(ip)) => IpAddr::from(ip),
            _ => bail!("{addr} does not begin with an address"),
        };
        let Some(Part::Tcp(port)) = parts.next() else { bail!("{addr} has no TCP port") };
        let socket = TcpStream::connect((ip, port)).with_context(|| format!("cannot connect to {addr}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        if !matches!(parts.next(), Some(Part::Ws(_))) {
            return Ok(Self { socket: Socket::Tcp(socket), buffer: vec![0; 256 * 1024], message: usize::MAX });
        }
        let host = std::net::SocketAddr::from((ip, port));
        let (socket, _) = tungstenite::client(format!("ws://{host}/"), socket).context("no WebSocket there")?;
        Ok(Self { socket: Socket::WebSocket(Box::new(socket)), buffer: Vec::new(), message: usize::MAX })
    }

    /// Gives up when nothing comes for so long, instead of a minute.
    pub(crate) fn set_patience(&self, time: Duration) -> Result<()> {
        let socket = match &self.socket {
            Socket::Tcp(socket) => socket,
            Socket::WebSocket(socket) => socket.get_ref(),
        };
        Ok(socket.set_read_timeout(Some(time))?)
    }

    /// Sends no message longer than so many bytes.
    pub(crate) fn set_message(&mut self, bytes: usize) {
        self.message = bytes.max(1);
    }

    /// Sends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.socket {
            Socket::Tcp(socket) => socket.write_all(bytes)?,
            Socket::WebSocket(socket) => {
                for message in bytes.chunks(self.message) {
                    socket.send(Message::binary(message.to_vec()))?;
                }
            }
        }
        Ok(())
    }

    /// What comes next.
    pub(crate) fn read(&mut self) -> Result<&mut [u8]> {
        match &mut self.socket {
            Socket::Tcp(socket) => {
                let n = socket.read(&mut self.buffer).context("nothing comes")?;
                ensure!(n > 0, "the server closed the connection");
                Ok(&mut self.buffer[..n])
            }
            Socket::WebSocket(socket) => {
                self.buffer = match socket.read().context("nothing comes")? {
                    Message::Binary(bytes) => bytes.into(),
                    Message::Close(frame) => bail!("the server closed the connection: {frame:?}"),
                    _ => Vec::new(),
                };
                Ok(&mut self.buffer)
            }
        }
    }
}
