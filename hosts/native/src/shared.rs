//! What every connection of a serving process shares.

use std::sync::Arc;

use libp2p_identity::Keypair;
use multiaddr::Multiaddr;

use crate::caps::Caps;
use crate::catalog::Catalog;
use crate::config::ServeConfig;
use crate::denylist::Denylists;
use crate::metrics::Metrics;
use crate::store::ServedStore;

/// Made once by `serve`, handed to the network as an [`Arc`].
#[derive(Debug)]
pub struct Shared {
    /// Who we are
    pub identity: Keypair,
    /// The blocks in local CARs
    pub catalog: Arc<Catalog>,
    /// The store with the blocks that the catalog does not have, if one is served
    pub store: Option<Arc<ServedStore>>,
    /// The blocks that are not served
    pub denylists: Arc<Denylists>,
    /// What was done for whom, and who may have how much
    pub caps: Arc<Caps>,
    /// The counters
    pub metrics: Arc<Metrics>,
    /// What was asked for
    pub config: ServeConfig,
    /// The addresses to tell peers, without `/p2p`
    pub addresses: Vec<Multiaddr>,
}
