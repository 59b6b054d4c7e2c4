//! `hoverboard serve`: from a checked configuration to a running server, and back down in good order.

use std::io::Write;
use std::sync::Arc;

use multiaddr::{Multiaddr, Protocol};
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, Readiness};
use crate::caps::Caps;
use crate::catalog::{Catalog, CatalogError, CatalogOptions, Watcher};
use crate::claims::IndexService;
use crate::cli::ServeArgs;
use crate::config::{ConfigError, ServeConfig};
use crate::denylist::Denylists;
use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::store::ServedStore;
use crate::{identity, listen, net, progress};

use super::stop::Stop;
use super::{Failure, LAST_WAIT, printed};

pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let config = ServeConfig::parse(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(serve(config));
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

async fn serve(config: ServeConfig) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    raise_descriptor_limit();
    let identity = identity::load_or_create(config.key.as_deref(), &config.state).map_err(ConfigError::from)?;
    let metrics = Arc::new(Metrics::new());
    let readiness = Arc::new(Readiness::default());

    // Ports first: that one is taken should be known before the minutes that indexes may take.
    let listeners = listen::bind_all(&config.listen)?;
    let caps = Caps::open(&config.state, config.caps.clone(), metrics.clone()).map_err(ConfigError::from)?;
    let caps = Arc::new(caps);
    let admin = Admin::bind(&config.admin, metrics.clone(), readiness.clone(), caps.clone()).await?;
    for addr in admin.local_addrs() {
        tracing::info!(%addr, "admin pages");
    }
    let index = admin.index();
    tokio::spawn(admin.run());

    let watch = tokio::select! {
        loaded = Denylists::load(&config.denylist, &config.state, &metrics) => loaded.map_err(ConfigError::from)?,
        _ = stop.asked() => return Ok(()),
    };
    let denylists = watch.denylists();
    tokio::spawn(watch.run());
    let store = match &config.store {
        Some(location) => tokio::select! {
            opened = ServedStore::open(location, config.claims.clone(), &config.state, &metrics) => {
                Some(Arc::new(opened.map_err(ConfigError::from)?))
            }
            _ = stop.asked() => return Ok(()),
        },
        None => None,
    };
    if let (Some(told), Some(store)) = (config.told.clone(), &store)
        && let Some(service) = IndexService::new(told, store.clone(), denylists.clone())
    {
        // It is set once.
        let _ = index.set(service);
    }
    let open = tokio::task::spawn_blocking({
        let (config, metrics) = (config.clone(), metrics.clone());
        move || open_catalog(&config, metrics)
    });
    let catalog = tokio::select! {
        opened = open => opened.map_err(|error| Failure::Failed(format!("indexing failed: {error}")))??,
        _ = stop.asked() => return Ok(()),
    };
    let watcher = Watcher::start(catalog.clone(), config.rescan)
        .map_err(|error| Failure::Failed(format!("cannot start a thread: {error}")))?;

    let addresses = if config.announce.is_empty() {
        listeners.iter().flat_map(listen::Bound::multiaddrs).collect()
    } else {
        config.announce.clone()
    };
    let peer = identity.public().to_peer_id();
    let (drain_for, shared) = (
        config.drain,
        Arc::new(Shared { identity, catalog, store, caps: caps.clone(), denylists, metrics, config, addresses }),
    );
    let drain = CancellationToken::new();
    tokio::spawn(caps.clone().keep(drain.clone()));
    let mut server = tokio::spawn(net::serve(shared.clone(), listeners, drain.clone()));
    readiness.set(true);
    print_addresses(&shared.addresses, Protocol::P2p(peer))?;

    tokio::select! {
        _ = stop.asked() => {}
        ended = &mut server => return Err(Failure::Failed(format!("the server ended by itself: {ended:?}"))),
    }
    readiness.set(false);
    tracing::info!(wait = ?drain_for, "stopping: what was begun is finished; a second signal stops at once");
    drain.cancel();
    tokio::select! {
        _ = &mut server => tracing::info!("stopped"),
        () = tokio::time::sleep(drain_for) => tracing::warn!("stopped with connections still open: --drain is over"),
        _ = stop.asked() => tracing::warn!("stopped at once"),
    }
    watcher.stop();
    caps.save();
    Ok(())
}

/// Indexes what is to be served, with a progress bar.
fn open_catalog(config: &ServeConfig, metrics: Arc<Metrics>) -> Result<Arc<Catalog>, Failure> {
    let options = CatalogOptions {
        paths: config.paths.clone(),
        state: Some(config.state.clone()),
        always_verify: config.always_verify,
        strict: config.strict,
    };
    let bar = progress::bytes("indexing");
    let opened = Catalog::open(options, metrics, &bar);
    bar.finish_and_clear();
    let catalog = opened.map_err(|error| match error {
        CatalogError::State { path, error } => ConfigError::State { path, error }.into(),
        error => Failure::Failed(error.to_string()),
    })?;
    let (cars, records) = catalog.size();
    tracing::info!(cars, blocks = records, "indexed");
    if cars == 0 && !config.paths.is_empty() {
        tracing::warn!("no CAR file found in the given paths yet");
    }
    Ok(Arc::new(catalog))
}

/// Every connection and every CAR that is being read takes a file descriptor, and the usual limit of 1,024 is for
/// programs that have few.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Scripts read these lines: nothing else goes to stdout.
fn print_addresses(addresses: &[Multiaddr], peer: Protocol<'_>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let lines = addresses.iter().try_for_each(|addr| writeln!(out, "{}", addr.clone().with(peer.clone())));
    printed(lines.and_then(|()| out.flush()))
}
