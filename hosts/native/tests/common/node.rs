//! A serving node within the test's own process, for what the binary has no flag for.

use std::sync::Arc;
use std::time::Duration;

use hoverboard::address::{Dial, Host, Listen, Transport};
use hoverboard::caps::{Caps, Settings};
use hoverboard::catalog::Catalog;
use hoverboard::config::ServeConfig;
use hoverboard::listen::bind_all;
use hoverboard::net::serve_with;
use hoverboard::shared::Shared;
use hoverboard_peer::wire;
use libp2p_identity::Keypair;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::common::Served;

/// Serves over TCP until the guard is dropped, with connections set up as `tune` says; and the node's address.
pub(crate) fn serve(
    served: &Served,
    catalog: Arc<Catalog>,
    tune: impl FnOnce(&mut wire::Config) + Send + 'static,
) -> (Dial, DropGuard) {
    let identity = Keypair::generate_ed25519();
    let socket = "127.0.0.1:0".parse().expect("an address");
    let bound = bind_all(&[Listen { socket, transport: Transport::Tcp, required: true }]).expect("bound");
    let dial = Dial {
        host: Host::Ip(bound[0].local.ip()),
        port: bound[0].local.port(),
        transport: Transport::Tcp,
        peer: Some(identity.public().to_peer_id()),
    };
    let config = ServeConfig {
        paths: Vec::new(),
        store: None,
        state: served.state.path().to_path_buf(),
        key: None,
        listen: Vec::new(),
        announce: Vec::new(),
        admin: "127.0.0.1:0".parse().expect("an address"),
        max_connections: 10,
        drain: Duration::from_secs(1),
        rescan: Duration::from_secs(1),
        strict: false,
        always_verify: false,
        caps: Settings::unlimited(),
        claims: None,
        told: None,
        denylist: hoverboard::denylist::Settings::default(),
    };
    let metrics = served.metrics.clone();
    let caps = Arc::new(Caps::in_memory(config.caps.clone(), metrics.clone()));
    let shared = Shared {
        identity,
        catalog,
        store: None,
        caps,
        denylists: Arc::default(),
        metrics,
        config,
        addresses: Vec::new(),
    };
    let stop = CancellationToken::new();
    tokio::spawn(serve_with(Arc::new(shared), bound, stop.clone(), tune));
    (dial, stop.drop_guard())
}
