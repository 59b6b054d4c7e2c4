//! What is counted, and its Prometheus text.
//!
//! The fields are atomic counters: incrementing one costs a few nanoseconds and takes no lock. The names and help
//! texts that an operator sees are here and nowhere else.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder, proto::MetricFamily};

/// Everything this process counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Connections between peers and us
    pub connections: ConnectionMetrics,
    /// What peers asked and what they got
    pub bitswap: BitswapMetrics,
    /// The CAR files
    pub catalog: CatalogMetrics,
    /// The store, where one is served
    pub store: StoreMetrics,
    /// What a claims service brings
    pub claims: ClaimsMetrics,
    /// What peers and addresses may have
    pub caps: CapMetrics,
    /// The blocks that are not served
    pub denylist: DenylistMetrics,
}

/// Connections between peers and us.
#[derive(Debug)]
pub struct ConnectionMetrics {
    /// Peers connected now
    pub open: IntGauge,
    /// Connections accepted
    pub accepted: IntCounter,
    /// Connections turned away because as many as allowed were open
    pub refused: IntCounter,
    /// Connections that ended before their peer was known
    pub handshakes_failed: IntCounter,
    /// Connections closed, by reason
    pub closed: IntCounterVec,
    /// Bytes read from peers, as they came off the socket
    pub received_bytes: IntCounter,
    /// Bytes written to peers, as they went to the socket
    pub sent_bytes: IntCounter,
}

/// What peers asked and what they got.
#[derive(Debug)]
pub struct BitswapMetrics {
    /// Wants taken up
    pub wants: IntCounter,
    /// Blocks sent
    pub blocks_sent: IntCounter,
    /// Bytes of the blocks sent
    pub block_bytes_sent: IntCounter,
    /// HAVE answers sent
    pub haves_sent: IntCounter,
    /// DONT_HAVE answers sent
    pub dont_haves_sent: IntCounter,
}

/// The CAR files.
#[derive(Debug)]
pub struct CatalogMetrics {
    /// CAR files served
    pub cars: IntGauge,
    /// CAR files served in part, because they are damaged
    pub damaged_cars: IntGauge,
    /// CAR files and folders that cannot be read, while which no miss is certain
    pub unreadable: IntGauge,
    /// Index records over all CAR files
    pub records: IntGauge,
    /// Lookups of blocks
    pub lookups: IntCounter,
    /// Lookups of blocks that are in no CAR
    pub missing: IntCounter,
    /// Lookups that could not be answered
    pub unknown: IntCounter,
    /// Blocks refused because their bytes did not match their hash
    pub corrupt: IntCounter,
    /// Index entries found to point at another block
    pub wrong_entries: IntCounter,
    /// Failed reads of CAR files
    pub read_errors: IntCounter,
    /// Bytes read from CAR files to answer peers
    pub read_bytes: IntCounter,
    /// Bytes hashed to check blocks
    pub hashed_bytes: IntCounter,
    /// Indexes built by scanning a CAR
    pub indexes_built: IntCounter,
    /// Indexes taken from the state folder or from beside a CAR
    pub indexes_loaded: IntCounter,
}

/// The store, where one is served.
#[derive(Debug)]
pub struct StoreMetrics {
    /// Requests to the store, by kind: `listing`, `index`, `car`
    pub requests: IntCounterVec,
    /// Requests that failed or broke off, by kind
    pub errors: IntCounterVec,
    /// Bytes read from the store
    pub read_bytes: IntCounter,
    /// Objects found to be something else than they should be
    pub faults: IntCounter,
    /// Bytes of indexes in memory
    pub index_cache: IntGauge,
    /// Bytes of small CARs in memory
    pub car_cache: IntGauge,
    /// Wants that were looked up in the store
    pub lookups: IntCounter,
    /// Wants that could not be answered from it
    pub unknown: IntCounter,
}

/// What a claims service brings.
#[derive(Debug)]
pub struct ClaimsMetrics {
    /// Requests to the claims service and to where its claims lead
    pub requests: IntCounter,
    /// Blocks that were fetched from elsewhere, their hash right
    pub blocks: IntCounter,
    /// URLs in claims that may not be asked
    pub refused: IntCounter,
}

/// The blocks that are not served.
#[derive(Debug)]
pub struct DenylistMetrics {
    /// Wants of denied blocks
    pub denied: IntCounter,
    /// Rules that are enforced, over all lists
    pub rules: IntGauge,
    /// When the list was loaded or confirmed for which that is longest ago, in seconds since 1970
    pub checked: IntGauge,
    /// Times that a list could not be loaded
    pub failures: IntCounter,
}

/// What peers and addresses may have.
#[derive(Debug)]
pub struct CapMetrics {
    /// Wants that were not looked up because a cap was reached
    pub wants: IntCounter,
    /// Leases that were refused, by whose cap was reached: `peer`, `address`, `site`, `total`
    pub refusals: IntCounterVec,
    /// Peers, networks and sites that are counted by themselves
    pub records: IntGauge,
    /// Bytes of blocks that all peers together got in this day of UTC
    pub day_bytes: IntGauge,
    /// What this cost, in millionths of a US dollar
    pub day_cost: IntGauge,
}

impl Metrics {
    /// All counters, at zero.
    ///
    /// # Panics
    /// Never, except by a mistake in this file: a name that is given twice or not valid. A test makes one.
    #[expect(clippy::new_without_default, reason = "a set of counters that nothing shares is seldom what is wanted")]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("hoverboard_{name}"), help).expect("a valid name");
            registry.register(Box::new(counter.clone())).expect("a name used once");
            counter
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("hoverboard_{name}"), help).expect("a valid name");
            registry.register(Box::new(gauge.clone())).expect("a name used once");
            gauge
        };
        let by = |label: &str, name: &str, help: &str| {
            let opts = Opts::new(format!("hoverboard_{name}"), help);
            let counters = IntCounterVec::new(opts, &[label]).expect("a valid name");
            registry.register(Box::new(counters.clone())).expect("a name used once");
            counters
        };

        let connections = ConnectionMetrics {
            open: gauge("connections_open", "Peers connected now."),
            accepted: counter("connections_accepted_total", "Connections accepted."),
            refused: counter(
                "connections_refused_total",
                "Connections turned away because as many as allowed were open.",
            ),
            handshakes_failed: counter(
                "handshakes_failed_total",
                "Connections that ended before their peer was known.",
            ),
            closed: by("reason", "connections_closed_total", "Connections closed, by reason."),
            received_bytes: counter("received_bytes_total", "Bytes read from peers' sockets."),
            sent_bytes: counter("sent_bytes_total", "Bytes written to peers' sockets."),
        };
        let bitswap = BitswapMetrics {
            wants: counter("wants_total", "Wants taken up."),
            blocks_sent: counter("blocks_sent_total", "Blocks sent."),
            block_bytes_sent: counter("block_sent_bytes_total", "Bytes of the blocks sent."),
            haves_sent: counter("haves_sent_total", "HAVE answers sent."),
            dont_haves_sent: counter("dont_haves_sent_total", "DONT_HAVE answers sent."),
        };
        let catalog = CatalogMetrics {
            cars: gauge("cars", "CAR files served."),
            damaged_cars: gauge("cars_damaged", "CAR files served in part because they are damaged."),
            unreadable: gauge(
                "paths_unreadable",
                "CAR files and folders that cannot be read; while there are any, nobody is told DONT_HAVE.",
            ),
            records: gauge("index_records", "Index records over all CAR files."),
            lookups: counter("lookups_total", "Lookups of blocks."),
            missing: counter("lookups_missing_total", "Lookups of blocks that are in no CAR file."),
            unknown: counter("lookups_unknown_total", "Lookups that could not be answered because of an error."),
            corrupt: counter("blocks_corrupt_total", "Blocks refused because their bytes did not match their hash."),
            wrong_entries: counter("index_entries_wrong_total", "Index entries found to point at another block."),
            read_errors: counter("read_errors_total", "Failed reads of CAR files."),
            read_bytes: counter("read_bytes_total", "Bytes read from CAR files to answer peers."),
            hashed_bytes: counter("hashed_bytes_total", "Bytes hashed to check blocks."),
            indexes_built: counter("indexes_built_total", "Indexes built by scanning a CAR file."),
            indexes_loaded: counter(
                "indexes_loaded_total",
                "Indexes taken from the state folder or from beside a CAR file.",
            ),
        };
        let store = StoreMetrics {
            requests: by("kind", "store_requests_total", "Requests to the store: listings of roots, indexes, CARs."),
            errors: by("kind", "store_errors_total", "Requests to the store that failed or broke off."),
            read_bytes: counter("store_read_bytes_total", "Bytes read from the store."),
            faults: counter("store_faults_total", "Objects of the store found not to be what they should be."),
            index_cache: gauge("store_index_cache_bytes", "Bytes of the store's indexes in memory."),
            car_cache: gauge("store_car_cache_bytes", "Bytes of the store's small CARs in memory."),
            lookups: counter("store_lookups_total", "Lookups of blocks in the store."),
            unknown: counter("store_lookups_unknown_total", "Lookups of blocks that the store did not answer."),
        };
        let claims = ClaimsMetrics {
            requests: counter("claims_requests_total", "Requests to the claims service, and to where its claims lead."),
            blocks: counter("claims_blocks_total", "Blocks fetched from where a claim led."),
            refused: counter("claims_refused_urls_total", "URLs in claims that may not be asked."),
        };
        let denylist = DenylistMetrics {
            denied: counter("denied_wants_total", "Wants of blocks that a denylist denies."),
            rules: gauge("denylist_rules", "Rules of the denylists that are enforced."),
            checked: gauge(
                "denylist_checked_timestamp_seconds",
                "When the denylist was loaded or confirmed for which that is longest ago; 0 if one never was.",
            ),
            failures: counter("denylist_failures_total", "Times that a denylist could not be loaded."),
        };
        let caps = CapMetrics {
            wants: counter("capped_wants_total", "Wants not looked up because a cap was reached."),
            refusals: by(
                "cap",
                "cap_refusals_total",
                "Sessions that found a cap reached when they asked, by whose it was.",
            ),
            records: gauge("cap_records", "Peers, networks and sites that are counted by themselves."),
            day_bytes: gauge("day_bytes", "Bytes of blocks that all peers together got in this day of UTC."),
            day_cost: gauge("day_cost_microdollars", "What all peers together cost in this day of UTC."),
        };
        Self { registry, connections, bitswap, catalog, store, claims, caps, denylist }
    }

    /// All figures in the Prometheus text format.
    pub fn text(&self) -> String {
        let families: Vec<MetricFamily> = self.registry.gather();
        let mut text = String::new();
        // Writing to a String fails only for a family without samples, which gather() leaves out.
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
            tracing::error!(%error, "cannot write the metrics");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_and_a_conventional_name() {
        let metrics = Metrics::new();
        metrics.connections.closed.with_label_values(&["idle"]).inc();
        metrics.bitswap.blocks_sent.inc_by(7);
        let text = metrics.text();
        assert!(text.contains("\nhoverboard_blocks_sent_total 7\n"), "{text}");
        assert!(text.contains("hoverboard_connections_closed_total{reason=\"idle\"} 1\n"), "{text}");
        for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
            let mut words = line.split(' ').skip(2);
            let (name, kind) = (words.next().expect("a name"), words.next().expect("a kind"));
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
    }
}
