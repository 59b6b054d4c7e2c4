//! What the tests share: fixtures, and the three ways to read a CAR.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::PathBuf;

use hoverboard_car::{Decoder, Error, Event, Header, Options, Scanner, Section, SectionHead};

/// A fixture's bytes.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a reader made of a file: everything before the error, and the error.
#[derive(Debug, Default)]
pub(crate) struct Outcome<T> {
    pub(crate) header: Option<Header>,
    pub(crate) sections: Vec<T>,
    pub(crate) error: Option<Error>,
}

/// Decodes pieces of the given lengths, round and round.
pub(crate) fn decode(bytes: &[u8], pieces: &[usize], options: Options) -> Outcome<Section> {
    let mut outcome = Outcome { header: None, sections: Vec::new(), error: None };
    let mut decoder = Decoder::new(options);
    let mut rest = bytes;
    let mut pieces = pieces.iter().cycle();
    loop {
        loop {
            match decoder.next() {
                Ok(Some(Event::Header(header))) => outcome.header = Some(header),
                Ok(Some(Event::Section(section))) => outcome.sections.push(section),
                Ok(None) if decoder.is_finished() => return outcome,
                Ok(None) => break,
                Err(error) => {
                    outcome.error = Some(error);
                    assert!(decoder.is_finished());
                    return outcome;
                }
            }
        }
        if rest.is_empty() {
            decoder.end();
        } else {
            let piece = pieces.next().map_or(rest.len(), |piece| (*piece).clamp(1, rest.len()));
            decoder.push(&rest[..piece]);
            rest = &rest[piece..];
        }
    }
}

/// Scans, with reads of as few bytes as allowed or as many as are useful; says how many reads there were.
pub(crate) fn scan(bytes: &[u8], scanner: Scanner, least: bool) -> (Outcome<SectionHead>, usize) {
    let mut outcome = Outcome { header: None, sections: Vec::new(), error: None };
    let mut scanner = scanner;
    let mut reads = 0;
    while let Some(want) = scanner.want() {
        assert!(want.min <= want.useful);
        let len = if least { want.min } else { want.useful };
        let start = usize::try_from(want.offset).unwrap().min(bytes.len());
        reads += 1;
        if let Err(error) = scanner.feed(&bytes[start..][..len], |head| outcome.sections.push(*head)) {
            outcome.error = Some(error);
            break;
        }
    }
    outcome.header = scanner.header().cloned();
    (outcome, reads)
}

/// Scans a file in memory with the default options.
pub(crate) fn scan_all(bytes: &[u8], options: Options) -> Outcome<SectionHead> {
    scan(bytes, Scanner::new(bytes.len() as u64, options), false).0
}
