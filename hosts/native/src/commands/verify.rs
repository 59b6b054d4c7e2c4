//! `hoverboard verify`: hash every block of CAR files, and see that the index inside a CARv2 has it.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use hoverboard_car::index::SortedIndex;
use hoverboard_car::{Error, Options, Reader, SectionHead};
use indicatif::ProgressBar;

use crate::catalog::files::open;
use crate::cli::VerifyArgs;
use crate::progress;

use super::cars::{counted, find};
use super::{Failure, printed};

/// What was found in one file.
#[derive(Debug, Default)]
struct Report {
    blocks: u64,
    bytes: u64,
    faults: Vec<String>,
}

pub(super) fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let (cars, complete) = find(&args.paths)?;
    let bar = progress::bytes("verifying");
    bar.set_length(cars.iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len())).sum());
    let (mut blocks, mut bytes, mut bad) = (0, 0, 0);
    for path in &cars {
        let report = verify(path, &bar);
        bar.suspend(|| print(path, &report))?;
        blocks += report.blocks;
        bytes += report.bytes;
        bad += u64::from(!report.faults.is_empty());
    }
    bar.finish_and_clear();
    let summary = format!(
        "{}, {}, {}: {}",
        counted(cars.len() as u64, "file"),
        counted(blocks, "block"),
        counted(bytes, "byte"),
        if bad == 0 && complete { "all good".into() } else { format!("{} damaged", counted(bad, "file")) }
    );
    printed(writeln!(std::io::stdout(), "{summary}"))?;
    if bad == 0 && complete { Ok(()) } else { Err(Failure::Reported) }
}

/// Reads a file to its end, or to where it cannot be read on. A block that does not match is passed over.
fn verify(path: &Path, bar: &ProgressBar) -> Report {
    let mut report = Report::default();
    let opened = open(path).map_err(Error::from).and_then(|file| Reader::new(bar.wrap_read(file), Options::default()));
    let reader = match opened {
        Ok(reader) => reader,
        Err(error) => {
            report.faults.push(error.to_string());
            return report;
        }
    };
    let index = match own_index(path, reader.header().index_start()) {
        Ok(index) => index,
        Err(fault) => {
            report.faults.push(format!("its index: {fault}"));
            None
        }
    };
    for section in reader.verified(hoverboard_dag::verify) {
        match section {
            Ok(section) => {
                if let Some(index) = &index
                    && !is_indexed(index, &section.head)
                {
                    report.faults.push(format!("its index does not have the block {}", section.cid()));
                }
                report.blocks += 1;
                report.bytes += section.data.len() as u64;
            }
            Err(error) => report.faults.push(error.to_string()),
        }
    }
    report
}

/// The index inside a CARv2.
fn own_index(path: &Path, start: Option<u64>) -> Result<Option<SortedIndex>, String> {
    let Some(start) = start else { return Ok(None) };
    let text = |error: std::io::Error| error.to_string();
    let mut file = open(path).map_err(text)?;
    file.seek(SeekFrom::Start(start)).map_err(text)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(text)?;
    let index = SortedIndex::open(bytes.into()).map_err(|error| error.to_string())?;
    index.check().map_err(|error| error.to_string())?;
    Ok(Some(index))
}

/// Identity CIDs need no index.
fn is_indexed(index: &SortedIndex, head: &SectionHead) -> bool {
    head.cid.hash().code() == 0 || index.lookup(head.cid.hash()).any(|offset| offset == head.offset)
}

fn print(path: &Path, report: &Report) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let verdict = if report.faults.is_empty() { "good" } else { "BAD " };
    let line = writeln!(
        out,
        "{verdict} {}: {}, {}",
        path.display(),
        counted(report.blocks, "block"),
        counted(report.bytes, "byte")
    );
    let mut faults = || report.faults.iter().try_for_each(|fault| writeln!(out, "     {}: {fault}", path.display()));
    printed(line.and_then(|()| faults()))
}
