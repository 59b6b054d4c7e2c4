//! The command line: what a person may type, and its environment twins.
//!
//! These are raw words. [`crate::config`] turns them into checked types; nothing else reads them.

use std::path::PathBuf;
use std::time::Duration;

use cid::Cid;
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hoverboard_caps::{Limits, Override, Prices};
use hoverboard_claims::{Allowed, Carpark};
use multiaddr::Multiaddr;
use reqwest::Url;

use crate::admin::AdminAddr;
use crate::denylist::Source;
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
    Serve(Box<ServeArgs>),
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
    /// Bring the index of a store up to date with the CARs that are there, and look after it
    ///
    /// The index says which CAR holds a block, whatever its root. `import` keeps it up to date by itself; this command makes
    /// it for a store that has none, and adds CARs that others put there. It may be stopped at any time and goes on the next
    /// time, and it may run beside others.
    Index(IndexArgs),
    /// Take CARs out of a store, and out of its index first
    Remove(RemoveArgs),
    /// Compile denylists, say what is in them, and which CIDs they deny
    #[command(subcommand)]
    Denylist(DenylistCommand),
    /// Say which peers and addresses got most of a running server today
    Peers(PeersArgs),
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
    /// Where /health, /metrics and /peers are served over HTTP, on every address of HOST; keep it on loopback unless the network
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
    /// Who may have how much
    #[command(flatten)]
    pub caps: CapArgs,
    /// Where blocks are, as others say it and as we do
    #[command(flatten)]
    pub claims: ClaimsArgs,
    /// List of blocks that are not served, a file, https://… or s3://BUCKET/KEY; repeatable, a later one goes before an
    /// earlier one. Changes count without a restart
    #[arg(long, value_name = "SOURCE", env = "HOVERBOARD_DENYLIST", value_delimiter = ',')]
    pub denylist: Vec<Source>,
    /// How often a denylist that is no file is asked for
    #[arg(long, value_name = "TIME", env = "HOVERBOARD_DENYLIST_REFRESH", default_value = "5m", value_parser = duration)]
    pub denylist_refresh: Duration,
    /// Start without a denylist that cannot be loaded, instead of not at all
    #[arg(long, env = "HOVERBOARD_DENYLIST_OPTIONAL", value_parser = BoolishValueParser::new())]
    pub denylist_optional: bool,
}

/// Flags of `serve` about where blocks are: what others say of it, and what is told to them.
#[derive(Debug, Args)]
pub struct ClaimsArgs {
    /// Claims service that is asked where blocks lie which the store does not have, such as https://claims.example.com
    #[arg(long, help_heading = "Claims", value_name = "URL", env = "HOVERBOARD_CLAIMS", requires = "store")]
    pub claims: Option<Url>,
    /// Host that claims may lead to: a name, *.NAME for all below it, or an origin such as http://10.0.0.5:9000, which may
    /// then be anywhere; repeatable
    #[arg(
        long = "claims-allow",
        help_heading = "Claims",
        value_name = "HOST",
        env = "HOVERBOARD_CLAIMS_ALLOW",
        value_delimiter = ','
    )]
    pub allow: Vec<Allowed>,
    /// URL under which others reach the store's CARs. Claims that name it are read from the store, and the first is what
    /// /claims names; repeatable
    #[arg(
        long = "carpark-url",
        help_heading = "Claims",
        value_name = "URL",
        env = "HOVERBOARD_CARPARK_URL",
        value_delimiter = ','
    )]
    pub carparks: Vec<Carpark>,
    /// File with the token for /blocks and /claims, which say where the store's blocks are, at the address of --admin
    #[arg(long, help_heading = "Claims", value_name = "FILE", env = "HOVERBOARD_INDEX_TOKEN", requires = "store")]
    pub index_token: Option<PathBuf>,
    /// Answer /blocks and /claims without a token
    #[arg(
        long,
        help_heading = "Claims",
        env = "HOVERBOARD_INDEX_PUBLIC",
        requires = "store",
        conflicts_with = "index_token",
        value_parser = BoolishValueParser::new()
    )]
    pub index_public: bool,
}

/// Flags of `serve` about who may have how much. Hours and days are those of UTC.
#[derive(Debug, Args)]
pub struct CapArgs {
    /// What a peer may have, such as 100GiB/day,20GiB/hour,1000000requests/day,50000blocks/hour,2.50usd/day
    #[arg(long = "cap-peer", help_heading = "Caps", value_name = "LIMITS", env = "HOVERBOARD_CAP_PEER")]
    pub peer: Option<Limits>,
    /// What an address may have: one of IPv4, or a /64 of IPv6; a /48 may have 16 times that
    #[arg(long = "cap-address", help_heading = "Caps", value_name = "LIMITS", env = "HOVERBOARD_CAP_ADDRESS")]
    pub address: Option<Limits>,
    /// What all together may have
    #[arg(long = "cap-total", help_heading = "Caps", value_name = "LIMITS", env = "HOVERBOARD_CAP_TOTAL")]
    pub total: Option<Limits>,
    /// Other limits for a peer id or each address of a range, such as 12D3…=unlimited or 192.0.2.0/24=1TiB/day;
    /// repeatable, in the environment with semicolons between
    #[arg(
        id = "cap-for",
        long = "cap-for",
        help_heading = "Caps",
        value_name = "WHO=LIMITS",
        env = "HOVERBOARD_CAP_FOR",
        value_delimiter = ';'
    )]
    pub overrides: Vec<Override>,
    /// What is done with the wants of those who are at a cap
    #[arg(
        long = "cap-policy",
        help_heading = "Caps",
        value_enum,
        value_name = "POLICY",
        env = "HOVERBOARD_CAP_POLICY",
        default_value_t = CapPolicy::Silent
    )]
    pub policy: CapPolicy,
    /// What the store's provider charges, in US dollars a million reads, a million listings, and a GiB sent [default:
    /// read=0.36,list=4.50,egress=0 for s3://…, nothing for a folder]
    #[arg(long = "cap-prices", help_heading = "Caps", value_name = "PRICES", env = "HOVERBOARD_CAP_PRICES")]
    pub prices: Option<Prices>,
}

/// What is done with the wants of those who are at a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CapPolicy {
    /// Say nothing; they ask again later, and others meanwhile
    Silent,
    /// Answer DONT_HAVE where it was asked for
    DontHave,
    /// Close the connection
    Close,
}

/// Flags of `hoverboard peers`.
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// Where the admin pages of the running server are
    #[arg(long, value_name = "HOST:PORT", env = "HOVERBOARD_ADMIN", default_value = "127.0.0.1:4043")]
    pub admin: AdminAddr,
    /// How many to show
    #[arg(long, value_name = "N", env = "HOVERBOARD_TOP", default_value_t = 20)]
    pub top: usize,
    /// JSON, as /peers gives it, instead of a table
    #[arg(long, env = "HOVERBOARD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
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

/// What `hoverboard denylist` does.
#[derive(Debug, Subcommand)]
pub enum DenylistCommand {
    /// Compile lists, in their order, to one that opens at once
    Compile(DenylistCompileArgs),
    /// Say of each CID whether it is denied, and by which list; the exit code is 1 if any is
    Check(DenylistCheckArgs),
    /// Say how many rules there are of what kind, and how many cannot be enforced
    Stats(DenylistStatsArgs),
}

/// Flags of `hoverboard denylist compile`.
#[derive(Debug, Args)]
pub struct DenylistCompileArgs {
    /// Lists: files, https://… or s3://BUCKET/KEY; a later one goes before an earlier one
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<Source>,
    /// File to write, which is there whole or not at all
    #[arg(short, long, value_name = "FILE", env = "HOVERBOARD_OUTPUT")]
    pub output: PathBuf,
}

/// Flags of `hoverboard denylist check`.
#[derive(Debug, Args)]
pub struct DenylistCheckArgs {
    /// List, as `serve` takes it; repeatable, a later one goes before an earlier one
    #[arg(long, required = true, value_name = "SOURCE", env = "HOVERBOARD_DENYLIST", value_delimiter = ',')]
    pub denylist: Vec<Source>,
    /// Blocks to look for
    #[arg(required = true, value_name = "CID")]
    pub cids: Vec<Cid>,
}

/// Flags of `hoverboard denylist stats`.
#[derive(Debug, Args)]
pub struct DenylistStatsArgs {
    /// Lists: files, https://… or s3://BUCKET/KEY
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<Source>,
}

/// Flags of `hoverboard index`.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// What to do with it [default: bring it up to date]
    #[command(subcommand)]
    pub action: Option<IndexAction>,
    /// Store whose index it is, a folder or s3://BUCKET[/PREFIX], set up as for `import`
    #[arg(long, global = true, value_name = "STORE", env = "HOVERBOARD_STORE")]
    pub store: Option<Location>,
}

/// What can be done with an index.
#[derive(Debug, Clone, Subcommand)]
pub enum IndexAction {
    /// Merge what it is made of, so that a block is found with fewer reads, and remove what nobody needs any more
    Compact {
        /// Into one, whatever that costs, without what was removed from the store
        #[arg(long, env = "HOVERBOARD_ALL", value_parser = BoolishValueParser::new())]
        all: bool,
    },
    /// Read all of it and say what is missing, damaged or out of date. Exit code 1 if anything is
    Check {
        /// Mend what is found, out of the CARs and their indexes, and say what is left
        #[arg(long, env = "HOVERBOARD_MEND", value_parser = BoolishValueParser::new())]
        mend: bool,
    },
    /// Print how large it is
    Stats,
    /// Take over the tables of Elastic IPFS, as DynamoDB exports them, without reading a CAR. CARs of which they do not say
    /// everything are left to `hoverboard index`
    Eipfs {
        /// Exports of v1-blocks-cars-position and v1-cars: folders, or their *.json.gz files
        #[arg(required = true, value_name = "EXPORT")]
        exports: Vec<PathBuf>,
    },
}

/// Flags of `hoverboard remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// CARs to remove, or roots: of a root all CARs that are found by it
    #[arg(required = true, value_name = "CID")]
    pub cids: Vec<Cid>,
    /// Store to remove them from, a folder or s3://BUCKET[/PREFIX], set up as for `import`
    #[arg(long, value_name = "STORE", env = "HOVERBOARD_STORE")]
    pub store: Location,
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
