//! The four places of the layout, over any object store.
//!
//! Where they are is the host's business: four folders, four prefixes of one bucket, or four bindings of a Worker.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use crate::layout::{CARPARK, DUDEWHERE, INDEX, SATNAV};

/// CARPARK, DUDEWHERE, SATNAV and the index: where CARs, roots, the index of each CAR and that of all are. Keys are those of [`layout`](crate::layout).
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
    /// Which CARs hold a block: see [`index`](crate::index).
    pub index: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// The places under `carpark/`, `dudewhere/`, `satnav/` and `index/` of a prefix of one store; the empty prefix is the
    /// store's root.
    pub fn under(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        let place =
            |name| -> Arc<dyn ObjectStore> { Arc::new(PrefixStore::new(Arc::clone(store), prefix.clone().join(name))) };
        Self { carpark: place(CARPARK), dudewhere: place(DUDEWHERE), satnav: place(SATNAV), index: place(INDEX) }
    }
}
