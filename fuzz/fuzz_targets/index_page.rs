//! Any records under a right checksum are refused or searched; a run of any entries has them, and a page of it that was
//! changed is refused.
#![no_main]

use hoverboard_car::{BlockOffset, SectionOffset};
use hoverboard_index::cars::{self, Segment};
use hoverboard_index::run::{Batch, Fresh, Page, PageAddress, Shape, Slice};
use hoverboard_index::{Extent, Fingerprint, ObjectId, PAGE_LEN, Place};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Page { body: &'a [u8], shard_bits: u8, pages: u32, cars: u32, shard: u8, page: u8 },
    Entries { entries: Vec<(u8, u64, u8, Where)>, flip: u32 },
}

#[derive(Debug, Arbitrary)]
enum Where {
    Exact(u64, u64, u8),
    Section(u64, Option<u64>),
    Bytes(u64, u32),
}

fuzz_target!(|input: Input| match input {
    Input::Page { body, shard_bits, pages, cars, shard, page } => {
        let Some(shape) = Shape::new(shard_bits, pages) else { return };
        let run = Fresh { id: ObjectId::from_bytes([0; 16]), cars, entries: 1, shape }.at(0);
        let address = PageAddress { shard: u32::from(shard), page: u32::from(page) };
        let page = |kind: u8, shard: u32| {
            let mut bytes = vec![0; PAGE_LEN];
            let len = body.len().min(PAGE_LEN - 10);
            (bytes[0], bytes[1]) = (kind, 1);
            bytes[2..2 + len].copy_from_slice(&body[..len]);
            // The seed of an id of zeros.
            let seed = u64::from(shard) << 32 | u64::from(address.page);
            let sum = xxh3_64_with_seed(&bytes[..PAGE_LEN - 8], seed);
            bytes[PAGE_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
            bytes
        };
        let segment = Segment { id: run.id, first: 5, cars };
        if let Ok(page) = cars::Page::parse(&segment, address.page, page(b'C', 0).into()) {
            for ordinal in [0, 5, 5 + cars / 2, u32::MAX] {
                let _ = page.record(ordinal);
            }
        }
        let bytes = page(b'R', address.shard);
        if let Ok(page) = Page::parse(&run, address, bytes.clone().into()) {
            for at in (8..PAGE_LEN - 24).step_by(30).take(64) {
                let fingerprint = Fingerprint::from_bytes(bytes[at..at + 16].try_into().expect("sixteen"));
                let _ = page.lookup(fingerprint);
            }
        }
        let _ = Slice::whole(&run, address.shard, bytes.into());
    }
    Input::Entries { entries, flip } => {
        let mut batch = Batch::new();
        let mut kept = Vec::new();
        for (high, low, car, at) in entries {
            let fingerprint = Fingerprint::from_bytes((u128::from(high) << 120 | u128::from(low)).to_be_bytes());
            let extent = match at {
                Where::Exact(offset, length, cid_len) => Extent::exact(SectionOffset(offset), length, cid_len.into()),
                Where::Section(offset, at_most) => Extent::section(SectionOffset(offset), at_most),
                Where::Bytes(offset, length) => Extent::Bytes { offset: BlockOffset(offset), length },
            };
            let _ = extent.block();
            if batch.push(fingerprint, Place { car: car.into(), extent }).is_ok() {
                kept.push(fingerprint);
            }
        }
        let Ok(sorted) = batch.sort() else { return };
        let Ok(shard) = sorted.shard(0) else { return };
        let run = sorted.finish(shard.entries).at(0);
        let slice = Slice::whole(&run, 0, shard.bytes.clone().into()).expect("what we write can be read");
        assert!(kept.iter().all(|fingerprint| !slice.lookup(*fingerprint).is_empty()));
        let mut bytes = shard.bytes;
        let at = flip as usize % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(Slice::whole(&run, 0, bytes.into()).is_err());
    }
});
