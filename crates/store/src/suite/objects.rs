//! What is asked of objects: written whole, read whole or in part or as one version, listed, removed.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode};

use super::cars::noise;
use super::{Case, Outcome, case, ensure};
use crate::Bucket;

pub(super) const CASES: &[Case] = &[
    case!(an_object_is_read_back),
    case!(what_is_not_there_is_not_found),
    case!(parts_of_an_object_are_read),
    case!(a_long_body_arrives_whole),
    case!(a_read_is_of_the_version_asked_for),
    case!(an_object_is_created_once),
    case!(a_listing_has_what_lies_under_a_prefix_and_no_more),
    case!(a_listing_of_many_pages_is_whole),
    case!(a_listing_has_the_size_and_the_etag_that_a_read_has),
    case!(an_object_in_parts_is_there_when_it_is_complete),
    case!(an_object_in_parts_that_is_given_up_is_never_there),
];

/// The least that S3 takes for a part that is not the last.
const PART: usize = 5 << 20;

async fn an_object_is_read_back(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    for (name, data) in [("empty", noise(1, 0)), ("small", noise(2, 1)), ("larger", noise(3, 100_000))] {
        let key = Path::from(format!("suite-read-back/{name}"));
        store.put(&key, data.clone().into()).await?;
        ensure!(store.head(&key).await?.size == data.len() as u64, "{key}: wrong size");
        ensure!(store.get(&key).await?.bytes().await? == data, "{key}: other bytes");
        store.put(&key, noise(4, 77).into()).await?;
        ensure!(store.get(&key).await?.bytes().await? == noise(4, 77), "{key}: not overwritten");
    }
    Ok(())
}

async fn what_is_not_there_is_not_found(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    let key = Path::from("suite-not-there/never");
    ensure!(is_not_found(&store.head(&key).await), "head");
    ensure!(is_not_found(&store.get(&key).await), "get");
    ensure!(is_not_found(&store.get_range(&key, 0..10).await), "ranged get");

    let key = Path::from("suite-not-there/removed");
    store.put(&key, noise(1, 10).into()).await?;
    store.delete(&key).await?;
    ensure!(is_not_found(&store.get(&key).await), "get after delete");
    ensure!(keys(store, "suite-not-there").await?.is_empty(), "still listed");
    Ok(())
}

async fn parts_of_an_object_are_read(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    let (key, data) = (Path::from("suite-parts"), noise(5, 300_000));
    store.put(&key, data.clone().into()).await?;
    for range in [0..1, 0..300_000, 1..2, 70_000..200_001, 299_999..300_000] {
        let read = store.get_range(&key, range.clone()).await?;
        let expected = data.slice(range.start as usize..range.end as usize);
        ensure!(read == expected, "{range:?}: {} bytes", read.len());
    }
    let past_end = store.get_range(&key, 299_990..400_000).await?;
    ensure!(past_end == data.slice(299_990..), "a range past the end gives {} bytes", past_end.len());
    ensure!(store.get_range(&key, 300_000..300_001).await.is_err(), "a range that begins at the end gives bytes");
    Ok(())
}

async fn a_long_body_arrives_whole(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    let (key, data) = (Path::from("suite-long"), noise(6, 6 << 20));
    store.put(&key, data.clone().into()).await?;
    let mut body = store.get(&key).await?.into_stream();
    let mut at = 0;
    while let Some(piece) = body.try_next().await? {
        ensure!(data.get(at..at + piece.len()) == Some(&*piece), "other bytes in the piece at {at}");
        at += piece.len();
    }
    ensure!(at == data.len(), "it ends at {at}");
    Ok(())
}

async fn a_read_is_of_the_version_asked_for(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    let key = Path::from("suite-version");
    let read = async |tag: &str| {
        let options =
            GetOptions { if_match: Some(tag.to_owned()), range: Some((2..5).into()), ..GetOptions::default() };
        store.get_opts(&key, options).await
    };
    store.put(&key, noise(7, 50).into()).await?;
    let first = store.get(&key).await?.meta.e_tag;
    let Some(first) = first else {
        ensure!(false, "it has no ETag");
        return Ok(());
    };
    ensure!(read(&first).await?.bytes().await? == noise(7, 50).slice(2..5), "other bytes");
    ensure!(store.head(&key).await?.e_tag.as_ref() == Some(&first), "head and get give two ETags");

    store.put(&key, noise(8, 50).into()).await?;
    let refused = matches!(read(&first).await, Err(Error::Precondition { .. }));
    ensure!(refused, "the old ETag is still good");
    store.delete(&key).await?;
    let gone = matches!(read(&first).await, Err(Error::Precondition { .. } | Error::NotFound { .. }));
    ensure!(gone, "an object that is gone is read");
    Ok(())
}

async fn an_object_is_created_once(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    let key = Path::from("suite-created");
    match store.delete(&key).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let create = async |data: Bytes| store.put_opts(&key, data.into(), PutMode::Create.into()).await;
    create(noise(9, 30)).await?;
    let refused = matches!(create(noise(10, 30)).await, Err(Error::AlreadyExists { .. }));
    ensure!(refused, "created twice");
    ensure!(store.get(&key).await?.bytes().await? == noise(9, 30), "the second one's bytes");
    Ok(())
}

async fn a_listing_has_what_lies_under_a_prefix_and_no_more(bucket: &Bucket) -> Outcome {
    let store = &*bucket.dudewhere;
    for key in ["suite-list/a/1", "suite-list/a/2", "suite-list/ab/3", "suite-list/b/4", "suite-list/a-/5"] {
        store.put(&Path::from(key), Bytes::new().into()).await?;
    }
    let under = keys(store, "suite-list/a").await?;
    ensure!(under == ["suite-list/a/1", "suite-list/a/2"], "{under:?}");
    ensure!(keys(store, "suite-list").await?.len() == 5, "not all under the longer prefix");
    ensure!(keys(store, "suite-list/c").await?.is_empty(), "something under a prefix that nothing has");
    Ok(())
}

async fn a_listing_of_many_pages_is_whole(bucket: &Bucket) -> Outcome {
    // S3 and R2 list a thousand at a time.
    const MANY: usize = 1_005;
    let store = &*bucket.dudewhere;
    stream::iter(0..MANY)
        .map(|number| async move { store.put(&Path::from(format!("suite-pages/{number}")), Bytes::new().into()).await })
        .buffer_unordered(16)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let mut listed = keys(store, "suite-pages").await?;
    listed.dedup();
    ensure!(listed.len() == MANY, "{} of {MANY}", listed.len());
    Ok(())
}

async fn a_listing_has_the_size_and_the_etag_that_a_read_has(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    let prefix = Path::from("suite-listed");
    let key = prefix.clone().join("object");
    store.put(&key, noise(13, 70).into()).await?;
    let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await?;
    let read = store.get(&key).await?.meta;
    let same = listed.iter().all(|meta| (meta.size, &meta.e_tag) == (read.size, &read.e_tag));
    ensure!(listed.len() == 1 && same, "listed {listed:?}, read {read:?}");
    Ok(())
}

async fn an_object_in_parts_is_there_when_it_is_complete(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    let (key, data) = (Path::from("suite-in-parts/whole"), noise(11, PART + 1_000));
    let mut upload = store.put_multipart(&key).await?;
    let (first, second) = (upload.put_part(data.slice(..PART).into()), upload.put_part(data.slice(PART..).into()));
    // In which order they arrive is no matter.
    second.await?;
    first.await?;
    upload.complete().await?;
    ensure!(store.get(&key).await?.bytes().await? == data, "other bytes");
    store.delete(&key).await?;
    Ok(())
}

async fn an_object_in_parts_that_is_given_up_is_never_there(bucket: &Bucket) -> Outcome {
    let store = &*bucket.carpark;
    let key = Path::from("suite-in-parts/given-up");
    let mut upload = store.put_multipart(&key).await?;
    upload.put_part(noise(12, 1_000).into()).await?;
    ensure!(is_not_found(&store.head(&key).await), "it is there before it is complete");
    ensure!(keys(store, "suite-in-parts").await?.is_empty(), "it is listed before it is complete");
    upload.abort().await?;
    ensure!(is_not_found(&store.head(&key).await), "it is there after it was given up");
    Ok(())
}

fn is_not_found<T>(result: &object_store::Result<T>) -> bool {
    matches!(result, Err(Error::NotFound { .. }))
}

/// The keys under a prefix, sorted.
async fn keys(store: &dyn ObjectStore, prefix: &str) -> Outcome<Vec<String>> {
    let listed = store.list(Some(&Path::from(prefix))).map_ok(|meta| meta.location.to_string());
    let mut keys: Vec<String> = listed.try_collect().await?;
    keys.sort_unstable();
    Ok(keys)
}
