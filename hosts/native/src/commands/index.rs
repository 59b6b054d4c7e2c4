//! `hoverboard index`: the index of a store, brought up to date and looked after.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hoverboard_store::index::{Checked, Index, Options, Stats};

use crate::cli::{IndexAction, IndexArgs};
use crate::config::ConfigError;
use crate::progress;
use crate::store::{Access, Location};

use super::cars::counted;
use super::working::{self, Process, Shown, Stopped, failed};
use super::{Failure, index_eipfs, printed};

pub(super) fn run(args: IndexArgs) -> Result<(), Failure> {
    let store = args.store.ok_or(ConfigError::NoStore)?;
    working::run(move |stopped| act(store, args.action, stopped))
}

async fn act(store: Location, action: Option<IndexAction>, stopped: Stopped) -> Result<(), Failure> {
    // What is read is retried as what is written is, and no peer waits for it.
    let bucket = store.open(Access::Existing).map_err(ConfigError::from)?;
    let index = Index::new(bucket, Process::new(stopped.clone()));
    match action {
        None => {
            store.clear_index_leftovers();
            update(&index).await
        }
        Some(IndexAction::Compact { all }) => {
            store.clear_index_leftovers();
            compact(&index, all).await
        }
        Some(IndexAction::Check { mend }) => check(&index, mend).await,
        Some(IndexAction::Stats) => stats(&index).await,
        Some(IndexAction::Eipfs { exports }) => index_eipfs::run(index, &exports, &stopped).await,
    }
}

async fn update(index: &Index) -> Result<(), Failure> {
    let shown = Shown::new(progress::counter("indexing"));
    let updated = index.update(&Options::default(), &shown).await;
    shown.bar.finish_and_clear();
    let updated = updated.map_err(|error| failed(&error))?;
    tidy(index, false).await?;
    let gone = match updated.gone {
        0 => String::new(),
        gone => format!(", {} struck", counted(gone, "CAR")),
    };
    let line = format!(
        "{} with {} added{gone}, {} in all",
        counted(updated.cars, "CAR"),
        counted(updated.blocks, "block"),
        updated.indexed
    );
    printed(writeln!(io::stdout(), "{line}"))?;
    // Each was named as it was met.
    if updated.faults == 0 { Ok(()) } else { Err(Failure::Reported) }
}

async fn compact(index: &Index, all: bool) -> Result<(), Failure> {
    tidy(index, all).await?;
    stats(index).await
}

/// Merges runs, and removes what nobody needs any more.
async fn tidy(index: &Index, all: bool) -> Result<(), Failure> {
    let shown = Shown::new(progress::counter("merging"));
    let compacted = index.compact(all, &shown).await;
    shown.bar.finish_and_clear();
    let compacted = compacted.map_err(|error| failed(&error))?;
    tracing::debug!(runs = compacted.runs, entries = compacted.entries, "merged");
    let orphans = index.orphans().await.map_err(|error| failed(&error))?;
    index.collect(&orphans).await.map_err(|error| failed(&error))?;
    if !orphans.removable.is_empty() {
        tracing::info!(objects = orphans.removable.len(), bytes = orphans.bytes, "removed what nobody needs any more");
    }
    Ok(())
}

async fn check(index: &Index, mend: bool) -> Result<(), Failure> {
    let shown = Shown::new(progress::counter(if mend { "mending" } else { "checking" }));
    let checked = match mend {
        true => index.mend(&Options::default(), &shown).await,
        false => index.check(&shown).await,
    };
    shown.bar.finish_and_clear();
    // That it is damaged is what the check is for: no advice to check.
    let checked = checked.map_err(|error| Failure::Failed(error.to_string()))?;
    printed(print_findings(&checked))?;
    if checked.findings.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

fn print_findings(checked: &Checked) -> io::Result<()> {
    let mut out = io::stdout().lock();
    checked.findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
    let orphans = &checked.orphans;
    if !orphans.removable.is_empty() {
        let objects = counted(orphans.removable.len() as u64, "object");
        writeln!(out, "{objects} of {} bytes may be removed: `hoverboard index compact` does it", orphans.bytes)?;
    }
    if checked.findings.is_empty() {
        writeln!(out, "the index is good")?;
    }
    out.flush()
}

async fn stats(index: &Index) -> Result<(), Failure> {
    let manifest = index.newest().await.map_err(|error| failed(&error))?;
    let manifest =
        manifest.ok_or_else(|| Failure::Failed("there is no index: `hoverboard index` makes it".to_owned()))?;
    printed(print_stats(&Stats::of(&manifest)))
}

fn print_stats(stats: &Stats) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let made = SystemTime::UNIX_EPOCH + Duration::from_millis(stats.at);
    writeln!(out, "generation  {}, of {}", stats.generation, humantime::format_rfc3339_seconds(made))?;
    writeln!(out, "complete    {}", if stats.complete { "yes" } else { "no: no block is told to be missing" })?;
    writeln!(out, "CARs        {} ordinals, {} struck, {}", stats.ordinals, stats.struck, segments(stats.segments))?;
    writeln!(out, "runs        {}, {} of them held in memory by readers", stats.runs, stats.resident)?;
    writeln!(out, "entries     {}", stats.entries)?;
    let each = stats.bytes as f64 / (stats.entries.max(1)) as f64;
    writeln!(out, "bytes       {} in {}, {each:.1} an entry", stats.bytes, counted(stats.shards, "object"))?;
    writeln!(out, "reads       at most {} to find a block", stats.runs - stats.resident + 1)?;
    out.flush()
}

fn segments(count: usize) -> String {
    counted(count as u64, "segment")
}
