//! What is cleared away and when: by the store's clock, and never what somebody may still read or is about to name.

use std::time::Duration;

use futures_util::StreamExt;
use hoverboard_store::index::Options;
use object_store::ObjectStore;
use object_store::path::Path;

use super::support::{Answer, Car, Place, block};

const HOUR: Duration = Duration::from_secs(3600);

async fn keys(place: &Place, prefix: &str) -> Vec<String> {
    let listing = place.index.list(Some(&Path::from(prefix)));
    let mut keys: Vec<String> = listing.map(|meta| meta.unwrap().location.to_string()).collect().await;
    keys.sort();
    keys
}

/// Merges all runs, one more CAR first.
async fn step(place: &Place, number: u64) {
    place.put(&Car::new((number * 100)..(number * 100 + 9))).await;
    let index = place.index(number);
    index.update(&Options::default(), &()).await.unwrap();
    index.compact(true, &()).await.unwrap();
}

async fn collect(place: &Place) -> usize {
    let index = place.index(77);
    let orphans = index.orphans().await.unwrap();
    index.collect(&orphans).await.unwrap();
    orphans.removable.len()
}

#[tokio::test(start_paused = true)]
async fn what_was_merged_stays_for_a_day() {
    let place = Place::new();
    step(&place, 1).await;
    step(&place, 2).await;
    let runs = keys(&place, "runs").await;
    assert_eq!(runs.len(), 3);
    assert_eq!(collect(&place).await, 0);
    tokio::time::sleep(23 * HOUR).await;
    step(&place, 3).await;
    assert_eq!(collect(&place).await, 0);
    tokio::time::sleep(2 * HOUR).await;
    step(&place, 4).await;
    // The clock of the store is at the newest manifest's time, a day after the first.
    assert!(collect(&place).await > 0);
    let left = keys(&place, "runs").await;
    assert!(!left.contains(&runs[0]) || !left.contains(&runs[1]) || !left.contains(&runs[2]));
    let manifests = keys(&place, "manifest").await;
    assert!(manifests.len() > 2, "{manifests:?}");
    for number in 1..=4 {
        assert!(matches!(place.find(&block(number * 100 + 3)).await, Answer::In(_)));
    }
    assert_eq!(collect(&place).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_current_within_the_hour_stays_however_old_it_is() {
    let place = Place::new();
    step(&place, 1).await;
    tokio::time::sleep(48 * HOUR).await;
    let old = keys(&place, "runs").await;
    // A reader may have read the manifest that names the old run right before this.
    let reader = place.reader();
    step(&place, 2).await;
    collect(&place).await;
    let there = keys(&place, "runs").await;
    assert!(old.iter().all(|key| there.contains(key)), "{there:?}");
    assert!(matches!(reader.find(&block(103)).await, Answer::In(_)));
    tokio::time::sleep(2 * HOUR).await;
    step(&place, 3).await;
    assert!(collect(&place).await > 0);
    let there = keys(&place, "runs").await;
    assert!(old.iter().all(|key| !there.contains(key)), "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_slept_for_days_finds_the_newest_manifest() {
    let place = Place::new();
    step(&place, 1).await;
    let reader = place.reader();
    assert!(matches!(reader.find(&block(103)).await, Answer::In(_)));
    for number in 2..6 {
        tokio::time::sleep(25 * HOUR).await;
        step(&place, number).await;
        collect(&place).await;
    }
    // The one after the one it had is gone: that it is not there does not mean that there is none.
    for number in 1..6 {
        assert!(matches!(reader.find(&block(number * 100 + 3)).await, Answer::In(_)), "{number}");
    }
}
