//! An index that opens can be searched, and if it is sorted, every record in it is found.
#![no_main]

use bytes::Bytes;
use hoverboard_car::index::{Index, SortedIndex};
use libfuzzer_sys::fuzz_target;
use multihash::Multihash;

fuzz_target!(|bytes: &[u8]| {
    match Index::open(Bytes::copy_from_slice(bytes)) {
        Ok(Index::Sorted(index)) => search(&index),
        Ok(Index::Multi(index)) => {
            let _ = index.check();
            index.cars().iter().for_each(|(_, index)| search(index));
        }
        Err(_) => {}
    }
});

fn search(index: &SortedIndex) {
    let sorted = index.check().is_ok();
    for record in index.iter().take(64) {
        let found = match record.code.and_then(|code| Multihash::<64>::wrap(code, record.digest).ok()) {
            Some(multihash) => index.lookup(&multihash).any(|offset| offset == record.offset),
            None => index.lookup_digest(record.digest).any(|offset| offset == record.offset),
        };
        assert!(found || !sorted);
    }
}
