//! Hopping finds the sections that streaming finds, whatever the reads, and ends.
#![no_main]

use hoverboard_car::{Options, Reader, Scanner};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (least, hop_over, bytes) = input;
    let mut scanner = Scanner::new(bytes.len() as u64, Options::default()).hop_over(u64::from(hop_over));
    let mut found = Vec::new();
    let mut failed = false;
    let mut reads = 0;
    while let Some(want) = scanner.want() {
        reads += 1;
        assert!(reads <= bytes.len() + 8, "no progress");
        let len = if least { want.min } else { want.useful };
        let there = usize::try_from(want.offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        if scanner.feed(&there[..len], |head| found.push(*head)).is_err() {
            failed = true;
            break;
        }
    }
    let streamed: Option<Vec<_>> = Reader::new(bytes, Options::default())
        .and_then(|reader| reader.map(|section| section.map(|section| section.head)).collect())
        .ok();
    match streamed {
        Some(streamed) => assert!(!failed && streamed == found),
        None => assert!(failed),
    }
});
