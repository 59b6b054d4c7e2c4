//! Peers that are slow, or wait; and files that change, and signals that come, while a peer is served.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use hoverboard_bitswap::{Protocol, want};
use hoverboard_peer::wire::MAX_FRAME;

use crate::common::age;
use crate::peer::{Peer, socket, wait_for_close};
use crate::server::Server;

#[test]
fn a_handshake_that_stalls_is_given_up_and_others_are_served_meanwhile() {
    let server = Server::start(8, 1000);
    let mut stalled = socket(&server);
    stalled.write_all(b"\x13/multistream/1.0.0\n\x07/noise\n").expect("sent");
    let mut dripping = socket(&server);
    let begun = Instant::now();
    for byte in b"\x13/multistream/1.0.0\n".iter().cycle() {
        // One byte a second, until the server has had enough.
        if dripping.write_all(&[*byte]).is_err() || begun.elapsed() > Duration::from_secs(17) {
            break;
        }
        server.serves_others();
        std::thread::sleep(Duration::from_secs(1));
    }
    wait_for_close(&mut stalled);
    wait_for_close(&mut dripping);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    server.dropped_times(2, "timed out in the handshake");
}

#[test]
fn a_peer_that_reads_a_byte_now_and_then_keeps_to_its_bound() {
    let server = Server::start(64, 256 * 1024);
    let mut peer = Peer::with_window(&server, 16 << 20);
    peer.want(server.blocks.iter().map(|block| block.cid));
    for _ in 0..3 {
        peer.socket.read_exact(&mut [0]).expect("a byte");
        server.serves_others();
        std::thread::sleep(Duration::from_secs(1));
    }
    // 1 MiB and a block unsent, 256 KiB on their way, and the other peer's.
    server.grew_at_most(12);
}

#[test]
fn a_message_that_comes_byte_by_byte_is_read() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.socket.set_nodelay(true).expect("set");
    let now = peer.now();
    let stream = peer.connection.open(&[0], now).expect("opens");
    let wants = [(server.blocks[1].cid, hoverboard_bitswap::WantKind::Block)];
    for message in hoverboard_bitswap::want::messages(wants, true) {
        peer.connection.send(stream, message.to_frame(hoverboard_bitswap::Protocol::V1_2_0));
    }
    let mut out = Vec::new();
    peer.connection.transmit(&mut out, MAX_FRAME, now).expect("transmits");
    for byte in out {
        peer.socket.write_all(&[byte]).expect("sent");
    }
    assert_eq!(peer.next_block(), server.blocks[1].data);
}

#[test]
fn a_window_grown_to_16_mib_is_not_held_up_by_our_own_bound() {
    let server = Server::start(160, 256 * 1024);
    let mut peer = Peer::with_window(&server, 16 << 20);
    // All 40 MiB are wanted at once, by a peer that then reads as fast as it can.
    for _ in 0..4 {
        let now = peer.now();
        peer.connection.probe(now).expect("pings");
        peer.want(server.blocks.iter().map(|block| block.cid));
        let begun = Instant::now();
        for _ in &server.blocks {
            peer.next_block();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_block_overwritten_in_place_during_a_fetch_is_never_sent_and_is_counted() {
    let server = Server::start(40, 256 * 1024);
    let mut peer = Peer::connect(&server);
    let all = || server.blocks.iter().map(|block| block.cid);
    // Sent once, so that the server has every block down as checked.
    peer.want(all());
    for _ in &server.blocks {
        peer.next_block();
    }
    peer.want(all());
    peer.next_block();
    let before = std::fs::metadata(server.car()).expect("there");
    let file = std::fs::File::options().write(true).open(server.car()).expect("opens");
    let victim = &server.blocks[39];
    // In the middle of the block's bytes, size and mtime as they were.
    file.write_all_at(&[0x55; 64], victim.offset.0 + 1000).expect("overwritten");
    file.set_modified(before.modified().expect("known")).expect("set");
    for _ in 0..38 {
        let data = peer.next_block();
        assert!(server.blocks.iter().any(|block| block.data == data), "a wrong byte was sent");
    }
    // The last one may have been on its way; asked for again, it is not there any more.
    let mut again = Peer::connect(&server);
    again.want([victim.cid, server.blocks[0].cid]);
    assert_eq!(again.next_block(), server.blocks[0].data);
    server.wait_for_metric("hoverboard_blocks_corrupt_total", |corrupt| corrupt >= 1.0);
    server.logged("block not sent");
}

#[test]
fn a_car_cut_short_during_a_fetch_does_no_harm() {
    let server = Server::start(64, 256 * 1024);
    let mut peer = Peer::connect(&server);
    peer.want(server.blocks.iter().map(|block| block.cid));
    peer.next_block();
    let file = std::fs::File::options().write(true).open(server.car()).expect("opens");
    let kept = &server.blocks[7];
    file.set_len(kept.offset.0 + kept.data.len() as u64 + 64).expect("cut");
    age(server.car());
    let mut again = Peer::connect(&server);
    again.want([server.blocks[63].cid, server.blocks[0].cid]);
    assert_eq!(again.next_block(), server.blocks[0].data);
}

#[test]
fn sigterm_finishes_what_was_begun() {
    let mut server = Server::start(200, 256 * 1024);
    let mut peer = Peer::connect(&server);
    peer.want(server.blocks.iter().map(|block| block.cid));
    peer.next_block();
    server.signal("TERM");
    for _ in 1..server.blocks.len() {
        peer.next_block();
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn sigterm_loses_nothing_of_what_was_sent_to_a_peer_that_goes_on_sending() {
    let mut server = Server::start(1, 200_000);
    let mut peer = Peer::connect(&server);
    peer.want([server.blocks[0].cid]);
    server.wait_for_metric("hoverboard_blocks_sent_total", |sent| sent == 1.0);
    // Data for a stream that is not there is passed over. It comes faster than it is read, so that there is always some
    // left, and the block has not been read by the peer at all.
    peer.write_sealed(&[0, 0, 0, 0, 0, 15, 66, 65, 0xff, 0xff, 0xff, 0xff]).expect("sent");
    let chunk = vec![0; 600_000];
    let begun = Instant::now();
    server.signal("TERM");
    while begun.elapsed() < Duration::from_millis(500) {
        peer.write_sealed(&chunk).expect("the server takes it");
    }
    assert_eq!(peer.next_block(), server.blocks[0].data);
    drop(peer);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_draining_server_takes_cancels() {
    let mut server = Server::start(64, 256 * 1024);
    let mut peer = Peer::connect(&server);
    peer.want(server.blocks.iter().map(|block| block.cid));
    peer.next_block();
    server.signal("TERM");
    server.logged("stopping");
    // Each connection hears of it in its own time.
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    for message in want::cancels(server.blocks.iter().map(|block| block.cid)) {
        peer.write_to_bitswap(message.to_frame(Protocol::V1_2_0));
    }
    peer.send().expect("sent");
    // What fills the window, and as much behind it.
    let came = peer.blocks_until_close();
    assert!(came < 8, "{came} more blocks of 64 came");
    drop(peer);
    assert_eq!(server.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let mut server = Server::start(200, 256 * 1024);
    let mut peer = Peer::connect(&server);
    peer.want(server.blocks.iter().map(|block| block.cid));
    peer.next_block();
    server.signal("TERM");
    server.logged("stopping");
    let begun = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "it waited for the peer");
}
