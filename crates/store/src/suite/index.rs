//! What is asked of a store by the index: what is written is found, and of many who create the next manifest one does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use hoverboard_dag::Software;
use multihash::Multihash;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use sha2::{Digest, Sha256};

use super::cars::{Made, survey};
use super::{Case, Outcome, case, ensure};
use crate::import::{Options, import};
use crate::index::lookup::{Runs, Settings};
use crate::index::{self, Host, Importing, Index, Removal};
use crate::ledger::{Budget, Ledger};
use crate::library::{Config, Located, Locator, Retry, Timer};
use crate::{Bucket, CarCid};

pub(super) const CASES: &[Case] = &[
    case!(what_is_indexed_is_found_and_what_is_removed_is_missing),
    case!(of_many_who_change_the_index_at_once_none_is_lost),
];

/// Writers at once.
const WRITERS: u64 = 12;

/// Waits for nothing: what a store takes to answer is wait enough for a case.
struct Eager(AtomicU64);

impl Timer for Eager {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        // A read that takes too long is the store's failure, and this does not know how long that is.
        if time >= Retry::default().stalled { future::pending().boxed() } else { future::ready(()).boxed() }
    }
}

impl Host for Eager {
    fn unix_ms(&self) -> u64 {
        0
    }

    fn random(&self) -> [u8; 16] {
        let digest: [u8; 32] = Sha256::digest(self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes()).into();
        let mut random = [0; 16];
        random.copy_from_slice(&digest[..16]);
        random
    }
}

fn host(seed: u64) -> Arc<Eager> {
    Arc::new(Eager(AtomicU64::new(seed << 32)))
}

/// A corner of the bucket for one case.
fn corner(bucket: &Bucket, name: &str) -> Bucket {
    let prefix = |store: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(Arc::clone(store), Path::from(format!("suite-index/{name}"))))
    };
    Bucket {
        carpark: prefix(&bucket.carpark),
        dudewhere: prefix(&bucket.dudewhere),
        satnav: prefix(&bucket.satnav),
        index: prefix(&bucket.index),
    }
}

async fn locate(bucket: &Bucket, blocks: &[Cid]) -> Outcome<Vec<Located>> {
    let config = Config::new(Arc::new(Software), host(99), Arc::new(()));
    let runs = Runs::new(bucket.clone(), Settings::of(&config));
    let multihashes: Vec<Multihash<64>> = blocks.iter().map(|cid| *cid.hash()).collect();
    Ok(runs.locate(multihashes, Ledger::new(Budget::UNLIMITED).account()).await?)
}

fn is_in(located: &Located, car: CarCid) -> bool {
    matches!(located, Located::At { places, .. } if places.iter().any(|place| place.car == car))
}

async fn what_is_indexed_is_found_and_what_is_removed_is_missing(bucket: &Bucket) -> Outcome {
    let bucket = &corner(bucket, "found");
    let made = [Made::new(0x900, 20, 500, true)?, Made::new(0x901, 30, 40, true)?];
    for made in &made {
        import(bucket, &survey(&made.bytes, &[])?, &made.bytes, &Options::default(), &()).await?;
    }
    let index = Index::new(bucket.clone(), host(1));
    let updated = index.update(&index::Options::default(), &()).await?;
    ensure!(updated.faults == 0 && updated.indexed == 2, "{updated:?}");
    let again = index.update(&index::Options::default(), &()).await?;
    ensure!(again.cars == 0 && again.gone == 0, "the second time {again:?}");
    let blocks = |made: &Made| -> Vec<Cid> { made.blocks.iter().map(|(cid, _)| *cid).collect() };
    for made in &made {
        let found = locate(bucket, &blocks(made)).await?;
        ensure!(found.iter().all(|located| is_in(located, made.car())), "not all found: {found:?}");
    }
    let absent = locate(bucket, &blocks(&Made::new(0x902, 3, 10, true)?)).await?;
    ensure!(absent.iter().all(|located| *located == Located::Missing), "what is not there: {absent:?}");

    index.remove(&Removal::Car(made[0].car())).await?;
    let gone = locate(bucket, &blocks(&made[0])).await?;
    ensure!(gone.iter().all(|located| *located == Located::Missing), "what was removed: {gone:?}");
    index.compact(true, &()).await?;
    let kept = locate(bucket, &blocks(&made[1])).await?;
    ensure!(kept.iter().all(|located| is_in(located, made[1].car())), "after a merge: {kept:?}");
    let checked = index.check(&()).await?;
    ensure!(checked.findings.is_empty(), "{:?}", checked.findings);
    index.remove(&Removal::Root(made[1].root)).await?;
    let checked = index.check(&()).await?;
    ensure!(checked.findings.is_empty(), "{:?}", checked.findings);
    Ok(())
}

async fn of_many_who_change_the_index_at_once_none_is_lost(bucket: &Bucket) -> Outcome {
    let bucket = &corner(bucket, "writers");
    // Without it the bucket would have CARs and no index by the time that some begin.
    Index::new(bucket.clone(), host(1)).begin(true).await?;
    let write = async |seed: u64| -> Outcome<Made> {
        let made = Made::new(0xa00 + seed, 3, 50, true)?;
        let surveyed = survey(&made.bytes, &[])?;
        import(bucket, &surveyed, &made.bytes, &Options::default(), &()).await?;
        let importing = Importing::begin(Index::new(bucket.clone(), host(seed + 2)), 1 << 20).await?;
        match importing {
            Some(mut importing) => importing.add(&[surveyed]).await?,
            None => 0,
        };
        Ok(made)
    };
    for made in future::join_all((0..WRITERS).map(write)).await {
        let made = made?;
        let found = locate(bucket, &[made.root]).await?;
        ensure!(found.iter().all(|located| is_in(located, made.car())), "{}: {found:?}", made.car());
    }
    Ok(())
}
