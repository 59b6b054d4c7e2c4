//! `hoverboard index eipfs`: the index out of the tables of Elastic IPFS, without reading a CAR.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

use hoverboard_store::CarCid;
use hoverboard_store::index::{Adopted, Adopting, Foreign, Index, Options};

use crate::eipfs::{self, CarRow, Cars, Row, Spool};
use crate::progress;

use super::cars::counted;
use super::working::{Shown, Stopped, failed};
use super::{Failure, printed};

/// Rows of one change of the index. They are in memory at a time, at about a hundred bytes each.
const AT_ONCE: u64 = 1 << 20;
/// Lines that are wrong which are named; more are only counted.
const NAMED: u64 = 20;

/// What was read.
#[derive(Default)]
struct Read {
    cars: HashMap<CarCid, CarRow>,
    wrong: u64,
    /// Rows whose path does not say which CAR it is.
    nameless: u64,
}

pub(super) async fn run(index: Index, exports: &[PathBuf], stopped: &Stopped) -> Result<(), Failure> {
    // Reading blocks, and nothing else runs meanwhile.
    let (read, spool) = tokio::task::block_in_place(|| read(exports, stopped))?;
    let rows = spool.rows();
    let shown = Shown::new(progress::counter("indexing"));
    let mut adopting = Adopting::begin(index, Options::default().run_entries).await.map_err(|error| failed(&error))?;
    let mut became: HashMap<Adopted, u64> = HashMap::new();
    let mut untold = 0;
    let runtime = tokio::runtime::Handle::current();
    let result = tokio::task::block_in_place(|| {
        let mut failure = None;
        let piece = |cars: Cars| {
            let (told, without) = foreign(&read.cars, cars);
            untold += without;
            match runtime.block_on(adopting.add(&told, &shown)) {
                Ok(each) => each.iter().for_each(|each| *became.entry(*each).or_default() += 1),
                Err(error) => {
                    failure = Some(failed(&error));
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
            Ok(())
        };
        let read = spool.read(AT_ONCE, piece);
        failure.map_or_else(|| read.map_err(temporary), Err)
    });
    shown.bar.finish_and_clear();
    result?;
    printed(print(rows, &read, &became, untold))?;
    // The lines were named as they were met.
    if read.wrong == 0 { Ok(()) } else { Err(Failure::Reported) }
}

fn read(exports: &[PathBuf], stopped: &Stopped) -> Result<(Read, Spool), Failure> {
    let files = eipfs::files(exports).map_err(|error| Failure::Failed(error.to_string()))?;
    let mut read = Read::default();
    let mut spool = Spool::new().map_err(temporary)?;
    let bar = progress::counter("reading tables");
    let mut written = Ok(());
    for file in &files {
        let Read { cars, wrong, nameless } = &mut read;
        let each = |row| {
            match row {
                Row::Car(row) => match row.car {
                    Some(car) => drop(cars.insert(car, row)),
                    None => *nameless += 1,
                },
                Row::Block(row) => match row.car {
                    Some(car) => written = spool.push(&car, &row),
                    None => *nameless += 1,
                },
            }
            bar.inc(1);
            written.is_ok() && !stopped.is_set()
        };
        let named = |error: eipfs::Failed| {
            *wrong += 1;
            if *wrong <= NAMED {
                bar.suspend(|| eprintln!("hoverboard: {error}"));
            }
            true
        };
        eipfs::rows(file, each, named).map_err(|error| Failure::Failed(error.to_string()))?;
        std::mem::replace(&mut written, Ok(())).map_err(temporary)?;
        if stopped.is_set() {
            return Err(Failure::Failed("stopped: nothing was added".to_owned()));
        }
    }
    bar.finish_and_clear();
    Ok((read, spool))
}

/// What the tables say of these CARs, and how many of them `v1-cars` does not have.
fn foreign(told: &HashMap<CarCid, CarRow>, cars: Cars) -> (Vec<Foreign>, u64) {
    let all = cars.len() as u64;
    let foreign = cars.into_iter().filter_map(|(car, blocks)| {
        let CarRow { size, first_section, .. } = *told.get(&car)?;
        Some(Foreign { car, size, first_section, blocks })
    });
    let foreign: Vec<Foreign> = foreign.collect();
    let without = all - foreign.len() as u64;
    (foreign, without)
}

fn print(rows: u64, read: &Read, became: &HashMap<Adopted, u64>, untold: u64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{} of blocks read", counted(rows, "row"))?;
    let lines = [
        (became.get(&Adopted::Added), "added"),
        (became.get(&Adopted::Indexed), "indexed already"),
        (became.get(&Adopted::Absent), "not in the store"),
        (became.get(&Adopted::Other), "of another length in the store: left to `hoverboard index`"),
        (became.get(&Adopted::Gaps), "with blocks that no row names: left to `hoverboard index`"),
        (Some(&untold), "that v1-cars does not have: left to `hoverboard index`"),
    ];
    for (count, what) in lines {
        if let Some(count) = count.filter(|count| **count > 0) {
            writeln!(out, "{} {what}", counted(*count, "CAR"))?;
        }
    }
    if read.nameless > 0 {
        writeln!(out, "{} whose path does not say which CAR it is", counted(read.nameless, "row"))?;
    }
    if read.wrong > 0 {
        writeln!(out, "{} that cannot be read", counted(read.wrong, "line"))?;
    }
    out.flush()
}

fn temporary(error: io::Error) -> Failure {
    Failure::Failed(format!("cannot use the folder for temporary files: {error}. Name another one by TMPDIR"))
}
