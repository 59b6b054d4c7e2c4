//! `hoverboard remove`: CARs out of a store, and out of its index first.

use std::io::{self, Write};

use hoverboard_store::CarCid;
use hoverboard_store::index::{Index, Removal};

use crate::cli::RemoveArgs;
use crate::config::ConfigError;
use crate::store::Access;

use super::working::{self, Process, Stopped, failed};
use super::{Failure, printed};

pub(super) fn run(args: RemoveArgs) -> Result<(), Failure> {
    working::run(move |stopped| remove(args, stopped))
}

async fn remove(args: RemoveArgs, stopped: Stopped) -> Result<(), Failure> {
    let bucket = args.store.open(Access::Existing).map_err(ConfigError::from)?;
    let index = Index::new(bucket, Process::new(stopped));
    for cid in &args.cids {
        let what = CarCid::try_from(cid).map_or(Removal::Root(*cid), Removal::Car);
        let removed = index.remove(&what).await.map_err(|error| failed(&error))?;
        if removed.objects == 0 {
            eprintln!("hoverboard: {cid}: nothing of it is there");
        }
        let mut out = io::stdout().lock();
        printed(removed.cars.iter().try_for_each(|car| writeln!(out, "{car}")))?;
    }
    Ok(())
}
