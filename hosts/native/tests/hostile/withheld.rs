//! Peers that withhold what a server waits for, credit or the rest of a message, and are as alive as can be otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hoverboard::metrics::Metrics;
use tokio::runtime::Runtime;
use tokio_util::sync::DropGuard;

use crate::common::{Block, Served, car_of};
use crate::node;
use crate::peer::Peer;

/// In place of a minute.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);

/// A server of this process, which gives a peer less time than the binary does.
struct Impatient {
    port: u16,
    blocks: Vec<Block>,
    metrics: Arc<Metrics>,
    _stop: DropGuard,
    _runtime: Runtime,
    _served: Served,
}

impl Impatient {
    fn start() -> Self {
        let served = Served::new();
        let blocks = car_of(&served.path("a.car"), 1, 8, 200_000);
        let catalog = Arc::new(served.open());
        let runtime = Runtime::new().expect("starts");
        let (dial, stop) = {
            let _tasks_go_here = runtime.enter();
            node::serve(&served, catalog, |config| config.stall_timeout = STALL_TIMEOUT)
        };
        let metrics = served.metrics.clone();
        Self { port: dial.port, blocks, metrics, _stop: stop, _runtime: runtime, _served: served }
    }

    /// Lets a peer ping, until it is dropped as stalled; others are served meanwhile. How long that took.
    fn drops(&self, mut peer: Peer) -> Duration {
        peer.socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < 4 * STALL_TIMEOUT, "it is not dropped");
            let now = peer.now();
            peer.connection.probe(now).expect("pings");
            peer.connection.ping([7; 32], now);
            let closed = peer.send().is_err()
                || peer.receive().map_or_else(|error| error.kind() != std::io::ErrorKind::WouldBlock, |more| !more);
            if closed {
                break;
            }
            self.serves_others();
        }
        let closed = &self.metrics.connections.closed;
        let others = closed.with_label_values(&["peer"]).get() + closed.with_label_values(&["io"]).get();
        assert_eq!(closed.with_label_values(&["stalled"]).get(), 1, "{others} went by themselves");
        begun.elapsed()
    }

    fn serves_others(&self) {
        let mut other = Peer::to_port(self.port);
        other.want([self.blocks[1].cid]);
        assert_eq!(other.next_block(), self.blocks[1].data);
    }
}

#[test]
fn a_peer_that_grants_no_credit_is_dropped_though_it_reads_and_pings() {
    let server = Impatient::start();
    let mut peer = Peer::to_port(server.port);
    peer.credits = false;
    peer.want(server.blocks.iter().map(|block| block.cid));
    // The first window is granted with the stream, and filled.
    peer.next_block();
    assert!(server.drops(peer) >= STALL_TIMEOUT / 2);
}

#[test]
fn a_peer_that_leaves_a_message_in_the_middle_is_dropped_though_it_reads_and_pings() {
    let server = Impatient::start();
    let mut peer = Peer::to_port(server.port);
    peer.want([server.blocks[0].cid]);
    peer.next_block();
    peer.write_to_new_stream(vec![100, 1, 2, 3]);
    assert!(server.drops(peer) >= STALL_TIMEOUT / 2);
}
