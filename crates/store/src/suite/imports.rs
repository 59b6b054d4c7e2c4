//! What is asked of an import: what it wrote is found again, and no crash, repetition or change makes that untrue.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use object_store::{Error, ObjectStoreExt};

use super::cars::{Made, survey};
use super::failing::Crash;
use super::{Case, Outcome, case, ensure};
use crate::import::{ImportError, Imported, Options, Source, Watch, import};
use crate::{Bucket, layout};

pub(super) const CASES: &[Case] = &[
    case!(an_imported_car_is_found_by_its_root),
    case!(a_car_that_names_no_root_is_found_by_the_one_it_has),
    case!(a_carv2_is_stored_as_its_payload),
    case!(importing_again_writes_nothing),
    case!(an_object_of_the_wrong_size_is_written_again),
    case!(a_crash_at_any_write_leaves_nothing_untrue_and_the_next_import_ends_well),
    case!(a_car_that_changes_between_the_passes_is_not_written),
    case!(an_import_that_is_stopped_leaves_no_car),
];

/// The least that S3 takes, and two parts at a time.
const OPTIONS: Options = Options { part_size: 5 << 20, concurrency: 2 };
/// Leaves and their length, of a CAR that takes two parts.
const TWO_PARTS: (u64, usize) = (6, 1 << 20);

async fn an_imported_car_is_found_by_its_root(bucket: &Bucket) -> Outcome {
    for (seed, leaves, len) in [(1, 0, 0), (2, 1, 1), (3, 300, 1_000), (4, TWO_PARTS.0, TWO_PARTS.1)] {
        let made = Made::new(0x100 + seed, leaves, len, true)?;
        let surveyed = survey(&made.bytes, &[])?;
        ensure!(surveyed.roots == [made.root], "roots {:?}", surveyed.roots);
        import(bucket, &surveyed, &made.bytes, &OPTIONS, &()).await?;
        made.check(bucket).await?;
    }
    Ok(())
}

async fn a_car_that_names_no_root_is_found_by_the_one_it_has(bucket: &Bucket) -> Outcome {
    let made = Made::new(0x200, 20, 100, false)?;
    import(bucket, &survey(&made.bytes, &[])?, &made.bytes, &OPTIONS, &()).await?;
    made.check(bucket).await
}

async fn a_carv2_is_stored_as_its_payload(bucket: &Bucket) -> Outcome {
    let made = Made::new(0x300, TWO_PARTS.0, TWO_PARTS.1, true)?;
    let file = made.as_v2()?;
    import(bucket, &survey(&file, &[])?, &file, &OPTIONS, &()).await?;
    made.check(bucket).await
}

async fn importing_again_writes_nothing(bucket: &Bucket) -> Outcome {
    let made = Made::new(0x400, 100, 1_000, true)?;
    let surveyed = survey(&made.bytes, &[])?;
    import(bucket, &surveyed, &made.bytes, &OPTIONS, &()).await?;
    let writes_nothing = Crash::before(0).over(bucket);
    let imported = import(&writes_nothing, &surveyed, &made.bytes, &OPTIONS, &()).await?;
    ensure!(imported == Imported { objects: 0, bytes: 0 }, "{imported:?}");
    made.check(bucket).await
}

async fn an_object_of_the_wrong_size_is_written_again(bucket: &Bucket) -> Outcome {
    let made = Made::new(0x500, 10, 1_000, true)?;
    let surveyed = survey(&made.bytes, &[])?;
    let half = made.bytes.slice(..made.bytes.len() / 2);
    bucket.carpark.put(&layout::car(&made.car()), half.into()).await?;
    bucket.satnav.put(&layout::index(&made.car()), Bytes::new().into()).await?;
    import(bucket, &surveyed, &made.bytes, &OPTIONS, &()).await?;
    made.check(bucket).await
}

async fn a_crash_at_any_write_leaves_nothing_untrue_and_the_next_import_ends_well(bucket: &Bucket) -> Outcome {
    // Begin, two parts, complete; the index; the entry.
    const WRITES: usize = 6;
    for at in 0..=WRITES {
        // The write that the crash meets may be lost, or done and its answer lost.
        for crash in [Crash::before(at), Crash::after(at)] {
            let made = Made::new(0x600 + at as u64, TWO_PARTS.0, TWO_PARTS.1, true)?;
            let surveyed = survey(&made.bytes, &[])?;
            let crashed = import(&crash.over(bucket), &surveyed, &made.bytes, &OPTIONS, &()).await;
            ensure!(crashed.is_ok() == (at == WRITES), "write {at}: {crashed:?}");
            if made.is_entered(bucket).await? {
                made.check(bucket).await?;
            }
            match bucket.carpark.head(&layout::car(&made.car())).await {
                Ok(meta) => ensure!(meta.size == made.bytes.len() as u64, "write {at}: a part of a CAR is visible"),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }

            import(bucket, &surveyed, &made.bytes, &OPTIONS, &()).await?;
            made.check(bucket).await?;
            remove(bucket, &made).await?;
        }
    }
    Ok(())
}

async fn a_car_that_changes_between_the_passes_is_not_written(bucket: &Bucket) -> Outcome {
    for (seed, leaves, len) in [(1, 3, 1_000), (2, TWO_PARTS.0, TWO_PARTS.1)] {
        let made = Made::new(0x700 + seed, leaves, len, true)?;
        let surveyed = survey(&made.bytes, &[])?;
        let mut changed = made.bytes.to_vec();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        let shorter = made.bytes.slice(..made.bytes.len() - 1);
        for source in [Bytes::from(changed), shorter] {
            let refused = import(bucket, &surveyed, &source, &OPTIONS, &()).await;
            ensure!(matches!(refused, Err(ImportError::Changed)), "{refused:?}");
            ensure!(is_absent(bucket, &made).await, "something was written");
        }
        let refused = import(bucket, &surveyed, &Unreadable, &OPTIONS, &()).await;
        ensure!(matches!(refused, Err(ImportError::Source(_))), "{refused:?}");
        ensure!(is_absent(bucket, &made).await, "something was written");
    }
    Ok(())
}

async fn an_import_that_is_stopped_leaves_no_car(bucket: &Bucket) -> Outcome {
    let made = Made::new(0x800, TWO_PARTS.0, TWO_PARTS.1, true)?;
    let surveyed = survey(&made.bytes, &[])?;
    for questions in [0, 1] {
        let watch = StopAfter(AtomicUsize::new(questions));
        let stopped = import(bucket, &surveyed, &made.bytes, &OPTIONS, &watch).await;
        ensure!(matches!(stopped, Err(ImportError::Stopped)), "{stopped:?}");
        ensure!(is_absent(bucket, &made).await, "something was written");
    }
    Ok(())
}

/// Whether there is neither CAR nor index nor entry.
async fn is_absent(bucket: &Bucket, made: &Made) -> bool {
    let (car, index) = (layout::car(&made.car()), layout::index(&made.car()));
    let car = bucket.carpark.head(&car).await;
    let index = bucket.satnav.head(&index).await;
    matches!((car, index), (Err(Error::NotFound { .. }), Err(Error::NotFound { .. })))
        && matches!(made.is_entered(bucket).await, Ok(false))
}

async fn remove(bucket: &Bucket, made: &Made) -> Outcome {
    bucket.dudewhere.delete(&layout::entry(&made.root, &made.car())).await?;
    bucket.satnav.delete(&layout::index(&made.car())).await?;
    bucket.carpark.delete(&layout::car(&made.car())).await?;
    Ok(())
}

/// A file that is gone.
struct Unreadable;

impl Source for Unreadable {
    fn read_at(&self, _: u64, _: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        future::ready(Err(io::ErrorKind::NotFound.into())).boxed()
    }
}

/// Says go on so many times.
struct StopAfter(AtomicUsize);

impl Watch for StopAfter {
    fn done(&self, _: u64) {}

    fn stopped(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}
