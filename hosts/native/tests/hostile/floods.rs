//! Peers that want, open or connect without measure.

use std::io::Write;

use cid::Cid;
use hoverboard_bitswap::{Protocol, WantKind, want};

use crate::common::{cid, data};
use crate::peer::{Peer, socket};
use crate::server::Server;

/// CIDs of blocks that are not there.
fn absent(from: u64, count: u64) -> impl Iterator<Item = Cid> {
    (from..from + count).map(|n| cid(&data(1 << 40 | n, 16)))
}

#[test]
fn ten_thousand_streams_do_not_take_more_than_their_bound() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    for _ in 0..10_000 {
        peer.write_to_new_stream(Vec::new());
    }
    // Nothing is read back: the server may drop the peer for that, and the write may fail.
    let _ = peer.send();
    server.serves_others();
    // 256 streams, and 4,096 answers of 12 bytes.
    server.grew_at_most(16);
}

#[test]
fn wantlists_of_a_million_entries_keep_to_the_bound_of_wants() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    for part in 0..50 {
        let wants = absent(part * 20_000, 20_000).map(|cid| (cid, WantKind::Block));
        // Nobody asks for DONT_HAVE: there is nothing to answer.
        for message in want::messages(wants, false) {
            peer.write_to_bitswap(message.to_frame(Protocol::V1_2_0));
        }
        peer.send().expect("sent");
    }
    peer.want([server.blocks[3].cid]);
    assert_eq!(peer.next_block(), server.blocks[3].data);
    server.grew_at_most(32);
    server.serves_others();
}

#[test]
fn answers_to_a_million_wants_that_nobody_reads_keep_to_the_bound_of_what_is_unsent() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    for part in 0..50 {
        let wants = absent(part * 20_000, 20_000).map(|cid| (cid, WantKind::Have));
        // Each entry asks for DONT_HAVE, of about 40 bytes: 40 MB in all.
        for message in want::messages(wants, true) {
            peer.write_to_bitswap(message.to_frame(Protocol::V1_2_0));
        }
        if peer.send().is_err() {
            break;
        }
    }
    server.serves_others();
    // As for the wants, and 1 MiB unsent with 256 KiB on their way.
    server.grew_at_most(32 + 2);
}

#[test]
fn one_message_of_a_hundred_thousand_entries_is_refused() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    // Entries of four bytes: { block: "" }, { … }: as many as fit four megabytes.
    let entry = [0x0a, 2, 0x0a, 0];
    let wantlist = entry.repeat(100_000);
    let message = [&[0x0a], super::garbage::varint(wantlist.len()).as_slice(), &wantlist].concat();
    peer.write_to_new_stream([super::garbage::varint(message.len()), message].concat());
    let _ = peer.send();
    peer.wait_for_close();
    server.dropped_once("bitswap");
    server.grew_at_most(16);
    server.serves_others();
}

#[test]
fn fifty_peers_that_grant_16_mib_and_never_read_leave_room_for_others() {
    let server = Server::start(400, 256 * 1024);
    let mut peers: Vec<Peer> = (0..50).map(|_| Peer::with_window(&server, 16 << 20)).collect();
    for peer in &mut peers {
        for _ in 0..8 {
            let stream = peer.write_to_new_stream(Vec::new());
            let wants = server.blocks.iter().map(|block| (block.cid, WantKind::Block));
            for message in want::messages(wants, true) {
                peer.connection.send(stream, message.to_frame(Protocol::V1_2_0));
            }
        }
        peer.send().expect("sent");
    }
    server.wait_for_metric("hoverboard_blocks_sent_total", |sent| sent >= 100.0);
    std::thread::sleep(std::time::Duration::from_secs(1));
    // For each peer, 1 MiB and a block of 256 KiB unsent; buffers of the pool.
    server.grew_at_most(50 * 5 / 4 + 32 + 16);
    server.serves_others();
}

#[test]
fn a_thousand_connections_that_come_and_go_leave_nothing_behind() {
    let server = Server::start(8, 1000);
    for _ in 0..10 {
        let sockets: Vec<_> = (0..100).map(|_| socket(&server)).collect();
        for mut socket in sockets {
            socket.write_all(b"\x13/multistream/1.0.0\n").expect("sent");
        }
    }
    server.wait_for_metric("hoverboard_connections_open", |open| open == 0.0);
    server.grew_at_most(16);
    server.serves_others();
}
