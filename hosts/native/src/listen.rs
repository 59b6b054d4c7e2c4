//! Listening sockets, and the addresses under which others reach them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use multiaddr::Multiaddr;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::address::{Listen, Transport};
use crate::config::ConfigError;

/// Connections that the system may hold for us until they are accepted.
const BACKLOG: i32 = 1024;

/// A socket that listens, and what is spoken on it.
#[derive(Debug)]
pub struct Bound {
    /// The socket
    pub listener: TcpListener,
    /// What is spoken on it
    pub transport: Transport,
    /// Where it really listens: the system may have chosen the port
    pub local: SocketAddr,
}

/// Takes every address, or says which one cannot be had. Of the addresses that are not required, those that cannot be
/// had are left out. Call it inside a tokio runtime.
pub fn bind_all(listen: &[Listen]) -> Result<Vec<Bound>, ConfigError> {
    let mut bound = Vec::with_capacity(listen.len());
    for listen in listen {
        match bind(listen) {
            Ok(socket) => bound.push(socket),
            // A port that is taken is worth a stop on IPv6 too; that there is no IPv6 is not.
            Err(error) if !listen.required && error.kind() != io::ErrorKind::AddrInUse => {
                tracing::info!(addr = %listen, %error, "not listening");
            }
            Err(error) => return Err(ConfigError::Listen { flag: "listen", addr: listen.to_string(), error }),
        }
    }
    Ok(bound)
}

fn bind(listen: &Listen) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(listen.socket), Type::STREAM, Some(Protocol::TCP))?;
    if listen.socket.is_ipv6() {
        // Otherwise [::] would take IPv4's port too.
        socket.set_only_v6(true)?;
    }
    // Lets a restart have the port while old connections fade. It never lets two programs listen on one port, as
    // SO_REUSEPORT would.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.socket.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    Ok(Bound { listener, transport: listen.transport, local })
}

impl Bound {
    /// The multiaddrs, without `/p2p`, under which this socket is reached: one per address of this machine if it
    /// listens on all.
    pub fn multiaddrs(&self) -> Vec<Multiaddr> {
        let ips =
            if self.local.ip().is_unspecified() { interfaces(self.local.is_ipv6()) } else { vec![self.local.ip()] };
        let multiaddr = |ip| Listen::multiaddr(SocketAddr::new(ip, self.local.port()), self.transport);
        ips.into_iter().map(multiaddr).collect()
    }
}

/// The addresses of this machine, loopback first. IPv6 addresses that mean something only with an interface's name
/// are left out.
fn interfaces(ipv6: bool) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.into_iter().map(|interface| interface.ip()).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot list this machine's addresses");
            Vec::new()
        }
    };
    ips.retain(|ip| match ip {
        IpAddr::V4(_) => !ipv6,
        IpAddr::V6(ip) => ipv6 && !ip.is_unicast_link_local(),
    });
    ips.sort_by_key(|ip| (!ip.is_loopback(), *ip));
    ips.dedup();
    ips
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Listen {
        Listen::parse(&text.parse().expect("a multiaddr")).expect("supported")
    }

    #[tokio::test]
    async fn a_busy_port_is_a_sentence_that_names_the_flag() {
        let first = bind_all(&[listen("/ip4/127.0.0.1/tcp/0")]).expect("free");
        let taken = Listen { socket: first[0].local, ..listen("/ip4/127.0.0.1/tcp/0") };
        for required in [true, false] {
            let error = bind_all(&[Listen { required, ..taken.clone() }]).expect_err("taken").to_string();
            assert!(error.contains("--listen") && error.contains(&first[0].local.port().to_string()), "{error}");
        }
    }

    #[tokio::test]
    async fn every_printed_address_can_be_dialled() {
        let bound = bind_all(&[listen("/ip4/0.0.0.0/tcp/0/ws")]).expect("free");
        let addrs = bound[0].multiaddrs();
        assert_eq!(addrs[0].to_string(), format!("/ip4/127.0.0.1/tcp/{}/ws", bound[0].local.port()));
        assert!(addrs.iter().all(|addr| !addr.to_string().contains("/0.0.0.0/")));
    }

    #[tokio::test]
    async fn ipv4_and_ipv6_share_a_port() {
        let four = bind_all(&[listen("/ip4/0.0.0.0/tcp/0")]).expect("free");
        let six = Listen { required: false, ..listen(&format!("/ip6/::/tcp/{}", four[0].local.port())) };
        bind_all(&[six]).expect("not in the way, or no IPv6 here");
    }
}
