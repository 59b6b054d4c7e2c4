use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::ZERO;

fn new(role: Role) -> Mux {
    Mux::new(role, [9; 32])
}

#[derive(Debug, Default)]
struct Seen {
    opened: Vec<StreamId>,
    data: BTreeMap<StreamId, Vec<u8>>,
    finished: Vec<StreamId>,
    reset: Vec<StreamId>,
    pongs: usize,
}

/// Hands `bytes` to `mux`, `cut` at a time, crediting what arrives.
fn feed(mux: &mut Mux, bytes: &[u8], cut: usize, limits: &Limits, seen: &mut Seen) -> Result<(), Error> {
    for mut chunk in bytes.chunks(cut.max(1)) {
        loop {
            match mux.receive(&mut chunk, NOW, limits)? {
                None => break,
                Some(Event::Opened(id)) => seen.opened.push(id),
                Some(Event::Data(id, bytes)) => {
                    let len = bytes.len();
                    seen.data.entry(id).or_default().extend_from_slice(bytes);
                    mux.consume(id, len, NOW, limits)?;
                }
                Some(Event::Finished(id)) => seen.finished.push(id),
                Some(Event::Reset(id)) => seen.reset.push(id),
                Some(Event::Pong(_)) => seen.pongs += 1,
                Some(Event::GoAway(_)) => {}
            }
        }
        assert!(chunk.is_empty(), "bytes were left");
    }
    Ok(())
}

fn drain(mux: &mut Mux, room: usize, limits: &Limits) -> Vec<u8> {
    let mut out = Vec::new();
    mux.fill(&mut out, room, NOW, limits).expect("fills");
    assert!(out.len() <= room, "filled more than the room");
    out
}

fn header(kind: Kind, flags: u16, stream: u32, length: u32) -> [u8; HEADER] {
    Header { kind, flags, stream, length }.encode()
}

proptest! {
    #[test]
    fn streams_arrive_whole_at_any_split_and_any_room(
        streams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..6),
        cut in 1..5000_usize,
        room in 600..70_000_usize,
    ) {
        let limits = Limits::default();
        let (mut a, mut b) = (new(Role::Dialler), new(Role::Listener));
        let ids: Vec<_> = streams.iter().map(|bytes| {
            let id = a.open(NOW).expect("opens");
            a.send(id, Bytes::copy_from_slice(bytes));
            a.finish(id);
            id
        }).collect();
        let mut seen = Seen::default();
        loop {
            let out = drain(&mut a, room, &limits);
            if out.is_empty() { break }
            feed(&mut b, &out, cut, &limits, &mut seen).expect("receives");
        }
        for (id, bytes) in ids.iter().zip(&streams) {
            prop_assert_eq!(seen.data.get(id).map_or(&[][..], |v| v), bytes.as_slice());
            prop_assert!(seen.finished.contains(id));
        }
        prop_assert_eq!(a.queued(), 0);
    }

    #[test]
    fn a_bound_of_unproven_bytes_that_changes_is_kept_and_never_stops_the_stream(
        bounds in prop::collection::vec(0..150_000_u64, 1..12),
        freeze: bool,
    ) {
        let limits = Limits { unproven: Some(1 << 20), ..Limits::default() };
        let (mut a, mut b) = (new(Role::Dialler), new(Role::Listener));
        let id = a.open(NOW).expect("opens");
        a.send(id, Bytes::from(vec![7; 600_000]));
        let mut seen = Seen::default();
        let mut rounds = 0;
        for bound in bounds.iter().cycle() {
            if a.queued() == 0 {
                break;
            }
            let before = a.unproven();
            a.set_unproven(*bound);
            if freeze {
                a = postcard::from_bytes(&postcard::to_allocvec(&a).expect("freezes")).expect("thaws");
            }
            prop_assert_eq!(a.unproven(), before);
            let out = drain(&mut a, 65_519, &limits);
            prop_assert!(a.unproven() <= before.max((*bound).max(1024)));
            feed(&mut b, &out, 1 << 16, &limits, &mut seen).expect("receives");
            feed(&mut a, &drain(&mut b, 65_519, &limits), 1 << 16, &limits, &mut Seen::default()).expect("answers");
            rounds += 1;
            prop_assert!(rounds < 3_000, "{} bytes are left", a.queued());
        }
        feed(&mut b, &drain(&mut a, 65_519, &limits), 1 << 16, &limits, &mut seen).expect("receives");
        prop_assert_eq!(seen.data.get(&id).map(Vec::len), Some(600_000));
    }

    #[test]
    fn no_input_panics_or_outgrows_its_bounds(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 1..50_usize) {
        let limits = Limits { streams: 4, control_frames: 8, ..Limits::default() };
        let mut mux = new(Role::Listener);
        let _ = feed(&mut mux, &bytes, cut, &limits, &mut Seen::default());
        prop_assert!(mux.streams.len() <= 4 && mux.control.len() <= 8);
    }
}

#[test]
fn sending_stops_at_the_window_and_goes_on_with_credit() {
    let limits = Limits::default();
    let mut mux = new(Role::Dialler);
    let id = mux.open(NOW).expect("opens");
    mux.send(id, Bytes::from(vec![1; 300 * 1024]));
    let mut sent = 0;
    loop {
        let out = drain(&mut mux, 65_519, &limits);
        if out.is_empty() {
            break;
        }
        sent += out.len() - HEADER;
    }
    assert_eq!(sent, 256 * 1024);
    feed(&mut mux, &header(Kind::WindowUpdate, 0, id, 1000), 100, &limits, &mut Seen::default()).expect("credit");
    assert_eq!(drain(&mut mux, 65_519, &limits).len(), 1000 + HEADER);
}

#[test]
fn more_than_the_window_is_an_error() {
    let limits = Limits::default();
    let mut mux = new(Role::Listener);
    let frame = header(Kind::Data, SYN, 1, 256 * 1024 + 1);
    assert!(matches!(feed(&mut mux, &frame, 12, &limits, &mut Seen::default()), Err(Error::Yamux(_))));
}

#[test]
fn a_frame_that_claims_four_gigabytes_is_an_error() {
    let mut mux = new(Role::Listener);
    let frame = header(Kind::Data, SYN, 1, u32::MAX);
    assert!(feed(&mut mux, &frame, 12, &Limits::default(), &mut Seen::default()).is_err());
}

#[test]
fn streams_over_the_limit_are_reset_and_the_others_live() {
    let limits = Limits { streams: 2, ..Limits::default() };
    let mut mux = new(Role::Listener);
    let mut seen = Seen::default();
    for id in [1, 3, 5] {
        feed(&mut mux, &header(Kind::WindowUpdate, SYN, id, 0), 12, &limits, &mut seen).expect("opens");
    }
    assert_eq!(seen.opened, [1, 3]);
    let out = drain(&mut mux, 1000, &limits);
    assert!(out.chunks(HEADER).any(|frame| frame == header(Kind::WindowUpdate, RST, 5, 0)));
    // Bytes on their way to the refused stream are passed over.
    let mut bytes = header(Kind::Data, 0, 5, 3).to_vec();
    bytes.extend_from_slice(b"abc");
    bytes.extend_from_slice(&header(Kind::Data, 0, 1, 2));
    bytes.extend_from_slice(b"de");
    feed(&mut mux, &bytes, 1, &limits, &mut seen).expect("receives");
    assert_eq!(seen.data.get(&1).map(Vec::as_slice), Some(&b"de"[..]));
    assert!(!seen.data.contains_key(&5));
}

#[test]
fn ten_thousand_openings_by_a_peer_that_never_reads_end_the_connection() {
    let limits = Limits::default();
    let mut mux = new(Role::Listener);
    let frames: Vec<u8> = (0..10_000).flat_map(|i| header(Kind::WindowUpdate, SYN, 2 * i + 1, 0)).collect();
    let result = feed(&mut mux, &frames, 4096, &limits, &mut Seen::default());
    assert!(matches!(result, Err(Error::ControlFlood(4096))));
    assert_eq!(mux.streams.len(), 256);
}

#[test]
fn a_stream_that_is_opened_and_ended_at_once_tells_both() {
    let mut mux = new(Role::Listener);
    let mut seen = Seen::default();
    let mut bytes = header(Kind::Data, SYN | FIN, 1, 2).to_vec();
    bytes.extend_from_slice(b"hi");
    feed(&mut mux, &bytes, 5, &Limits::default(), &mut seen).expect("receives");
    assert_eq!((seen.opened, seen.finished), (vec![1], vec![1]));
    assert_eq!(seen.data.get(&1).map(Vec::as_slice), Some(&b"hi"[..]));
}

#[test]
fn streams_take_turns() {
    let limits = Limits::default();
    let mut mux = new(Role::Dialler);
    let ids = [mux.open(NOW).expect("opens"), mux.open(NOW).expect("opens")];
    for id in ids {
        mux.send(id, Bytes::from(vec![0; 100_000]));
    }
    let first = drain(&mut mux, 10_000, &limits);
    let second = drain(&mut mux, 10_000, &limits);
    let stream = |frame: &[u8]| u32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
    assert_ne!(stream(&first), stream(&second));
}

#[test]
fn without_proof_of_arrival_no_more_than_the_bound_leaves() {
    let limits = Limits { unproven: Some(100_000), ..Limits::default() };
    let (mut a, mut b) = (new(Role::Dialler), new(Role::Listener));
    let id = a.open(NOW).expect("opens");
    a.send(id, Bytes::from(vec![7; 250_000]));
    let mut held = Vec::new();
    loop {
        let out = drain(&mut a, 65_519, &limits);
        if out.is_empty() {
            break;
        }
        held.extend_from_slice(&out);
    }
    let stream_bytes = 250_000 - a.queued();
    assert!((90_000..=100_000).contains(&stream_bytes), "{stream_bytes}");
    // The peer reads, and its answers to the pings let the rest go, with no credit needed.
    let mut seen = Seen::default();
    for _ in 0..20 {
        feed(&mut b, &held, 1 << 16, &limits, &mut seen).expect("receives");
        let answers = drain(&mut b, 65_519, &Limits::default());
        feed(&mut a, &answers, 1 << 16, &limits, &mut Seen::default()).expect("answers");
        held = drain(&mut a, 65_519, &limits);
    }
    assert_eq!(seen.data.get(&id).map(Vec::len), Some(250_000));
}

#[test]
fn guessed_answers_prove_nothing() {
    let limits = Limits { unproven: Some(10_000), ..Limits::default() };
    let mut mux = new(Role::Dialler);
    let id = mux.open(NOW).expect("opens");
    mux.send(id, Bytes::from(vec![7; 50_000]));
    let sent: Vec<Vec<u8>> =
        std::iter::from_fn(|| Some(drain(&mut mux, 4_000, &limits)).filter(|o| !o.is_empty())).collect();
    let asked: Vec<[u8; HEADER]> =
        sent.iter().filter_map(|out| out.first_chunk().copied()).filter(|h| h[1] == 2).collect();
    assert!(asked.len() > 1, "pings go out in between");
    let mut seen = Seen::default();
    for value in (0..1_000).chain([u32::MAX]) {
        feed(&mut mux, &header(Kind::Ping, ACK, 0, value), 12, &limits, &mut seen).expect("is passed over");
    }
    assert_eq!((seen.pongs, mux.unproven()), (0, 10_000));
    // Two connections do not ask the same.
    let mut other = Mux::new(Role::Dialler, [8; 32]);
    other.ping(NOW, &limits).expect("pings");
    assert_ne!(drain(&mut other, 100, &limits)[..], asked[0]);
    // The answer that was asked for is one.
    let mut answer = asked[0];
    answer[3] = ACK as u8;
    feed(&mut mux, &answer, 12, &limits, &mut seen).expect("receives");
    assert_eq!(seen.pongs, 1);
    assert!(mux.unproven() < 10_000);
}

#[test]
fn the_receive_window_grows_on_a_long_path_up_to_its_limit() {
    let limits = Limits { receive_window: 1024 * 1024, ..Limits::default() };
    let mut stream = Stream::accepted(NOW);
    let rtt = Some(Duration::from_millis(100));
    for _ in 0..10 {
        stream.receive_window -= stream.receive_target / 2;
        stream.consumed += stream.receive_target / 2;
        stream.credit(Duration::from_millis(1), rtt, limits.receive_window).expect("credits half a window");
    }
    assert_eq!((stream.receive_target, stream.receive_window), (1024 * 1024, 1024 * 1024));
}
