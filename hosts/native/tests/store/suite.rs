//! The suite of what every store must do.

use hoverboard::store::{Access, Location};
use hoverboard_store::{Bucket, suite};

use crate::versitygw::Versitygw;

async fn pass(bucket: &Bucket) {
    let failures = suite::failures(bucket).await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn a_local_folder_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::Folder(folder.path().join("store"));
    pass(&location.open_with(Access::Write, []).expect("opened")).await;
}

#[tokio::test]
async fn s3_passes() {
    let Some(server) = Versitygw::start() else { return };
    for text in ["s3://cars", "s3://cars/under/a/prefix"] {
        let location: Location = text.parse().expect("a location");
        pass(&location.open_with(Access::Write, server.variables()).expect("opened")).await;
    }
}
