//! `hoverboard verify`: hash every block of CAR files, and see that the indexes over them have it: the one inside a
//! CARv2, and `NAME.car.idx` beside `NAME.car`.

use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use hoverboard_car::index::SortedIndex;
use hoverboard_car::{Error, Options, Reader, SectionHead};
use indicatif::ProgressBar;

use crate::catalog::files::open;
use crate::catalog::foreign;
use crate::cli::VerifyArgs;
use crate::progress;

use super::cars::{counted, find};
use super::{Failure, printed};

/// Faults of one file that are named; more are counted.
const MAX_NAMED: usize = 100;

/// What was found in one file.
#[derive(Debug, Default)]
struct Report {
    blocks: u64,
    bytes: u64,
    /// The first [`MAX_NAMED`]
    faults: Vec<String>,
    more_faults: u64,
}

impl Report {
    fn fault(&mut self, fault: String) {
        if self.faults.len() < MAX_NAMED {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }
}

/// An index over the file, held against its sections.
struct Claims {
    /// "its index", or the name of the file that it is in
    name: String,
    index: SortedIndex,
    /// Entries that point at a section which holds their block
    right: u64,
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

/// Reads a file to its end, or to where it cannot be read on. A block that does not match is passed over, and so is a
/// section that cannot be read, where its length says how far.
fn verify(path: &Path, bar: &ProgressBar) -> Report {
    let mut report = Report::default();
    let opened = open(path).map_err(Error::from).and_then(|file| Reader::new(bar.wrap_read(file), Options::default()));
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => {
            report.fault(error.to_string());
            return report;
        }
    };
    let mut indexes = indexes(path, reader.header(), &mut report);
    let mut all_read = true;
    while let Some(section) = reader.next() {
        let section = match section {
            Ok(section) => section,
            Err(error) => {
                all_read = false;
                report.fault(error.to_string());
                match reader.skip_section() {
                    Some(_) => continue,
                    None => break,
                }
            }
        };
        indexes.iter_mut().for_each(|claims| claims.compare(&section.head, &mut report));
        match section.verify(hoverboard_dag::verify) {
            Ok(()) => {
                report.blocks += 1;
                report.bytes += section.data.len() as u64;
            }
            Err(error) => report.fault(error.to_string()),
        }
    }
    // An entry may point at a section that could not be read.
    if all_read {
        indexes.iter().for_each(|claims| claims.end(&mut report));
    }
    report
}

/// The indexes over a CAR, inside it and beside it. What is wrong with one is a fault.
fn indexes(path: &Path, header: &hoverboard_car::Header, report: &mut Report) -> Vec<Claims> {
    let beside = foreign::beside(path);
    let size = || open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let inside = || size().and_then(|(size, file)| foreign::inside(&file, header, size));
    let outside = || size().and_then(|(size, _)| foreign::outside(&beside, size));
    let mut indexes = Vec::new();
    let mut add = |name: String, found: io::Result<Option<Bytes>>| {
        let bytes = match found {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => return,
            Err(error) => Err(error.to_string()),
        };
        match bytes.and_then(foreign::parse) {
            Ok(index) => indexes.push(Claims { name, index, right: 0 }),
            Err(reason) => report.fault(format!("{name}: {reason}")),
        }
    };
    add("its index".into(), inside());
    add(beside.display().to_string(), outside());
    indexes
}

impl Claims {
    /// Identity CIDs need no index.
    fn compare(&mut self, head: &SectionHead, report: &mut Report) {
        let multihash = head.cid.hash();
        if self.index.lookup(multihash).any(|offset| offset == head.offset) {
            self.right += 1;
        } else if multihash.code() != 0 {
            report.fault(format!("{} does not have the block {}", self.name, head.cid));
        }
    }

    fn end(&self, report: &mut Report) {
        let wrong = (self.index.len() as u64).saturating_sub(self.right);
        if wrong > 0 {
            let entries = if wrong == 1 { "1 entry".into() } else { format!("{wrong} entries") };
            report.fault(format!("{} has {entries} for what is not there", self.name));
        }
    }
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
    let mut faults = || {
        report.faults.iter().try_for_each(|fault| writeln!(out, "     {}: {fault}", path.display()))?;
        match report.more_faults {
            0 => Ok(()),
            more => writeln!(out, "     {}: and {more} more", path.display()),
        }
    };
    printed(line.and_then(|()| faults()))
}
