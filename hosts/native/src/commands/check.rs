//! `hoverboard check`: what a peer speaks, how far away it is, and which blocks it has.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use cid::Cid;
use hoverboard_peer::wire::Info;
use hoverboard_peer::{Event, WantKind};
use tokio::time::Instant;

use crate::address::Dial;
use crate::cli::CheckArgs;
use crate::config::ConfigError;
use crate::net::client::Client;

use super::{Failure, printed, run_async};

/// Round trips measured; the shortest counts.
const PINGS: usize = 3;
/// The multihash code of a CID that carries its block.
const IDENTITY: u64 = 0;

/// What the peer said of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Has,
    HasNot,
}

/// What is known of the peer so far.
#[derive(Default)]
struct Findings {
    info: Option<Box<Info>>,
    pongs: Vec<Duration>,
    no_bitswap: bool,
    ended: Option<String>,
    blocks: HashMap<Cid, Said>,
}

pub(super) fn run(args: CheckArgs) -> Result<(), Failure> {
    let peer = Dial::parse(&args.peer).map_err(|error| ConfigError::Address { flag: "the peer to check:", error })?;
    run_async(check(args, peer))
}

async fn check(args: CheckArgs, addr: Dial) -> Result<(), Failure> {
    let started = Instant::now();
    let mut client = match tokio::time::timeout(args.timeout, Client::connect(&addr)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(Failure::Failed(error.to_string())),
        Err(_) => return Err(Failure::Failed(format!("{}: no connection within --timeout", args.peer))),
    };
    let connected = started.elapsed();
    let findings = ask(&mut client, &args.cids, args.timeout).await;
    printed(findings.print(&client, connected, &args.cids))?;
    if findings.is_good() { Ok(()) } else { Err(Failure::Reported) }
}

/// Asks everything at once and listens until all is answered or the time is up.
async fn ask(client: &mut Client, cids: &[Cid], timeout: Duration) -> Findings {
    let deadline = Instant::now() + timeout;
    let mut findings = Findings::default();
    for cid in cids {
        let said = if cid.hash().code() == IDENTITY { Said::Has } else { Said::Nothing };
        findings.blocks.insert(*cid, said);
    }
    let now = client.now();
    client.session().identify(now);
    let wants: Vec<Cid> =
        findings.blocks.iter().filter(|(_, said)| **said == Said::Nothing).map(|(cid, _)| *cid).collect();
    client.session().want(wants.into_iter().map(|cid| (cid, WantKind::Have)));
    let mut ping = true;
    while !findings.is_complete() {
        if std::mem::take(&mut ping) {
            client.ping();
        }
        match tokio::time::timeout_at(deadline, client.next_event()).await {
            Ok(Ok(event)) => ping = findings.take(event),
            Ok(Err(ended)) => findings.ended = Some(ended.to_string()),
            Err(_) => break,
        }
    }
    findings
}

impl Findings {
    /// Takes note of an event, and says whether it is time for another ping.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Identified(info) => self.info = Some(info),
            Event::Pong(time) => {
                self.pongs.push(time);
                return self.pongs.len() < PINGS;
            }
            Event::NoBitswap => self.no_bitswap = true,
            Event::Have(cid) | Event::Block { cid, .. } => self.note(&cid, Said::Has),
            Event::DontHave(cid) => self.note(&cid, Said::HasNot),
            Event::Connected(_) | Event::GoAway => {}
        }
        false
    }

    fn note(&mut self, cid: &Cid, said: Said) {
        // By multihash: a peer may answer under another codec.
        self.blocks.iter_mut().filter(|(asked, _)| asked.hash() == cid.hash()).for_each(|(_, answer)| *answer = said);
    }

    fn is_complete(&self) -> bool {
        let answered = self.no_bitswap || self.blocks.values().all(|said| *said != Said::Nothing);
        self.ended.is_some() || (self.info.is_some() && self.pongs.len() >= PINGS && answered)
    }

    fn is_good(&self) -> bool {
        !self.no_bitswap && self.speaks_bitswap() && self.blocks.values().all(|said| *said == Said::Has)
    }

    fn speaks_bitswap(&self) -> bool {
        let ours = hoverboard_bitswap::Protocol::ALL.map(hoverboard_bitswap::Protocol::name);
        self.info.as_ref().is_some_and(|info| info.protocols.iter().any(|theirs| ours.contains(&theirs.as_str())))
    }

    fn print(&self, client: &Client, connected: Duration, cids: &[Cid]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let millis = |time: &Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        writeln!(out, "peer        {}", client.peer())?;
        writeln!(out, "connected   in {}", millis(&connected))?;
        match self.pongs.iter().min() {
            Some(best) => writeln!(out, "round trip  {}", millis(best))?,
            None => writeln!(out, "round trip  no answer to a ping")?,
        }
        match &self.info {
            Some(info) => print_info(&mut out, info)?,
            None => writeln!(out, "agent       does not say what it is")?,
        }
        writeln!(out, "bitswap     {}", if self.no_bitswap || !self.speaks_bitswap() { "no" } else { "yes" })?;
        for cid in cids {
            let said = match self.blocks.get(cid) {
                Some(Said::Has) => "has it",
                Some(Said::HasNot) => "does not have it",
                Some(Said::Nothing) | None => "no answer",
            };
            writeln!(out, "block       {cid} {said}")?;
        }
        if let Some(ended) = &self.ended {
            writeln!(out, "ended       {ended}")?;
        }
        out.flush()
    }
}

fn print_info(out: &mut impl Write, info: &Info) -> io::Result<()> {
    // What a stranger calls itself goes to a terminal: nothing but text may pass.
    let text = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    writeln!(out, "agent       {}", text(&info.agent))?;
    info.listen_addrs.iter().try_for_each(|addr| writeln!(out, "listens on  {}", text(&addr.to_string())))?;
    info.protocols.iter().try_for_each(|protocol| writeln!(out, "speaks      {}", text(protocol)))
}
