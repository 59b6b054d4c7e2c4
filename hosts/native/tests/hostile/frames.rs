//! Frames sealed as they should be, with what yamux forbids in them, or streams of the connection's own protocols that
//! carry nothing sensible.

use crate::peer::Peer;
use crate::server::Server;

const DATA: u8 = 0;
const PING: u8 = 2;
const SYN: u8 = 1;
const FIN: u8 = 4;

/// A number that the peer's own connection does not come to.
const STREAM: u32 = 1_000_001;

fn header(kind: u8, flags: u8, stream: u32, length: u32) -> Vec<u8> {
    [&[0, kind, 0, flags], stream.to_be_bytes().as_slice(), &length.to_be_bytes()].concat()
}

fn data(flags: u8, stream: u32, bytes: &[u8]) -> Vec<u8> {
    [header(DATA, flags, stream, bytes.len() as u32), bytes.to_vec()].concat()
}

/// Opens a stream for this protocol, whose length is the byte before it.
fn open(stream: u32, protocol: &[u8]) -> Vec<u8> {
    data(SYN, stream, &[b"\x13/multistream/1.0.0\n", protocol].concat())
}

/// Asserts that the same connection, and another, get blocks.
fn goes_on(server: &Server, peer: &mut Peer) {
    peer.want([server.blocks[2].cid]);
    assert_eq!(peer.next_block(), server.blocks[2].data);
    server.serves_others();
    assert_eq!(server.dropped(), 0);
}

#[test]
fn sealed_bytes_that_are_no_frame_are_dropped() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.write_sealed(&[0x47; 400]).expect("sent");
    peer.wait_for_close();
    server.dropped_once("yamux: a frame is not of version 0");
    server.serves_others();
}

#[test]
fn a_frame_that_claims_four_gigabytes_is_refused_at_its_header() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.write_sealed(&header(DATA, SYN, STREAM, u32::MAX)).expect("sent");
    peer.wait_for_close();
    server.dropped_once("more than the window of a stream allows");
    // Nothing of the length is kept: what one peer more costs, and no more.
    server.grew_at_most(8);
    server.serves_others();
}

#[test]
fn four_gigabytes_for_a_stream_that_is_not_there_are_passed_over() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.write_sealed(&header(DATA, 0, STREAM, u32::MAX)).expect("sent");
    for _ in 0..32 {
        peer.write_sealed(&[0; 1 << 20]).expect("sent");
    }
    server.wait_for_metric("hoverboard_received_bytes_total", |received| received >= f64::from(32 << 20));
    server.grew_at_most(8);
    server.serves_others();
    assert_eq!(server.dropped(), 0);
}

#[test]
fn a_stream_with_a_number_of_the_servers_is_refused() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.write_sealed(&open(STREAM + 1, b"\x11/ipfs/ping/1.0.0\n")).expect("sent");
    peer.wait_for_close();
    server.dropped_once("a number of ours");
    server.serves_others();
}

#[test]
fn pings_whose_answers_nobody_reads_end_the_connection() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    let pings: Vec<u8> = (0..5_000).flat_map(|value| header(PING, SYN, 0, value)).collect();
    // The system's buffers take some megabytes of answers first; all of these would be 120.
    let written = (0..2_000).take_while(|_| peer.write_sealed(&pings).is_ok()).count();
    assert!(written < 2_000, "every ping was taken");
    server.dropped_once("control frames wait");
    server.grew_at_most(8);
    server.serves_others();
}

#[test]
fn pings_of_any_bytes_and_half_of_one_leave_the_connection_as_it_was() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.write_sealed(&open(STREAM, b"\x11/ipfs/ping/1.0.0\n")).expect("sent");
    for _ in 0..100 {
        peer.write_sealed(&data(0, STREAM, &[0xee; 33])).expect("sent");
    }
    peer.write_sealed(&data(FIN, STREAM, &[])).expect("sent");
    goes_on(&server, &mut peer);
}

#[test]
fn an_identify_push_that_cannot_be_read_or_never_ends_harms_only_its_stream() {
    const PUSH: &[u8] = b"\x14/ipfs/id/push/1.0.0\n";
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.write_sealed(&open(STREAM, PUSH)).expect("sent");
    peer.write_sealed(&data(FIN, STREAM, &[0xff; 100])).expect("sent");
    // 64 KiB are read of what a peer says of itself.
    peer.write_sealed(&open(STREAM + 2, PUSH)).expect("sent");
    for _ in 0..300 {
        peer.write_sealed(&data(0, STREAM + 2, &[0xff; 50_000])).expect("sent");
    }
    goes_on(&server, &mut peer);
    // Kept, it would be 15 MB.
    server.grew_at_most(8);
}
