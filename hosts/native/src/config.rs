//! Checked configuration: what `serve` was told, parsed into types that cannot be wrong any more.
//!
//! A [`ConfigError`] is a sentence that names the flag or file and says what to do; the process exits with 64 on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use multiaddr::{Multiaddr, Protocol};

use crate::address::{AddressError, Listen, Transport};
use crate::admin::AdminAddr;
use crate::caps::{self, CapsError};
use crate::claims::{self, ClaimsError};
use crate::cli::{IdentityArgs, ServeArgs};
use crate::denylist::{self, DenylistError, MAX_LISTS};
use crate::store::Location;

/// Where peers find us over TCP when nothing else is said. kubo has 4001, 4002, 5001, 8080 and 8081.
pub const DEFAULT_TCP_PORT: u16 = 4041;
/// The same over WebSocket.
pub const DEFAULT_WEBSOCKET_PORT: u16 = 4042;

/// Everything `serve` needs to know.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// CAR files and folders of them; each was there when this was made
    pub paths: Vec<PathBuf>,
    /// Store to serve what they do not have from; there is one where there are no paths
    pub store: Option<Location>,
    /// Folder for the identity, the indexes and what peers were reading
    pub state: PathBuf,
    /// Private key file, if not the one in the state folder
    pub key: Option<PathBuf>,
    /// At least one address to listen on
    pub listen: Vec<Listen>,
    /// Addresses to tell peers instead of the ones listened on; without `/p2p`
    pub announce: Vec<Multiaddr>,
    /// Where the admin pages are served
    pub admin: AdminAddr,
    /// How many peers may be connected at once
    pub max_connections: usize,
    /// How long a stop waits for what was begun
    pub drain: Duration,
    /// How often the paths are looked at
    pub rescan: Duration,
    /// Whether a damaged CAR stops the start
    pub strict: bool,
    /// Whether every block is hashed every time it is sent
    pub always_verify: bool,
    /// Who may have how much
    pub caps: caps::Settings,
    /// The claims service that is asked, if one is
    pub claims: Option<claims::Settings>,
    /// Who may ask where blocks are, if anybody
    pub told: Option<claims::Told>,
    /// The lists of blocks that are not served
    pub denylist: denylist::Settings,
}

/// A configuration that cannot be used: what, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A path to CARs is not there or cannot be looked at
    #[error("cannot use {}: {error}. Name CAR files, or folders that hold *.car files", path.display())]
    Path {
        /// The path as given
        path: PathBuf,
        /// Why not
        error: std::io::Error,
    },
    /// The platform has no data folder
    #[error("this system has no data folder to keep the identity and indexes in: give one with --state DIR")]
    NoStateFolder,
    /// The state folder cannot be made or used
    #[error("cannot use the state folder {}: {error}. Give another one with --state DIR", path.display())]
    State {
        /// The folder
        path: PathBuf,
        /// Why not
        error: std::io::Error,
    },
    /// An address of a flag cannot be used
    #[error("{flag} {error}")]
    Address {
        /// The flag, as typed
        flag: &'static str,
        /// The address and the reason
        error: AddressError,
    },
    /// An address to announce names a peer
    #[error("--announce {0}: leave /p2p out: the peer id follows from the key")]
    AnnouncedPeer(Multiaddr),
    /// A number or time is out of its range
    #[error("--{flag} must be {must}")]
    Range {
        /// The flag's name
        flag: &'static str,
        /// What is allowed
        must: &'static str,
    },
    /// The log flag cannot be read
    #[error(
        "--log {directives}: {error}. Write a level such as info, or directives such as info,hoverboard::net=debug"
    )]
    Log {
        /// As given
        directives: String,
        /// Why not
        error: String,
    },
    /// The output of `get` would go to a terminal
    #[error("a CAR is binary and stdout is a terminal: give -o FILE.car, or pipe it")]
    Terminal,
    /// The output file cannot be made
    #[error("cannot write {}: {error}. Give another file with -o", path.display())]
    Output {
        /// The file
        path: PathBuf,
        /// Why not
        error: std::io::Error,
    },
    /// An address cannot be listened on
    #[error("cannot listen on {addr}: {error}. Choose another with --{flag}")]
    Listen {
        /// The flag's name: `listen` or `admin`
        flag: &'static str,
        /// The address
        addr: String,
        /// Why not, such as that it is in use
        error: std::io::Error,
    },
    /// A command that works on a store is told none
    #[error("which store? Name it with --store, or in HOVERBOARD_STORE")]
    NoStore,
    /// A store cannot be opened
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A denylist has to be there and is not
    #[error(transparent)]
    Denylist(#[from] Box<DenylistError>),
    /// What was done for whom cannot be kept
    #[error(transparent)]
    Caps(#[from] CapsError),
    /// What was said about claims cannot be done
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The identity cannot be read or made
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
}

impl ServeConfig {
    /// Checks what was typed.
    pub fn parse(args: ServeArgs) -> Result<Self, ConfigError> {
        for path in &args.paths {
            std::fs::metadata(path).map_err(|error| ConfigError::Path { path: path.clone(), error })?;
        }
        let listen = if args.listen.is_empty() {
            default_listen()
        } else {
            let parse = |addr| Listen::parse(addr).map_err(|error| ConfigError::Address { flag: "--listen", error });
            args.listen.iter().map(parse).collect::<Result<_, _>>()?
        };
        if let Some(addr) = args.announce.iter().find(|addr| addr.iter().any(|part| matches!(part, Protocol::P2p(_)))) {
            return Err(ConfigError::AnnouncedPeer(addr.clone()));
        }
        if args.rescan < Duration::from_millis(10) {
            return Err(ConfigError::Range { flag: "rescan", must: "at least 10ms" });
        }
        if args.max_connections == 0 {
            return Err(ConfigError::Range { flag: "max-connections", must: "at least 1" });
        }
        if args.denylist.len() > MAX_LISTS {
            return Err(ConfigError::Range { flag: "denylist", must: "given 16 times at most" });
        }
        if args.denylist_refresh < Duration::from_secs(1) {
            return Err(ConfigError::Range { flag: "denylist-refresh", must: "at least 1s" });
        }
        Ok(Self {
            paths: args.paths,
            caps: caps::Settings::of(args.caps, args.store.as_ref()),
            store: args.store,
            state: state_folder(&args.identity)?,
            key: args.identity.key,
            listen,
            announce: args.announce,
            admin: args.admin,
            max_connections: usize::try_from(args.max_connections).unwrap_or(usize::MAX),
            drain: args.drain,
            rescan: args.rescan,
            strict: args.strict,
            always_verify: args.always_verify,
            claims: claims::Settings::parse(&args.claims),
            told: claims::Told::parse(&args.claims)?,
            denylist: denylist::Settings {
                sources: args.denylist,
                refresh: args.denylist_refresh,
                optional: args.denylist_optional,
            },
        })
    }
}

/// The state folder that was named, or the platform's, made if it is not there.
pub fn state_folder(args: &IdentityArgs) -> Result<PathBuf, ConfigError> {
    let path = match &args.state {
        Some(path) => path.clone(),
        None => directories::ProjectDirs::from("", "", "hoverboard")
            .ok_or(ConfigError::NoStateFolder)?
            .data_dir()
            .to_path_buf(),
    };
    make_folder(&path).map_err(|error| ConfigError::State { path: path.clone(), error })?;
    Ok(path)
}

/// Makes a folder, for its owner alone where the system can say so: it will hold a private key.
fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn default_listen() -> Vec<Listen> {
    let any4 = std::net::Ipv4Addr::UNSPECIFIED.into();
    let any6 = std::net::Ipv6Addr::UNSPECIFIED.into();
    let listen = |ip, port, transport, required| Listen { socket: SocketAddr::new(ip, port), transport, required };
    vec![
        listen(any4, DEFAULT_TCP_PORT, Transport::Tcp, true),
        listen(any4, DEFAULT_WEBSOCKET_PORT, Transport::WebSocket, true),
        listen(any6, DEFAULT_TCP_PORT, Transport::Tcp, false),
        listen(any6, DEFAULT_WEBSOCKET_PORT, Transport::WebSocket, false),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(extra: &[&str]) -> Result<ServeConfig, ConfigError> {
        let state = tempfile::tempdir().expect("a folder");
        let mut words = vec!["hoverboard", "serve", "/", "--state", state.path().to_str().expect("utf-8")];
        words.extend(extra);
        match Cli::parse_from(words).command {
            Command::Serve(args) => ServeConfig::parse(*args),
            other => panic!("not serve: {other:?}"),
        }
    }

    #[test]
    fn defaults_keep_clear_of_kubo() {
        let config = parse(&[]).expect("valid");
        let kubo = [4001, 4002, 5001, 8080, 8081];
        let AdminAddr::Socket(admin) = config.admin else { panic!("a name: {}", config.admin) };
        let ports = config.listen.iter().map(|listen| listen.socket.port()).chain([admin.port()]);
        assert!(ports.clone().all(|port| !kubo.contains(&port)));
        assert!(config.listen.iter().any(|listen| listen.transport == Transport::WebSocket && listen.required));
        assert!(admin.ip().is_loopback());
        assert_eq!(config.drain, Duration::from_secs(10));
    }

    #[test]
    fn a_listen_flag_replaces_the_defaults() {
        let config =
            parse(&["--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/tcp/0/ws"]).expect("valid");
        assert_eq!(config.listen.len(), 2);
    }

    #[test]
    fn errors_name_their_flag() {
        for (words, flag) in [
            (["--listen", "/ip4/1.2.3.4/udp/1/quic-v1"], "--listen"),
            (
                ["--announce", "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"],
                "--announce",
            ),
            (["--rescan", "0s"], "--rescan"),
            (["--max-connections", "0"], "--max-connections"),
            (["--denylist-refresh", "1ms"], "--denylist-refresh"),
        ] {
            let error = parse(&words).expect_err(flag).to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
