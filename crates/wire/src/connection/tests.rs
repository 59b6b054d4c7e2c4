//! The time that a handshake may take, up to the agreement on yamux, and streams that come to nothing.

use libp2p_identity::Keypair;

use super::*;
use crate::aead::Portable;
use crate::identity::Identity;
use crate::noise::{Secured, YAMUX};
use crate::transport::{Opener, Sealer};

const BEGAN: Duration = Duration::from_secs(100);

fn after(secs: u64) -> Duration {
    BEGAN + Duration::from_secs(secs)
}

/// A listener whose peer is secured and offered no muxer in the handshake, and what the peer seals with.
fn without_a_muxer() -> (Connection, Sealer) {
    let identity = Identity::new(&Keypair::generate_ed25519(), [1; 32]).expect("signs");
    let config = Arc::new(Config::new(identity, Arc::new(Portable), vec!["/echo/1".to_owned()]));
    let peer = Keypair::generate_ed25519().public().to_peer_id();
    let secured = Secured { peer, sealer: Sealer::new([2; 32]), opener: Opener::new([3; 32]), muxer_agreed: false };
    let mux = Mux::new(Role::Listener, [4; 32]);
    let established = Established::new(Role::Listener, secured, None, mux, Vec::new());
    let phase = Phase::Established(Box::new(established));
    (Connection::new(config, Role::Listener, phase, BEGAN), Sealer::new([3; 32]))
}

fn sealed(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.frame(&Portable, &mut out, |out, _| out.extend_from_slice(plain)).expect("seals");
    out
}

fn proposal() -> Vec<u8> {
    let mut out = Vec::new();
    Negotiation::dial(&[YAMUX], &[0], &mut out);
    out
}

#[test]
fn the_time_for_a_handshake_goes_on_until_yamux_is_agreed_however_it_drips_in() {
    let (mut listener, mut sealer) = without_a_muxer();
    let mut frames: Vec<Vec<u8>> = proposal().iter().map(|byte| sealed(&mut sealer, &[*byte])).collect();
    for (second, frame) in frames.iter_mut().take(15).enumerate() {
        listener.receive(frame, after(second as u64)).expect("in time");
        listener.wake(after(second as u64)).expect("in time");
        assert_eq!(listener.deadline(), Some(after(15)));
    }
    let error = listener.wake(after(15)).expect_err("too late").to_string();
    assert!(error.contains("in the handshake"), "{error}");
}

#[test]
fn once_yamux_is_agreed_the_connection_may_be_silent_for_as_long_as_any() {
    let (mut listener, mut sealer) = without_a_muxer();
    let mut frame = sealed(&mut sealer, &proposal());
    listener.receive(&mut frame, after(10)).expect("in time");
    assert!(matches!(listener.next_event(), Some(Event::Connected(_))));
    let idle = listener.config().idle_timeout;
    assert_eq!(listener.deadline(), Some(after(10) + idle));
}

#[test]
fn a_stream_that_the_peer_ends_before_it_agrees_is_given_up_with_what_is_queued_on_it() {
    const FIN: [u8; 12] = [0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0];
    let (mut listener, mut sealer) = without_a_muxer();
    listener.receive(&mut sealed(&mut sealer, &proposal()), BEGAN).expect("agrees");
    let stream = listener.open(&[0], BEGAN).expect("opens");
    listener.send(stream, Bytes::from(vec![1; 1_000_000]));
    listener.receive(&mut sealed(&mut sealer, &FIN), BEGAN).expect("receives");
    assert!(matches!(listener.next_event(), Some(Event::Connected(_))));
    assert!(matches!(listener.next_event(), Some(Event::Refused(refused)) if refused == stream));
    assert_eq!((listener.streams(), listener.queued()), (0, 0));
}
