//! A session against a peer that keeps to libp2p, and does with Bitswap what it likes: takes nothing, stops in the
//! middle, goes away, resets streams. Time is virtual.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use hoverboard_bitswap::{Decoder, Limits, Message, Protocol, want};
use hoverboard_peer::wire::aead::{Aead, Forged, Key, Portable, Tag};
use hoverboard_peer::wire::identity::Identity;
use hoverboard_peer::wire::yamux::StreamId;
use hoverboard_peer::{Answer, Config, Error, Event, Session, WantKind, protocols, wire};
use libp2p_identity::Keypair;
use multihash_codetable::{Code, MultihashDigest};

const BLOCK: usize = 200_000;
const MINUTE: u64 = 60;

/// Seals by a count of its own, so that frames made by hand can go between those of the connection.
#[derive(Default)]
struct Sealer(Mutex<Option<(Key, u64)>>);

impl Aead for Sealer {
    fn seal(&self, key: &Key, _: u64, in_out: &mut [u8]) -> Tag {
        let mut state = self.0.lock().expect("not poisoned");
        let (key, next) = state.get_or_insert((*key, 0));
        let tag = Portable.seal(key, *next, in_out);
        *next += 1;
        tag
    }

    fn open(&self, key: &Key, nonce: u64, in_out: &mut [u8], tag: &Tag) -> Result<(), Forged> {
        Portable.open(key, nonce, in_out, tag)
    }
}

fn wire_config(seed: u8, aead: Arc<dyn Aead>) -> Arc<wire::Config> {
    let identity = Identity::new(&Keypair::generate_ed25519(), [seed; 32]).expect("signs");
    Arc::new(wire::Config::new(identity, aead, protocols()))
}

fn block(n: u8) -> Bytes {
    vec![n; BLOCK].into()
}

fn cid(n: u8) -> Cid {
    Cid::new_v1(0x55, Code::Sha2_256.digest(&block(n)))
}

struct Meeting {
    session: Session,
    stranger: wire::Connection,
    sealer: Arc<Sealer>,
    now: Duration,
    /// Whether the stranger credits what it takes.
    credits: bool,
    /// What happened to the stranger, data aside.
    events: Vec<wire::Event>,
    /// What the session said, by stream.
    data: Vec<(StreamId, Bytes)>,
}

impl Meeting {
    /// The session serves, and the stranger dials it.
    fn served() -> Self {
        Self::new(true)
    }

    /// The session dials the stranger, to ask it.
    fn asked() -> Self {
        Self::new(false)
    }

    fn new(serve: bool) -> Self {
        let now = Duration::from_secs(1_000_000);
        let sealer = Arc::new(Sealer::default());
        let ours = wire_config(1, Arc::new(Portable));
        let theirs = wire_config(2, sealer.clone());
        let config = Arc::new(Config { wire: ours, engine: Limits::default(), serve });
        let (session, stranger) = if serve {
            (Session::accept(config, None, [3; 32], now), wire::Connection::dial(theirs, None, None, [4; 32], now))
        } else {
            (Session::dial(config, None, None, [3; 32], now), wire::Connection::accept(theirs, None, [4; 32], now))
        };
        let (session, stranger) = (session.expect("begins"), stranger.expect("begins"));
        let (events, data) = (Vec::new(), Vec::new());
        let mut meeting = Self { session, stranger, sealer, now, credits: true, events, data };
        meeting.exchange().expect("connects");
        meeting
    }

    /// Moves bytes and answers lookups until nothing moves any more.
    fn exchange(&mut self) -> Result<(), Error> {
        loop {
            let now = self.now;
            while let Some(lookup) = self.session.next_lookup(usize::MAX) {
                let found =
                    (0..=u8::MAX).find(|n| cid(*n) == lookup.cid).map_or(Answer::Missing, |n| Answer::Block(block(n)));
                self.session.answer(lookup.ticket, found);
            }
            let (mut to_session, mut to_stranger) = (Vec::new(), Vec::new());
            self.stranger.transmit(&mut to_session, 1 << 16, now).expect("transmits");
            self.session.transmit(&mut to_stranger, 1 << 16, now)?;
            self.session.receive(&mut to_session, now)?;
            self.stranger.receive(&mut to_stranger, now).expect("receives");
            while let Some(event) = self.stranger.next_event() {
                match event {
                    wire::Event::Data(stream, bytes) => {
                        if self.credits {
                            self.stranger.consume(stream, bytes.len(), now).expect("consumes");
                        }
                        self.data.push((stream, bytes));
                    }
                    event => self.events.push(event),
                }
            }
            if to_session.is_empty() && to_stranger.is_empty() {
                return Ok(());
            }
        }
    }

    /// Lets time go by, a second at a time, with the session woken at its deadlines and between any two of them frozen
    /// and thawed.
    fn pass(&mut self, secs: u64) -> Result<(), Error> {
        for _ in 0..secs {
            self.now += Duration::from_secs(1);
            if self.session.deadline().is_some_and(|deadline| self.now >= deadline) {
                self.session.wake(self.now)?;
            }
            self.exchange()?;
            while self.session.next_event().is_some() {}
            let frozen = self.session.freeze().expect("freezes");
            self.session = Session::thaw(self.session.config().clone(), &frozen).expect("thaws");
        }
        Ok(())
    }

    /// Opens a stream for Bitswap, and wants these blocks on it.
    fn want(&mut self, blocks: impl IntoIterator<Item = u8>) -> StreamId {
        let stream = self.stranger.open(&[0], self.now).expect("opens");
        for message in want::messages(blocks.into_iter().map(|n| (cid(n), WantKind::Block)), true) {
            self.stranger.send(stream, message.to_frame(Protocol::V1_2_0));
        }
        stream
    }

    /// A frame made by hand.
    fn write_sealed(&mut self, plain: &[u8]) -> Result<(), Error> {
        let mut body = plain.to_vec();
        let tag = self.sealer.seal(&[0; 32], 0, &mut body);
        let mut frame = ((body.len() + tag.len()) as u16).to_be_bytes().to_vec();
        frame.extend_from_slice(&body);
        frame.extend_from_slice(&tag);
        self.session.receive(&mut frame, self.now)
    }

    /// The streams that the session opened for messages.
    fn opened(&self) -> Vec<StreamId> {
        let opened = |event: &wire::Event| match event {
            wire::Event::Opened(stream, _) => Some(*stream),
            _ => None,
        };
        self.events.iter().filter_map(opened).collect()
    }

    fn was_reset(&self, stream: StreamId) -> bool {
        self.events.iter().any(|event| matches!(event, wire::Event::Reset(reset) if *reset == stream))
    }

    /// The messages that came on a stream.
    fn messages(&self, stream: StreamId) -> Vec<Message> {
        let parts = self.data.iter().filter(|(of, _)| *of == stream).map(|(_, bytes)| bytes.to_vec());
        let (mut bytes, mut decoder) = (Bytes::from(parts.collect::<Vec<_>>().concat()), Decoder::new());
        std::iter::from_fn(|| decoder.decode(&mut bytes).expect("frames"))
            .map(|body| Message::decode(body).expect("a message"))
            .collect()
    }

    fn received_bytes(&self) -> usize {
        self.data.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

#[test]
fn a_peer_that_grants_no_credit_is_given_up_however_often_it_pings() {
    let mut meeting = Meeting::served();
    meeting.credits = false;
    meeting.want(0..3);
    meeting.exchange().expect("runs");
    assert!(meeting.session.unsent() >= 3 * BLOCK - 256 * 1024);
    for second in 0..MINUTE - 1 {
        // Both kinds of ping: one is answered on a stream, which takes credit of its own.
        meeting.stranger.ping([second as u8; 32], meeting.now);
        meeting.stranger.probe(meeting.now).expect("pings");
        meeting.pass(1).expect("in time");
    }
    assert!(matches!(meeting.pass(2), Err(Error::Stalled(_))));
}

#[test]
fn credit_in_time_keeps_a_slow_peer() {
    let mut meeting = Meeting::served();
    meeting.credits = false;
    meeting.want(0..3);
    meeting.exchange().expect("runs");
    let stream = meeting.opened()[0];
    for _ in 0..3 {
        meeting.pass(MINUTE - 2).expect("in time");
        meeting.stranger.consume(stream, 128 * 1024, meeting.now).expect("credits");
        meeting.exchange().expect("goes on");
    }
    assert!(meeting.received_bytes() > 3 * BLOCK);
    assert_eq!(meeting.session.unsent(), 0);
    meeting.pass(2 * MINUTE).expect("nothing waits");
}

#[test]
fn a_message_left_in_the_middle_ends_the_session_and_one_that_drips_in_does_not() {
    let mut meeting = Meeting::served();
    let stream = meeting.want([1]);
    let [message] = want::messages([(cid(2), WantKind::Block)], true).try_into().expect("one");
    for byte in message.to_frame(Protocol::V1_2_0) {
        meeting.stranger.send(stream, Bytes::copy_from_slice(&[byte]));
        meeting.pass(MINUTE - 1).expect("goes on");
    }
    let streams = meeting.opened();
    let sent: usize = streams.iter().flat_map(|s| meeting.messages(*s)).map(|message| message.blocks.len()).sum();
    assert_eq!(sent, 2);
    meeting.pass(2 * MINUTE).expect("between messages it may be silent");
    meeting.stranger.send(stream, Bytes::from_static(&[100, 1]));
    meeting.exchange().expect("begins");
    meeting.pass(MINUTE - 1).expect("in time");
    assert!(matches!(meeting.pass(2), Err(Error::HalfSent(_))));
}

#[test]
fn what_a_peer_wanted_is_dropped_when_it_went_away_and_no_stream_can_be_opened() {
    let mut meeting = Meeting::served();
    let stream = meeting.stranger.open(&[0], meeting.now).expect("opens");
    meeting.exchange().expect("runs");
    const GO_AWAY: [u8; 12] = [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    meeting.write_sealed(&GO_AWAY).expect("receives");
    assert!(std::iter::from_fn(|| meeting.session.next_event()).any(|event| matches!(event, Event::GoAway)));
    for message in want::messages([(cid(1), WantKind::Block)], true) {
        meeting.stranger.send(stream, message.to_frame(Protocol::V1_2_0));
    }
    meeting.exchange().expect("runs");
    assert_eq!((meeting.session.wants(), meeting.session.unsent()), (0, 0));
    meeting.session.drain();
    assert!(meeting.session.is_drained());
}

#[test]
fn a_stream_that_the_peer_does_not_end_is_reset_after_a_minute_and_not_before() {
    let mut meeting = Meeting::served();
    for n in 0..5 {
        meeting.want([n]);
        meeting.pass(8).expect("runs");
    }
    let streams = meeting.opened();
    assert_eq!(streams.len(), 5, "each ended after five silent seconds");
    assert!(streams.iter().all(|stream| !meeting.was_reset(*stream)));
    // The first was ended 35 s ago.
    meeting.pass(MINUTE - 35 - 1).expect("runs");
    assert!(!meeting.was_reset(streams[0]));
    meeting.pass(2).expect("runs");
    assert!(meeting.was_reset(streams[0]) && !meeting.was_reset(streams[1]));
    meeting.pass(MINUTE).expect("runs");
    assert!(streams.iter().all(|stream| meeting.was_reset(*stream)));
}

#[test]
fn a_stream_that_the_peer_ends_is_not_waited_for() {
    let mut meeting = Meeting::served();
    meeting.want([1]);
    meeting.pass(3).expect("runs");
    let stream = meeting.opened()[0];
    meeting.stranger.finish(stream);
    meeting.pass(4).expect("ends it, too");
    let idle = wire_config(9, Arc::new(Portable)).idle_timeout;
    assert!(meeting.session.deadline().is_some_and(|deadline| deadline > meeting.now + idle / 2));
}

#[test]
fn a_draining_session_takes_cancels_and_no_new_wants() {
    let mut meeting = Meeting::served();
    meeting.credits = false;
    let stream = meeting.want(0..6);
    meeting.exchange().expect("runs");
    meeting.session.drain();
    let wants = meeting.session.wants();
    assert!(wants > 1, "not all fits the window");
    for message in want::messages([(cid(7), WantKind::Block)], true).into_iter().chain(want::cancels((0..6).map(cid))) {
        meeting.stranger.send(stream, message.to_frame(Protocol::V1_2_0));
    }
    meeting.exchange().expect("runs");
    assert_eq!(meeting.session.wants(), 0);
    let answers = meeting.opened()[0];
    meeting.stranger.consume(answers, 128 * 1024, meeting.now).expect("credits");
    meeting.credits = true;
    meeting.exchange().expect("runs");
    assert!(meeting.session.is_drained());
    assert!(meeting.received_bytes() < 4 * BLOCK, "what was cancelled is not sent");
}

#[test]
fn what_was_asked_on_a_stream_that_is_reset_is_asked_again() {
    let mut meeting = Meeting::asked();
    let all = [(cid(1), WantKind::Block), (cid(2), WantKind::Have), (cid(3), WantKind::Block)];
    meeting.session.want(all);
    meeting.exchange().expect("asks");
    // One of them is answered before.
    let back = meeting.stranger.open(&[0], meeting.now).expect("opens");
    let answer = Message { presences: vec![(cid(3), hoverboard_bitswap::Presence::DontHave)], ..Message::default() };
    meeting.stranger.send(back, answer.to_frame(Protocol::V1_2_0));
    meeting.exchange().expect("runs");
    let first = meeting.opened()[0];
    meeting.stranger.reset(first).expect("resets");
    meeting.exchange().expect("asks again");
    let second = meeting.opened()[1];
    let [again] = meeting.messages(second).try_into().expect("one message");
    let wantlist = again.wantlist.expect("wants");
    assert!(wantlist.full, "it stands for all that was said before");
    let mut asked: Vec<_> = wantlist.entries.iter().map(|entry| (entry.cid, entry.kind)).collect();
    asked.sort_by_key(|(cid, _)| all.iter().position(|(of, _)| of == cid));
    assert_eq!(asked, all[..2]);
}

#[test]
fn a_peer_that_resets_every_stream_is_not_asked_for_ever() {
    let mut meeting = Meeting::asked();
    meeting.session.want([(cid(1), WantKind::Block)]);
    for round in 0..20 {
        meeting.pass(1).expect("runs");
        if let Some(stream) = meeting.opened().get(round) {
            meeting.stranger.reset(*stream).expect("resets");
        }
    }
    assert_eq!(meeting.opened().len(), 4);
}
