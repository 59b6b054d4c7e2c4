//! Signatures that OpenSSL made, by keys of every type and size that peers have. `cargo xtask test` checks the same in
//! wasm.

use hoverboard_wire::identity::{KeyError, PublicKey};

const SIGNATURES: &str = include_str!("keys/signatures.txt");

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

/// The kind of a key, the key, and its signature.
type Row = (&'static str, Vec<u8>, Vec<u8>);

fn rows() -> (Vec<u8>, Vec<Row>) {
    let mut lines = SIGNATURES.lines().skip(1);
    let message = hex(lines.next().and_then(|line| line.strip_prefix("message ")).expect("a message"));
    let row = |line: &'static str| {
        let mut words = line.split(' ');
        let mut next = || words.next().expect("three words");
        (next(), hex(next()), hex(next()))
    };
    (message, lines.map(row).collect())
}

#[test]
fn every_type_and_size_of_key_verifies_what_it_signed_and_nothing_else() {
    let (message, rows) = rows();
    let accepted: Vec<_> = rows.iter().filter(|(kind, ..)| *kind != "rsa-1024").collect();
    assert_eq!(accepted.len(), 6);
    for (kind, key, signature) in accepted {
        let key = PublicKey::decode(key).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert!(key.verify(&message, signature), "{kind}");
        assert!(!key.verify(b"another message", signature), "{kind}");
        assert!(!key.verify(&message, &signature[1..]), "{kind}");
    }
}

#[test]
fn an_rsa_key_that_is_too_short_is_refused() {
    let (_, rows) = rows();
    let (_, key, _) = rows.iter().find(|(kind, ..)| *kind == "rsa-1024").expect("is there");
    assert!(matches!(PublicKey::decode(key), Err(KeyError::RsaSize(1024))));
}

#[test]
fn peer_ids_of_rsa_keys_are_those_of_the_ecosystem() {
    for (kind, key, _) in rows().1.iter().filter(|(kind, ..)| matches!(*kind, "rsa-2048" | "rsa-4096")) {
        let theirs = libp2p_identity::PublicKey::try_decode_protobuf(key).expect("decodes").to_peer_id();
        assert_eq!(PublicKey::decode(key).expect("decodes").peer_id(), theirs, "{kind}");
    }
}
