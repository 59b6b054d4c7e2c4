//! The suite over the stores that can be had anywhere: memory and a local folder.

use std::sync::Arc;

use hoverboard_store::{Bucket, suite};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;

async fn pass(store: Arc<dyn ObjectStore>, prefix: &str) {
    let failures = suite::failures(&Bucket::under(&store, &Path::from(prefix))).await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn memory_passes_the_suite() {
    pass(Arc::new(InMemory::new()), "").await;
}

#[tokio::test]
async fn a_local_folder_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    pass(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()), "some/prefix").await;
}
