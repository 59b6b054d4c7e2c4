//! The three places of the layout, over any object store.
//!
//! Where they are is the host's business: three folders, three prefixes of one bucket, or three bindings of a Worker.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use crate::layout::{CARPARK, DUDEWHERE, SATNAV};

/// CARPARK, DUDEWHERE and SATNAV: where CARs, roots and indexes are. Keys are those of [`layout`](crate::layout).
///
/// Cloning shares the stores.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The CARs.
    pub carpark: Arc<dyn ObjectStore>,
    /// Which CARs hold a root.
    pub dudewhere: Arc<dyn ObjectStore>,
    /// The index of each CAR.
    pub satnav: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// The three places under `carpark/`, `dudewhere/` and `satnav/` of a prefix of one store; the empty prefix is the
    /// store's root.
    pub fn under(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        let place =
            |name| -> Arc<dyn ObjectStore> { Arc::new(PrefixStore::new(Arc::clone(store), prefix.clone().join(name))) };
        Self { carpark: place(CARPARK), dudewhere: place(DUDEWHERE), satnav: place(SATNAV) }
    }
}
