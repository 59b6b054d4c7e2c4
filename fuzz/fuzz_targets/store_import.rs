//! Any bytes are a CAR that can be imported, in whatever pieces they come, or an error; and a remembered list, or none.
#![no_main]

use hoverboard_store::import::Survey;
use hoverboard_store::memory;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = survey(bytes, bytes.len().max(1));
    assert_eq!(whole, survey(bytes, usize::from(piece).max(1)));
    if let Ok(cars) = memory::decode(bytes) {
        assert_eq!(memory::encode(&cars), bytes);
    }
});

/// The name of the CAR and how many blocks it has.
fn survey(bytes: &[u8], piece: usize) -> Option<(String, u64)> {
    let mut survey = Survey::new(&[]);
    for piece in bytes.chunks(piece) {
        survey = survey.push(piece).ok()?;
    }
    let surveyed = survey.finish().ok()?;
    Some((surveyed.car.to_string(), surveyed.blocks as u64))
}
