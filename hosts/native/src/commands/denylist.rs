//! `hoverboard denylist`: lists compiled to one, what is in them, and which CIDs they deny.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use cid::Cid;
use hoverboard_denylist::{Counts, Denylist, Kind, Policy, Rules, Verdict};

use crate::cli::{DenylistCheckArgs, DenylistCommand, DenylistCompileArgs, DenylistStatsArgs};
use crate::config::ConfigError;
use crate::denylist::{Loaded, Source, load};

use super::cars::counted;
use super::{Failure, printed, run_async};

pub(super) fn run(command: DenylistCommand) -> Result<(), Failure> {
    match command {
        DenylistCommand::Compile(args) => run_async(compile(args)),
        DenylistCommand::Check(args) => run_async(check(args)),
        DenylistCommand::Stats(args) => run_async(stats(args)),
    }
}

/// A list, and on stderr what is wrong with it.
async fn loaded(source: &Source) -> Result<Denylist, Failure> {
    let Loaded { list, problems } =
        load(source).await.map_err(|error| Failure::Failed(format!("{source}: {error}")))?;
    for problem in &problems {
        eprintln!("{source}: line {}: {}", problem.line, problem.why);
    }
    let more = list.counts().malformed as usize;
    if more > problems.len() {
        eprintln!("{source}: {} in all are no rules and were passed over", counted(more as u64, "line"));
    }
    Ok(list)
}

async fn compile(args: DenylistCompileArgs) -> Result<(), Failure> {
    let mut rules = Rules::new();
    for source in &args.sources {
        let list = loaded(source).await?;
        rules.add(&list).map_err(|error| Failure::Failed(format!("{source}: {error}")))?;
    }
    let bytes = rules.compile();
    write(&args.output, &bytes).map_err(|error| ConfigError::Output { path: args.output.clone(), error })?;
    let opened = Denylist::open(bytes).map_err(|error| Failure::Failed(error.to_string()))?;
    printed(describe(&args.output.display().to_string(), &opened))
}

/// Writes a file, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

async fn check(args: DenylistCheckArgs) -> Result<(), Failure> {
    let mut lists = Vec::new();
    for source in &args.denylist {
        lists.push(Arc::new(loaded(source).await?));
    }
    let policy = Policy::new(lists);
    let lines = args.cids.iter().map(|cid| judge(&policy, &args.denylist, cid));
    let (denied, lines): (Vec<bool>, Vec<String>) = lines.unzip();
    let mut out = io::stdout().lock();
    printed(lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()))?;
    if denied.contains(&true) { Err(Failure::Reported) } else { Ok(()) }
}

/// Whether a CID is denied, and a line that says so.
fn judge(policy: &Policy, sources: &[Source], cid: &Cid) -> (bool, String) {
    let Some(hit) = policy.judge(cid.hash(), Some(cid.codec())) else {
        return (false, format!("{cid} not listed"));
    };
    let source = sources.get(hit.list).map(ToString::to_string).unwrap_or_default();
    match hit.verdict {
        Verdict::Denied(Kind::Legacy) => (true, format!("{cid} denied by {source}, as a legacy anchor")),
        Verdict::Denied(Kind::Modern) => (true, format!("{cid} denied by {source}")),
        Verdict::Allowed => (false, format!("{cid} allowed by {source}, as an exception")),
    }
}

async fn stats(args: DenylistStatsArgs) -> Result<(), Failure> {
    for source in &args.sources {
        let list = loaded(source).await?;
        printed(describe(&source.to_string(), &list))?;
    }
    Ok(())
}

fn describe(name: &str, list: &Denylist) -> io::Result<()> {
    let Counts { legacy, modern, paths, names, unsupported, malformed } = list.counts();
    let mut out = io::stdout().lock();
    writeln!(out, "{name}")?;
    for (count, what) in [
        (u64::from(legacy), "legacy anchors"),
        (u64::from(modern), "modern double hashes and blocks by name"),
        (list.exceptions() as u64, "of these are exceptions"),
        (u64::from(paths), "rules about paths, not enforced"),
        (u64::from(names), "rules about names, not enforced"),
        (u64::from(unsupported), "hashes by other functions than sha2-256, not enforced"),
        (u64::from(malformed), "lines that are no rules"),
        (list.bytes().len() as u64, "bytes compiled"),
    ] {
        writeln!(out, "  {count:>9} {what}")?;
    }
    out.flush()
}
