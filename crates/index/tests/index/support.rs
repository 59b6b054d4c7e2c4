//! Blocks by number, and runs over them in memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use hoverboard_car::SectionOffset;
use hoverboard_index::cars::Record;
use hoverboard_index::merge::Merge;
use hoverboard_index::run::{Batch, Found, Fresh, Opened, Page, PageAddress, Run, Slice};
use hoverboard_index::{Extent, Fingerprint, Key, ObjectId, PAGE_LEN, PageError, Place, Struck};
use multihash::Multihash;

pub(crate) const KEY: Key = Key::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

/// The fingerprint of a block that stands for this number.
pub(crate) fn block(number: u64) -> Fingerprint {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    KEY.fingerprint(&Multihash::<64>::wrap(0x12, &digest).unwrap())
}

/// A fingerprint of one's choice: what somebody who knows the key can have at a cost.
pub(crate) fn mined(high: u64, low: u64) -> Fingerprint {
    Fingerprint::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

pub(crate) fn place(car: u32, offset: u64) -> Place {
    Place { car, extent: Extent::exact(SectionOffset(offset), 1000, 36) }
}

/// A run and its objects.
pub(crate) struct Built {
    pub(crate) run: Run,
    pub(crate) shards: Vec<Bytes>,
}

impl Built {
    pub(crate) fn new(entries: impl IntoIterator<Item = (Fingerprint, Place)>) -> Self {
        let (fresh, shards) = build(entries);
        Self { run: fresh.at(0), shards }
    }

    /// A lookup as a host does it, with the number of reads it took.
    pub(crate) fn lookup(&self, fingerprint: Fingerprint) -> Result<(Found, usize), PageError> {
        let mut address = self.run.address(fingerprint);
        for reads in 1.. {
            let lookup = Page::parse(&self.run, address, self.read(address))?.lookup(fingerprint);
            match lookup.next {
                Some(next) if lookup.found.is_empty() => address = next,
                _ => return Ok((lookup.found, reads)),
            }
        }
        unreachable!("a lookup ends");
    }

    pub(crate) fn read(&self, address: PageAddress) -> Bytes {
        let range = address.range();
        self.shards[address.shard as usize].slice(range.start as usize..range.end as usize)
    }

    pub(crate) fn slices(&self) -> Vec<Slice> {
        let slice = |(shard, bytes): (usize, &Bytes)| Slice::whole(&self.run, shard as u32, bytes.clone()).unwrap();
        self.shards.iter().enumerate().map(slice).collect()
    }

    /// Every block that the run has anything of, read in order.
    pub(crate) fn all(&self) -> BTreeMap<Fingerprint, Found> {
        let mut all: BTreeMap<Fingerprint, Found> = BTreeMap::new();
        let mut last = None;
        for entry in self.slices().iter().flat_map(Slice::entries) {
            assert!(last <= Some(entry.fingerprint), "sorted");
            last = Some(entry.fingerprint);
            let found = all.entry(entry.fingerprint).or_default();
            found.places.extend(entry.place);
            found.more |= entry.more;
        }
        all
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(Bytes::len).sum()
    }

    pub(crate) fn overflow_pages(&self) -> usize {
        self.bytes() / PAGE_LEN - (self.run.shards() * self.run.shape.pages()) as usize
    }
}

pub(crate) fn build(entries: impl IntoIterator<Item = (Fingerprint, Place)>) -> (Fresh, Vec<Bytes>) {
    let mut batch = Batch::new();
    entries.into_iter().for_each(|(fingerprint, place)| batch.push(fingerprint, place).unwrap());
    let sorted = batch.sort().unwrap();
    let shards: Vec<_> = sorted.shards().collect::<Result<_, _>>().unwrap();
    let entries = shards.iter().map(|shard| shard.entries).sum();
    (sorted.finish(entries), shards.into_iter().map(|shard| shard.bytes.into()).collect())
}

/// Merges as a host does it: step by step, each reading ranges.
pub(crate) fn merged(inputs: &[Built], struck: &Struck) -> Built {
    let runs: Vec<Run> = inputs.iter().map(|input| input.run).collect();
    let merge = Merge::new(&runs, struck).unwrap();
    let mut entries = 0;
    let mut shards = Vec::new();
    for shard in 0..merge.output().shards() {
        let slices: Vec<Vec<Slice>> = inputs
            .iter()
            .enumerate()
            .map(|(number, input)| {
                let open = |piece: hoverboard_index::run::Piece| {
                    let object = &input.shards[piece.shard as usize];
                    let read = |range: std::ops::Range<u64>| object.slice(range.start as usize..range.end as usize);
                    match Slice::open(&input.run, &piece, read(piece.range())).unwrap() {
                        Opened::Whole(slice) => slice,
                        Opened::Overflowing(partial) => {
                            let range = partial.range();
                            partial.complete(read(range)).unwrap()
                        }
                    }
                };
                merge.pieces(number, shard).map(open).collect()
            })
            .collect();
        let built = merge.build(shard, &slices).unwrap();
        entries += built.entries;
        shards.push(built.bytes.into());
    }
    Built { run: merge.finish(entries), shards }
}

/// Records of so many CARs, all different.
pub(crate) fn records(cars: u32) -> Vec<Record> {
    let record = |car: u32| Record {
        digest: [car as u8; 32],
        size: u64::from(car) << 20,
        etag_hash: KEY.etag_hash(&car.to_string()),
        blob: car.is_multiple_of(3),
    };
    (0..cars).map(record).collect()
}

/// An id for each number.
pub(crate) fn id(number: u64) -> ObjectId {
    ObjectId::from_bytes(u128::from(number).to_be_bytes())
}
