//! Any messages, answers and protocol versions in any order, with freezes between them: the
//! engine keeps to its bounds, ends idle, and says only what can be read back.
#![no_main]

use bytes::Bytes;
use hoverboard_bitswap::{Answer, Engine, Limits, MAX_MESSAGE, Message, Outgoing, Protocol, Ticket};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Receive { message: &'a [u8], protocol: u8 },
    LookUp,
    Answer { which: u8, answer: HostAnswer },
    Send { protocol: u8 },
    Freeze,
    Requeue,
}

#[derive(Debug, Arbitrary)]
enum HostAnswer {
    Block { len: u16 },
    LargeBlock { short_of_limit: u8 },
    Have { size: u64 },
    Missing,
    Unknown,
}

const LIMITS: Limits = Limits {
    max_wants: 64,
    max_queued: 100_000,
    max_outstanding: 16,
    inline_limit: 1024,
    message_target: 10_000,
    table_key: 1,
};

fuzz_target!(|steps: Vec<Step>| {
    let mut engine = Engine::new(LIMITS);
    let mut tickets: Vec<Ticket> = Vec::new();
    for step in steps {
        match step {
            Step::Receive { message, protocol } => {
                if let Ok(message) = Message::decode(Bytes::copy_from_slice(message)) {
                    engine.receive(message.wantlist.unwrap_or_default(), version(protocol));
                }
            }
            Step::LookUp => tickets.extend(engine.next_lookup().map(|lookup| lookup.ticket)),
            Step::Answer { which, answer } => {
                if let Some(ticket) = tickets.get(usize::from(which)) {
                    engine.answer(*ticket, answer.into());
                }
            }
            Step::Send { protocol } => {
                if let Some(outgoing) = engine.next_message(version(protocol)) {
                    check(&outgoing);
                }
            }
            Step::Freeze => {
                let frozen = postcard::to_allocvec(&engine).expect("it can be frozen");
                engine = postcard::from_bytes(&frozen).expect("and thawed");
            }
            Step::Requeue => engine.requeue_outstanding(),
        }
        assert!(engine.wants() <= LIMITS.max_wants);
        assert!(engine.outstanding() <= LIMITS.max_outstanding);
        let presences = LIMITS.max_wants * 128;
        assert!(engine.queued_bytes() <= LIMITS.max_queued + MAX_MESSAGE + presences);
    }
    // Whatever happened, a host that answers gets rid of everything.
    engine.requeue_outstanding();
    while !engine.is_idle() {
        while let Some(lookup) = engine.next_lookup() {
            engine.answer(lookup.ticket, Answer::Missing);
        }
        if let Some(outgoing) = engine.next_message(Protocol::V1_2_0) {
            check(&outgoing);
        }
    }
    assert_eq!((engine.queued_bytes(), engine.outstanding()), (0, 0));
});

fn version(byte: u8) -> Protocol {
    Protocol::ALL[usize::from(byte) % Protocol::ALL.len()]
}

fn check(outgoing: &Outgoing) {
    let frame = outgoing.segments.concat();
    assert_eq!(frame.len(), outgoing.len);
    let mut chunk = Bytes::from(frame);
    let body = hoverboard_bitswap::Decoder::new().decode(&mut chunk);
    let body = body.expect("a whole frame").expect("a whole frame");
    assert!(body.len() <= MAX_MESSAGE);
    let message = Message::decode(body).expect("what we write can be read");
    assert_eq!(message.blocks.len(), outgoing.blocks);
    assert_eq!(message.presences.len(), outgoing.presences);
}

impl From<HostAnswer> for Answer {
    fn from(answer: HostAnswer) -> Self {
        let zeros = |len| Self::Block(Bytes::from(vec![0; len]));
        match answer {
            HostAnswer::Block { len } => zeros(usize::from(len)),
            HostAnswer::LargeBlock { short_of_limit } => zeros(MAX_MESSAGE - usize::from(short_of_limit)),
            HostAnswer::Have { size } => Self::Have { size },
            HostAnswer::Missing => Self::Missing,
            HostAnswer::Unknown => Self::Unknown,
        }
    }
}
