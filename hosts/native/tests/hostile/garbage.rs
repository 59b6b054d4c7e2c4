//! Bytes that mean nothing, at each layer.

use std::io::Write;

use hoverboard_peer::wire::aead::{Aead, Ring};

use crate::peer::{Peer, socket, wait_for_close};
use crate::server::Server;

const BEFORE_NOISE: &[u8] = b"\x13/multistream/1.0.0\n\x07/noise\n";

#[test]
fn a_peer_that_speaks_something_else_is_dropped() {
    let server = Server::start(8, 1000);
    let mut socket = socket(&server);
    socket.write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").expect("sent");
    wait_for_close(&mut socket);
    server.dropped_once("multistream-select");
    server.serves_others();
}

#[test]
fn garbage_in_place_of_the_handshake_is_dropped() {
    let server = Server::start(8, 1000);
    let mut socket = socket(&server);
    socket.write_all(&[BEFORE_NOISE, &[0, 32], &[0xa5; 32], &[0, 100], &[0x5a; 100]].concat()).expect("sent");
    wait_for_close(&mut socket);
    server.dropped_once("noise");
    server.serves_others();
}

#[test]
fn a_handshake_message_of_64_kib_is_refused_at_its_length() {
    let server = Server::start(8, 1000);
    let mut socket = socket(&server);
    socket.write_all(&[BEFORE_NOISE, &[0xff, 0xff]].concat()).expect("sent");
    wait_for_close(&mut socket);
    server.dropped_once("handshake message");
}

#[test]
fn a_frame_that_was_not_sealed_by_the_peer_is_dropped() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    let mut forged = vec![7; 40];
    let tag = Ring.seal(&[9; 32], 0, &mut forged);
    peer.socket.write_all(&[&[0, 56], forged.as_slice(), &tag].concat()).expect("sent");
    peer.wait_for_close();
    server.dropped_once("authenticator");
    server.serves_others();
}

#[test]
fn a_stream_that_negotiates_nothing_is_reset_and_the_connection_lives() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    let now = peer.now();
    // Behind a header as it should be: a message that ends in no newline.
    let stream = peer.connection.open(&[], now).expect("opens");
    peer.connection.send(stream, vec![5, b'x', b'x', b'x', b'x', b'x'].into());
    peer.want([server.blocks[0].cid]);
    assert_eq!(peer.next_block(), server.blocks[0].data);
    assert_eq!(server.dropped(), 0);
}

#[test]
fn what_is_no_message_is_dropped() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.write_to_new_stream(vec![4, 0xff, 0xff, 0xff, 0xff]);
    peer.send().expect("sent");
    peer.wait_for_close();
    server.dropped_once("bitswap");
    server.serves_others();
}

#[test]
fn a_message_that_claims_four_gigabytes_is_refused_at_its_length() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    peer.write_to_new_stream(vec![0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]);
    peer.send().expect("sent");
    peer.wait_for_close();
    server.dropped_once("is longer than");
    server.grew_at_most(8);
}

#[test]
fn a_cid_of_a_megabyte_is_refused_with_its_message() {
    let server = Server::start(8, 1000);
    let mut peer = Peer::connect(&server);
    // wantlist { entries { block: <a CID whose digest is claimed and is a megabyte> } }
    let mut cid = vec![1, 0x55, 0x12, 0x80, 0x80, 0x40];
    cid.resize(cid.len() + (1 << 20), 7);
    let field = |tag: u8, bytes: &[u8]| [&[tag], varint(bytes.len()).as_slice(), bytes].concat();
    let message = field(0x0a, &field(0x0a, &field(0x0a, &cid)));
    peer.write_to_new_stream([varint(message.len()), message].concat());
    // It is passed over or refused: either way nothing is kept of it.
    let _ = peer.send();
    server.serves_others();
    server.grew_at_most(24);
}

pub(crate) fn varint(n: usize) -> Vec<u8> {
    let (mut n, mut bytes) = (n, Vec::new());
    while n > 0x7f {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}
