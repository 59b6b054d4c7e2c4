//! Sections cut out of any bytes, in any pieces and with any of them passed over, are bounded and go forwards.
#![no_main]

use bytes::Bytes;
use hoverboard_store::cut::Cutter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, Vec<(u16, u8)>, &[u8])| {
    let (start, steps, bytes) = input;
    let end = u64::from(start) + bytes.len() as u64;
    let mut cutter = Cutter::new(u64::from(start));
    let mut rest = Bytes::copy_from_slice(bytes);
    for (piece, skip) in steps {
        cutter.push(rest.split_to(rest.len().min(usize::from(piece))));
        if skip > 0 {
            cutter.skip_to(cutter.at() + u64::from(skip));
        }
        loop {
            let at = cutter.at();
            match cutter.next_section() {
                Ok(Some(section)) => {
                    assert!(section.offset == at && section.end > at && section.end <= end);
                    assert!((section.data.len() as u64) < section.end - section.offset);
                }
                Ok(None) => break,
                Err(_) => cutter.skip_to(at + 1),
            }
        }
    }
});
