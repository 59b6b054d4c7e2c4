//! Any bytes, in pieces of any length, give what they give in one piece.
#![no_main]

use hoverboard_car::{Decoder, Event, Options, SectionHead, ZeroLength};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (piece, padding, bytes) = input;
    let zero_length = if padding { ZeroLength::Padding } else { ZeroLength::Refuse };
    let options = Options { zero_length, ..Options::default() };
    let whole = decode(bytes, bytes.len().max(1), options);
    let pieces = decode(bytes, usize::from(piece).max(1), options);
    assert_eq!(whole, pieces);
});

/// The sections, and the message of the error that ended them.
fn decode(bytes: &[u8], piece: usize, options: Options) -> (Vec<SectionHead>, Option<String>) {
    let mut decoder = Decoder::new(options);
    let mut sections = Vec::new();
    let mut pieces = bytes.chunks(piece);
    loop {
        match decoder.next() {
            Ok(Some(Event::Section(section))) => {
                assert_eq!(section.data.len() as u64, section.head.data_len);
                sections.push(section.head);
            }
            Ok(Some(Event::Header(_))) => {}
            Ok(None) if decoder.is_finished() => return (sections, None),
            Ok(None) => match pieces.next() {
                Some(piece) => decoder.push(piece),
                None => decoder.end(),
            },
            Err(error) => return (sections, Some(error.to_string())),
        }
    }
}
