//! The command line: what a person may type, and its environment twins.
//!
//! These are raw words. [`crate::config`] turns them into checked types; nothing else reads them.

use std::path::PathBuf;
use std::time::Duration;

use cid::Cid;
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use multiaddr::Multiaddr;

use crate::admin::AdminAddr;
use crate::store::Location;

/// Serve CAR files to IPFS over Bitswap, straight from where they lie.
///
/// Exit codes: 0 done; 1 it failed, or `verify` or `check` found something wrong; 2 wrong use; 64 bad configuration; 130
/// or 143 `get`, `check` or `import` was stopped halfway by SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "hoverboard", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What is logged
    #[command(flatten)]
    pub log: LogArgs,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command: the log, which goes to stderr.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug, trace, or directives such as `info,hoverboard::net=debug`
    #[arg(
        long,
        global = true,
        help_heading = "Log",
        value_name = "LEVEL",
        env = "HOVERBOARD_LOG",
        default_value = "info"
    )]
    pub log: String,
    /// How log lines look
    #[arg(
        long,
        global = true,
        help_heading = "Log",
        value_enum,
        value_name = "FORMAT",
        env = "HOVERBOARD_LOG_FORMAT",
        default_value_t = LogFormat::Human
    )]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line an event
    Human,
    /// One JSON object an event
    Json,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve CAR files and folders of them in place, or a store
    Serve(ServeArgs),
    /// Fetch a DAG from a peer, verified, into a CAR file
    Get(GetArgs),
    /// Say what a peer speaks, how far away it is, and which blocks it has
    Check(CheckArgs),
    /// List the roots and blocks of CAR files
    Ls(LsArgs),
    /// Hash every block of CAR files and say what is wrong with them
    Verify(VerifyArgs),
    /// Check CAR files and put them into a store, indexed and found by their roots
    Import(ImportArgs),
    /// Print this machine's peer id, making an identity if there is none
    Id(IdArgs),
}

/// Where the state is kept and who we are: shared by `serve` and `id`.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// Folder for the identity, the indexes, and which CARs of a store each peer was reading [default: the platform's data folder]
    #[arg(long, value_name = "DIR", env = "HOVERBOARD_STATE")]
    pub state: Option<PathBuf>,
    /// Private key to serve under, a libp2p protobuf as `ipfs key export` writes it [default: made at first start, kept
    /// in the state folder]
    #[arg(long, value_name = "FILE", env = "HOVERBOARD_KEY")]
    pub key: Option<PathBuf>,
}

/// Flags of `hoverboard serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// CAR files, and folders that are searched for `*.car`
    #[arg(required_unless_present = "store", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Store to serve, as `import` fills it: a folder or s3://BUCKET[/PREFIX]. With paths, it has what they do not. S3 is
    /// set up by AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL
    #[arg(long, value_name = "STORE", env = "HOVERBOARD_STORE")]
    pub store: Option<Location>,
    /// Identity and state
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Address to listen on, /ip4 or /ip6 with /tcp/PORT or /tcp/PORT/ws; repeatable [default: TCP port 4041 and
    /// WebSocket port 4042 on every interface]
    #[arg(long, value_name = "MULTIADDR", env = "HOVERBOARD_LISTEN", value_delimiter = ',')]
    pub listen: Vec<Multiaddr>,
    /// Address to tell peers instead of the ones listened on (behind a NAT or a proxy); repeatable
    #[arg(long, value_name = "MULTIADDR", env = "HOVERBOARD_ANNOUNCE", value_delimiter = ',')]
    pub announce: Vec<Multiaddr>,
    /// Where /health and /metrics are served over HTTP, on every address of HOST; keep it on loopback unless the network
    /// is trusted
    #[arg(long, value_name = "HOST:PORT", env = "HOVERBOARD_ADMIN", default_value = "127.0.0.1:4043")]
    pub admin: AdminAddr,
    /// How many peers may be connected at once
    #[arg(long, value_name = "N", env = "HOVERBOARD_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: u32,
    /// How long a stop waits for what was begun
    #[arg(long, value_name = "TIME", env = "HOVERBOARD_DRAIN", default_value = "10s", value_parser = duration)]
    pub drain: Duration,
    /// How often the paths are looked at for CARs added, replaced or removed
    #[arg(long, value_name = "TIME", env = "HOVERBOARD_RESCAN", default_value = "2s", value_parser = duration)]
    pub rescan: Duration,
    /// Refuse to start if any CAR of the paths is damaged, instead of serving the rest
    #[arg(long, env = "HOVERBOARD_STRICT", value_parser = BoolishValueParser::new())]
    pub strict: bool,
    /// Hash every block every time it is sent, against programs that change CARs through mmap
    #[arg(long, env = "HOVERBOARD_ALWAYS_VERIFY", value_parser = BoolishValueParser::new())]
    pub always_verify: bool,
}

/// Flags of `hoverboard get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Root of the DAG
    #[arg(value_name = "CID")]
    pub cid: Cid,
    /// Peer to fetch from, e.g. /ip4/192.0.2.1/tcp/4041/p2p/12D3…
    #[arg(long, value_name = "MULTIADDR", env = "HOVERBOARD_FROM")]
    pub from: Multiaddr,
    /// CAR file to write, which is there whole or not at all; a pipe or device is written as the blocks come; `-` is
    /// stdout [default: stdout, unless that is a terminal]
    #[arg(short, long, value_name = "FILE", env = "HOVERBOARD_OUTPUT")]
    pub output: Option<PathBuf>,
    /// Give up when nothing arrives for this long
    #[arg(long, value_name = "TIME", env = "HOVERBOARD_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// Flags of `hoverboard check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Peer to look at, e.g. /ip4/192.0.2.1/tcp/4042/ws/p2p/12D3…
    #[arg(value_name = "MULTIADDR")]
    pub peer: Multiaddr,
    /// Blocks to ask it for
    #[arg(value_name = "CID")]
    pub cids: Vec<Cid>,
    /// Give up on an answer after this long
    #[arg(long, value_name = "TIME", env = "HOVERBOARD_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
}

/// Flags of `hoverboard ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// CAR files, and folders that are searched for `*.car`
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// One JSON object a block instead of a table
    #[arg(long, env = "HOVERBOARD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `hoverboard verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// CAR files, and folders that are searched for `*.car`
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Flags of `hoverboard import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// CAR files, and folders that are searched for `*.car`; `-` is stdin, which is kept in the folder for temporary
    /// files (TMPDIR) until it is uploaded
    #[arg(required = true, value_name = "CAR")]
    pub cars: Vec<PathBuf>,
    /// Store to put them into, a folder or s3://BUCKET[/PREFIX]. S3 is set up by AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL
    #[arg(long, value_name = "STORE", env = "HOVERBOARD_TO")]
    pub to: Location,
    /// Root that the CARs are found by, instead of those in their headers; repeatable [default: those in the header, or
    /// the blocks that no other block links to]
    #[arg(long = "root", value_name = "CID", env = "HOVERBOARD_ROOT", value_delimiter = ',')]
    pub roots: Vec<Cid>,
}

/// Flags of `hoverboard id`.
#[derive(Debug, Args)]
pub struct IdArgs {
    /// Identity and state
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Print the secret that a Worker serves under this identity with: `hoverboard id --worker | wrangler secret put
    /// HOVERBOARD_IDENTITY`. It is a new one each time, and lets nobody sign as this identity
    #[arg(long, env = "HOVERBOARD_WORKER", value_parser = BoolishValueParser::new())]
    pub worker: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a number and a unit, such as 500ms, 10s or 2m"))
}
