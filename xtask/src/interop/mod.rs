//! Other people's programs against ours, both ways, over loopback.
//!
//! A case starts one server and one client, has data fetched whole, and compares it with the source block by block.
//! Nothing here knows how Hoverboard works inside: it is run as a person runs it.

mod broken;
mod caps;
mod car;
mod cases;
mod cbor;
mod data;
mod drain;
mod faults;
mod keys;
pub(crate) mod kubo;
mod ports;
pub(crate) mod process;
pub(crate) mod programs;
mod store;
mod subject;
mod worker;

use std::{cell::OnceCell, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::{
    cases::CASES,
    data::Dataset,
    programs::{Hoverboard, Programs},
    subject::Subject,
};
use crate::{cache::Cache, stages::Stages};

/// Which cases to run.
#[derive(Args, Debug, Default)]
pub(crate) struct Selection {
    /// Cases whose names begin so; all of them if none is named.
    names: Vec<String>,
    /// Put kubo in Hoverboard's place: what fails then is the harness.
    #[arg(long)]
    control: bool,
    /// Only list the cases.
    #[arg(long)]
    list: bool,
}

/// What every case works with.
#[derive(Debug)]
pub(crate) struct Lab {
    programs: Programs,
    subject: Subject,
    data: Vec<Dataset>,
    /// A folder for the case alone, empty at its start.
    scratch: PathBuf,
}

impl Lab {
    fn ensure(cache: &Cache, control: bool) -> Result<Self> {
        let programs = Programs::ensure(cache)?;
        let subject = if control {
            Subject::Control(programs.ipfs.clone())
        } else {
            crate::worker::build(cache)?;
            Subject::Hoverboard(Hoverboard::build()?)
        };
        let data = data::ensure(cache, &programs.ipfs)?;
        Ok(Self { programs, subject, data, scratch: PathBuf::new() })
    }

    /// What the program under test can serve: everything, unless kubo takes its part.
    fn served(&self) -> Vec<Dataset> {
        match self.subject {
            Subject::Hoverboard(_) => self.data.clone(),
            Subject::Control(_) => self.all_but(&data::NOT_FROM_KUBO),
        }
    }

    /// Where the data sets are.
    fn data_folder(&self) -> Result<PathBuf> {
        let car = self.data.first().map(|dataset| dataset.car.as_path());
        Ok(car.and_then(std::path::Path::parent).context("there is no data")?.to_owned())
    }

    /// The data sets without those of these names.
    fn all_but(&self, names: &[&str]) -> Vec<Dataset> {
        let others = self.data.iter().filter(|dataset| !names.contains(&dataset.name.as_str()));
        others.cloned().collect()
    }

    /// The data sets of these names.
    fn samples(&self, names: &[&str]) -> Vec<Dataset> {
        let chosen = self.data.iter().filter(|dataset| names.contains(&dataset.name.as_str()));
        chosen.cloned().collect()
    }
}

pub(crate) fn run(cache: &Cache, selection: &Selection) -> Result<()> {
    if selection.list {
        for case in CASES {
            println!("{:<14} {}", case.name, case.says);
        }
        return Ok(());
    }
    let known = |name: &String| CASES.iter().any(|case| case.name.starts_with(name.as_str()));
    let unknown = selection.names.iter().find(|name| !known(name));
    ensure!(unknown.is_none(), "no case is called {unknown:?}: see --list");
    let mut stages = Stages::default();
    self::stages(cache, selection, &mut stages);
    stages.finish()
}

/// Runs the cases, each as a stage.
pub(crate) fn stages(cache: &Cache, selection: &Selection, stages: &mut Stages) {
    let lab = OnceCell::new();
    stages.step("interop: programs and data", || {
        let _ = lab.set(Lab::ensure(cache, selection.control)?);
        Ok(())
    });
    let Some(mut lab) = lab.into_inner() else {
        return;
    };
    for case in CASES {
        let named = selection.names.iter().any(|name| case.name.starts_with(name.as_str()));
        let wanted = selection.names.is_empty() || named;
        if !wanted || (selection.control && !case.control) {
            continue;
        }
        stages.step(&format!("interop: {}: {}", case.name, case.says), || {
            let folder = format!("run/{}-{}", std::process::id(), case.name);
            lab.scratch = cache.fresh_folder(&folder)?;
            (case.run)(&lab).with_context(|| format!("see {}", lab.scratch.display()))?;
            std::fs::remove_dir_all(&lab.scratch)?;
            Ok(())
        });
    }
}
