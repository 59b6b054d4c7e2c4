//! The sharded dag index.

use hoverboard_car::BlockOffset;
use hoverboard_claims::Error;
use hoverboard_claims::shards::{ShardedIndex, Slice, write};
use minicbor::Encoder;
use multihash::Multihash;
use proptest::prelude::*;

use crate::support::{DAG_CBOR, block, car, car_cid, cid, link};

const MAX: usize = 1 << 20;

/// The worked shard: one blob with one block.
const WORKED: &str = "82582212202b97ed5ed1d230cafb4185312ef5136208c82b8ebd1f067b8ca0b9db51193eeb818258221220\
    a883dafc480d466ee04e0d6da986bd78eb1fdd2178d04693723da3a8f95d42f482186005";
const WORKED_CID: &str = "bafyreibc437u3het3p3ngnzi6dwa6rxwcqgmsxjmgvnn4s22gjwep73hf4";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_worked_shard_is_written_and_read() {
    let slices = [(*block().hash(), BlockOffset(96), 5)];
    let index = write(&block(), [(*car_cid().hash(), &slices[..])]);
    let at = index.windows(WORKED.len() / 2).position(|window| window == hex(WORKED)).expect("the shard is in it");
    let name = &index[at - 36..at];
    assert_eq!(name, WORKED_CID.parse::<cid::Cid>().unwrap().to_bytes());
    let index = ShardedIndex::open(&index, MAX).unwrap();
    assert_eq!(*index.content(), block());
    let slice = Slice { shard: *car_cid().hash(), offset: BlockOffset(96), length: 5 };
    assert_eq!(index.lookup(block().hash(), 8).unwrap(), [slice]);
    assert_eq!(index.lookup(car_cid().hash(), 8).unwrap(), []);
}

/// An index around a shard that is given as it is.
fn around(shard: Vec<u8>) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    out.map(1).unwrap().str("index/sharded/dag@0.1").unwrap().map(2).unwrap();
    out.str("content").unwrap();
    link(&mut out, &block());
    out.str("shards").unwrap().array(1).unwrap();
    link(&mut out, &cid(DAG_CBOR, &shard));
    let root = out.into_writer();
    car(&[cid(DAG_CBOR, &root)], &[(cid(DAG_CBOR, &root), root.clone()), (cid(DAG_CBOR, &shard), shard)])
}

#[test]
fn the_flat_triples_of_the_specification_are_read_too() {
    let mut out = Encoder::new(Vec::new());
    out.array(2).unwrap().bytes(&car_cid().hash().to_bytes()).unwrap().array(1).unwrap();
    out.array(3).unwrap().bytes(&block().hash().to_bytes()).unwrap().u64(96).unwrap().u64(5).unwrap();
    let index = ShardedIndex::open(&around(out.into_writer()), MAX).unwrap();
    assert_eq!(index.lookup(block().hash(), 8).unwrap()[0].length, 5);
}

#[test]
fn a_shard_of_another_shape_is_an_error() {
    let mut longer = hex(WORKED);
    longer.push(0);
    let mut claims_more = hex(WORKED);
    claims_more[37] = 0x9b;
    for shard in [longer, hex(WORKED)[..70].to_vec(), claims_more, vec![0x80], Vec::new()] {
        let index = ShardedIndex::open(&around(shard), MAX).unwrap();
        assert!(matches!(index.lookup(block().hash(), 8), Err(Error::Cbor(_))));
    }
}

#[test]
fn blocks_that_lie_and_blocks_that_are_missing_are_errors() {
    let index = write(&block(), [(*car_cid().hash(), &[][..])]);
    let mut lying = index.clone();
    *lying.last_mut().unwrap() ^= 1;
    assert!(matches!(ShardedIndex::open(&lying, MAX), Err(Error::Block { .. })));
    assert!(matches!(ShardedIndex::open(&index, index.len() - 1), Err(Error::TooLong { .. })));
    let root = hex("a0");
    let empty = car(&[cid(DAG_CBOR, &root)], &[]);
    assert!(matches!(ShardedIndex::open(&empty, MAX), Err(Error::NotInIt(_))));
    assert!(matches!(ShardedIndex::open(&car(&[], &[]), MAX), Err(Error::Roots(0))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_found_and_nothing_else(
        shards in prop::collection::vec(prop::collection::vec((0_u8..20, any::<u64>(), any::<u64>()), 0..20), 0..5),
        asked in 0_u8..20,
    ) {
        let name = |block: u8| *cid(DAG_CBOR, &[block]).hash();
        let shards: Vec<(Multihash<64>, Vec<_>)> = shards.iter().enumerate().map(|(number, blocks)| {
            let slices = blocks.iter().map(|(block, offset, length)| (name(*block), BlockOffset(*offset), *length));
            (name(100 + number as u8), slices.collect())
        }).collect();
        let index = write(&block(), shards.iter().map(|(shard, slices)| (*shard, &slices[..])));
        let expected: Vec<Slice> = shards.iter().flat_map(|(shard, slices)| {
            let of = slices.iter().filter(|(block, ..)| *block == name(asked));
            of.map(|(_, offset, length)| Slice { shard: *shard, offset: *offset, length: *length })
        }).collect();
        prop_assert_eq!(ShardedIndex::open(&index, MAX).unwrap().lookup(&name(asked), 1000).unwrap(), expected);
    }
}
