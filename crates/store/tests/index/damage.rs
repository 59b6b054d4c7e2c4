//! Objects of the index that are missing, cut short or changed: told by key, never a wrong answer, and mended.

use bytes::Bytes;
use futures_util::StreamExt;
use hoverboard_store::index::{Finding, Options};
use hoverboard_store::layout;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::support::{Answer, Car, Place, block};

/// What is done to an object.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Missing,
    Cut,
    Flipped(usize),
    Empty,
}

const ALL: [Damage; 6] = [
    Damage::Missing,
    Damage::Cut,
    Damage::Flipped(0),
    Damage::Flipped(3_000),
    Damage::Flipped(usize::MAX),
    Damage::Empty,
];

async fn spoil(place: &Place, key: &Path, damage: Damage) {
    let bytes = place.index.get(key).await.unwrap().bytes().await.unwrap();
    let bytes = match damage {
        Damage::Missing => return place.index.delete(key).await.unwrap(),
        Damage::Cut => bytes.slice(..bytes.len() - 1),
        Damage::Empty => Bytes::new(),
        Damage::Flipped(at) => {
            let mut bytes = bytes.to_vec();
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= 0x10;
            bytes.into()
        }
    };
    place.index.put(key, PutPayload::from_bytes(bytes)).await.unwrap();
}

async fn key(place: &Place, prefix: &str) -> Path {
    let listing = place.index.list(Some(&Path::from(prefix)));
    let mut keys: Vec<Path> = listing.map(|meta| meta.unwrap().location).collect().await;
    keys.sort();
    keys.pop().unwrap()
}

/// Two CARs in one run, one in another.
async fn filled() -> (Place, [Car; 3]) {
    let place = Place::new();
    let cars = [Car::new(0..50), Car::new(50..100), Car::new(100..150)];
    let index = place.index(1);
    place.put(&cars[0]).await;
    place.put(&cars[1]).await;
    index.update(&Options::default(), &()).await.unwrap();
    place.put(&cars[2]).await;
    index.update(&Options::default(), &()).await.unwrap();
    (place, cars)
}

#[tokio::test(start_paused = true)]
async fn a_damaged_object_is_told_makes_answers_unknown_and_is_mended() {
    for prefix in ["runs", "cars"] {
        for damage in ALL {
            let (place, cars) = filled().await;
            let key = key(&place, prefix).await;
            spoil(&place, &key, damage).await;
            let reader = place.reader();
            let mut unknown = 0;
            for car in &cars {
                for answer in reader.locate(&car.multihashes()).await {
                    assert!(
                        answer == Answer::only(car) || answer == Answer::Unknown,
                        "{damage:?} of {key}: {answer:?}"
                    );
                    unknown += usize::from(answer == Answer::Unknown);
                }
            }
            assert!(unknown == 50 || unknown == 100, "{damage:?} of {key}: {unknown} unknown");
            // A block that is in no run is no miss as long as one of them cannot be read.
            let elsewhere = if prefix == "runs" { Answer::Unknown } else { Answer::Missing };
            assert_eq!(reader.find(&block(999)).await, elsewhere);
            if !(prefix == "cars" && matches!(damage, Damage::Missing)) {
                assert!(reader.log.said(key.as_ref()), "{damage:?} of {key} was not told");
            }

            let index = place.index(2);
            let found = index.check(&()).await.unwrap().findings;
            let told = |finding: &Finding| matches!(finding, Finding::Damaged(what) if what.contains(key.as_ref()));
            assert!(found.iter().any(told), "{damage:?} of {key}: {found:?}");
            let left = index.mend(&Options::default(), &()).await.unwrap();
            assert!(left.findings.is_empty(), "{damage:?} of {key}: {:?}", left.findings);
            for car in &cars {
                let found = place.reader().locate(&car.multihashes()).await;
                assert!(found.iter().all(|answer| *answer == Answer::only(car)), "{damage:?} of {key}: {found:?}");
            }
            assert_eq!(place.find(&block(999)).await, Answer::Missing);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_cannot_be_read_is_told_and_the_one_before_goes_on() {
    for damage in [Damage::Cut, Damage::Flipped(5), Damage::Empty] {
        let (place, cars) = filled().await;
        let newest = key(&place, "manifest").await;
        spoil(&place, &newest, damage).await;
        let reader = place.reader();
        assert_eq!(reader.find(&block(3)).await, Answer::Unknown);
        assert!(reader.log.said(newest.as_ref()));
        let index = place.index(2);
        assert!(index.update(&Options::default(), &()).await.is_err());
        let found = index.check(&()).await.unwrap().findings;
        assert!(found.iter().any(|finding| finding.to_string().contains(newest.as_ref())), "{found:?}");
        let left = index.mend(&Options::default(), &()).await.unwrap();
        assert!(left.findings.is_empty(), "{:?}", left.findings);
        for car in &cars {
            let found = place.reader().locate(&car.multihashes()).await;
            assert!(found.iter().all(|answer| answer.has(car)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_indexed_or_gone_is_told_and_mended() {
    let (place, cars) = filled().await;
    let new = Car::new(500..510);
    place.put(&new).await;
    place.bucket.carpark.delete(&layout::car(&cars[0].cid())).await.unwrap();
    let index = place.index(2);
    let found = index.check(&()).await.unwrap().findings;
    assert!(found.contains(&Finding::NotIndexed(new.cid())) && found.contains(&Finding::Gone(cars[0].cid())));
    assert_eq!(found.len(), 2);
    assert!(index.mend(&Options::default(), &()).await.unwrap().findings.is_empty());
    assert_eq!(place.find(&block(3)).await, Answer::Missing);
    assert_eq!(place.find(&block(503)).await, Answer::only(&new));
}
