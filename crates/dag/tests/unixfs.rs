//! UnixFS nodes, of other programs and by hand, and walks over them.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod common;

use std::collections::HashMap;

use cid::Cid;
use cid::multihash::Multihash;
use common::{blocks, bytes_field, cid, node, number_field};
use hoverboard_dag::unixfs::{Entry, Error, Hamt, Kind, Node};
use hoverboard_dag::{Walk, WalkError, WalkOptions, codec};

fn message(fields: &[Vec<u8>]) -> Vec<u8> {
    fields.concat()
}

#[test]
fn a_raw_block_is_bytes_of_a_file() {
    let raw = Node::parse(codec::RAW, b"bytes").unwrap();
    assert_eq!((raw.kind, raw.data, raw.file_size), (Kind::Raw, &b"bytes"[..], Some(5)));
    assert_eq!(raw.parts(), Ok(vec![]));
}

#[test]
fn a_file_gives_its_children_with_their_ranges_behind_its_own_bytes() {
    let (a, b) = (cid(codec::RAW, b"a"), cid(codec::RAW, b"b"));
    let unpacked = [number_field(4, 10), number_field(4, 300)].concat();
    let packed = bytes_field(4, &[10, 0xac, 0x02]);
    for sizes in [unpacked, packed] {
        let data = message(&[number_field(1, 2), bytes_field(2, b"own"), number_field(3, 313), sizes]);
        let block = node(&[(a, ""), (b, "")], Some(&data));
        let file = Node::parse(codec::DAG_PB, &block).unwrap();
        assert_eq!((file.kind, file.file_size), (Kind::File, Some(313)));
        let parts: Vec<_> = file.parts().unwrap().into_iter().map(|part| (part.cid, part.range)).collect();
        assert_eq!(parts, [(a, 3..13), (b, 13..313)]);
        assert_eq!(file.entries(), Err(Error::Kind("directory")));
    }
}

#[test]
fn a_file_whose_sizes_do_not_fit_its_links_is_an_error() {
    let a = cid(codec::RAW, b"a");
    for (sizes, count) in [(vec![], 0), (vec![number_field(4, 1); 2], 2), (vec![number_field(4, u64::MAX)], 1)] {
        let data = message(&[number_field(1, 2), bytes_field(2, b"own"), sizes.concat()]);
        let block = node(&[(a, "")], Some(&data));
        let file = Node::parse(codec::DAG_PB, &block).unwrap();
        assert_eq!(file.parts(), Err(Error::BlockSizes { sizes: count, links: 1 }));
    }
}

#[test]
fn a_hamt_shard_gives_names_without_prefix_and_further_shards() {
    let (a, b) = (cid(codec::RAW, b"a"), cid(codec::DAG_PB, b"b"));
    for (fanout, prefix) in [(256, "0F"), (16, "F"), (8, "7"), (1024, "3FF")] {
        let data = message(&[number_field(1, 5), number_field(5, 0x22), number_field(6, fanout)]);
        let name = format!("{prefix}name");
        let block = node(&[(b, prefix), (a, &name)], Some(&data));
        let shard = Node::parse(codec::DAG_PB, &block).unwrap();
        assert_eq!(shard.kind, Kind::HamtShard(Hamt { fanout, hash: 0x22 }));
        let named = Entry::Named { name: b"name", cid: a, tsize: Some(1234) };
        assert_eq!(shard.entries(), Ok(vec![Entry::Shard(b), named]));
    }
    let data = message(&[number_field(1, 5), number_field(6, 256)]);
    let block = node(&[(a, "0Fx"), (a, "0")], Some(&data));
    assert_eq!(Node::parse(codec::DAG_PB, &block).unwrap().entries(), Err(Error::Prefix { index: 1 }));
}

#[test]
fn what_is_no_unixfs_is_named() {
    let parse = |data: &[Vec<u8>]| Node::parse(codec::DAG_PB, &node(&[], Some(&message(data)))).unwrap_err();
    assert_eq!(parse(&[]), Error::Data);
    assert_eq!(parse(&[number_field(1, 6)]), Error::Type(6));
    assert_eq!(parse(&[bytes_field(1, b"file")]), Error::Data);
    assert_eq!(parse(&[number_field(1, 2), bytes_field(4, &[0x80])]), Error::Data);
    for fanout in [0, 1, 3, 2048] {
        assert_eq!(parse(&[number_field(1, 5), number_field(6, fanout)]), Error::Fanout(fanout));
    }
    assert_eq!(Node::parse(codec::DAG_PB, b"").unwrap_err(), Error::Data);
    assert_eq!(Node::parse(codec::DAG_CBOR, b"\xa0").unwrap_err(), Error::Codec(codec::DAG_CBOR));
}

#[test]
fn directories_of_other_programs_are_listed() {
    let (roots, sections) = blocks("sample-unixfs-v2.car");
    let root = sections.iter().find(|section| *section.cid() == roots[0]).unwrap();
    let directory = Node::parse(root.cid().codec(), &root.data).unwrap();
    assert_eq!(directory.kind, Kind::Directory);
    let entries = directory.entries().unwrap();
    let [Entry::Named { name: b"a", cid, .. }] = entries[..] else { panic!("one entry: {entries:?}") };
    assert!(sections.iter().any(|section| *section.cid() == cid));
}

/// Walks over what is there; gives what was fed and what was missing.
fn walk(roots: &[Cid], blocks: &HashMap<Cid, Vec<u8>>, options: WalkOptions) -> (Vec<Cid>, Vec<Cid>) {
    let (mut fed, mut missing) = (Vec::new(), Vec::new());
    let mut walk = Walk::new(roots.iter().copied(), options);
    while let Some(cid) = walk.wanted().unwrap() {
        assert_eq!(walk.upcoming().next(), Some(&cid));
        match blocks.get(&cid) {
            Some(block) => {
                walk.feed(block).unwrap();
                fed.push(cid);
            }
            None => {
                walk.pass();
                missing.push(cid);
            }
        }
    }
    (fed, missing)
}

#[test]
fn a_walk_gives_the_blocks_of_a_depth_first_car_in_its_order() {
    let (roots, sections) = blocks("simple-unixfs.car");
    let order: Vec<Cid> = sections.iter().map(|section| *section.cid()).collect();
    let map = sections.iter().map(|section| (*section.cid(), section.data.to_vec())).collect();
    let (fed, missing) = walk(&roots, &map, WalkOptions::default());
    assert_eq!(fed, order);
    assert_eq!(missing, []);
}

#[test]
fn a_walk_goes_on_without_the_blocks_that_are_missing() {
    let (roots, sections) = blocks("simple-unixfs-missing-blocks.car");
    let map = sections.iter().map(|section| (*section.cid(), section.data.to_vec())).collect();
    let (fed, missing) = walk(&roots, &map, WalkOptions::default());
    assert_eq!((fed.len(), missing.len()), (sections.len(), 3));
}

#[test]
fn a_block_that_is_linked_twice_is_wanted_once_or_twice_as_asked() {
    let leaf = b"leaf".to_vec();
    let leaf_cid = cid(codec::RAW, &leaf);
    let middle = node(&[(leaf_cid, ""), (leaf_cid, "")], None);
    let middle_cid = cid(codec::DAG_PB, &middle);
    let root = node(&[(middle_cid, ""), (middle_cid, "")], None);
    let root_cid = cid(codec::DAG_PB, &root);
    let map = HashMap::from([(leaf_cid, leaf), (middle_cid, middle), (root_cid, root)]);

    let (once, _) = walk(&[root_cid], &map, WalkOptions::default());
    assert_eq!(once, [root_cid, middle_cid, leaf_cid]);
    let (every, _) = walk(&[root_cid], &map, WalkOptions { once: false, ..WalkOptions::default() });
    assert_eq!(every, [root_cid, middle_cid, leaf_cid, leaf_cid, middle_cid, leaf_cid, leaf_cid]);
}

#[test]
fn identity_cids_are_never_wanted_and_their_links_are_followed() {
    let leaf = cid(codec::RAW, b"leaf");
    let inline = node(&[(leaf, "")], None);
    let inline = Cid::new_v1(codec::DAG_PB, Multihash::wrap(0x00, &inline).unwrap());
    let root = node(&[(inline, "inline")], None);
    let root_cid = cid(codec::DAG_PB, &root);
    let map = HashMap::from([(root_cid, root), (leaf, b"leaf".to_vec())]);
    let (fed, missing) = walk(&[root_cid], &map, WalkOptions::default());
    assert_eq!((fed, missing), (vec![root_cid, leaf], vec![]));
}

#[test]
fn a_chain_of_thousands_is_no_deeper_than_its_links() {
    let mut map = HashMap::new();
    let mut next = node(&[], None);
    for _ in 0..5000 {
        let next_cid = cid(codec::DAG_PB, &next);
        let before = node(&[(next_cid, "next")], None);
        map.insert(next_cid, std::mem::replace(&mut next, before));
    }
    let root = cid(codec::DAG_PB, &next);
    map.insert(root, next);
    let (fed, missing) = walk(&[root], &map, WalkOptions { max_pending: 1, ..WalkOptions::default() });
    assert_eq!((fed.len(), missing.len()), (5001, 0));
}

#[test]
fn a_block_that_is_broken_or_has_too_many_links_is_passed_over() {
    let leaves: Vec<Cid> = (0..4_u8).map(|leaf| cid(codec::RAW, &[leaf])).collect();
    let names: Vec<(Cid, &str)> = leaves.iter().map(|leaf| (*leaf, "")).collect();
    let wide = node(&names, None);
    let roots = [cid(codec::DAG_PB, &wide), cid(codec::DAG_CBOR, b"?"), leaves[0]];
    let mut walk = Walk::new(roots, WalkOptions { max_pending: 5, ..WalkOptions::default() });
    assert_eq!(walk.wanted(), Ok(Some(roots[0])));
    assert_eq!(walk.feed(&wide), Err(WalkError::TooManyPending { cid: Box::new(roots[0]), max: 5 }));
    assert_eq!(walk.wanted(), Ok(Some(roots[1])));
    assert!(matches!(walk.feed(b"\xff"), Err(WalkError::Links { cid, .. }) if *cid == roots[1]));
    assert_eq!(walk.wanted(), Ok(Some(roots[2])));
    assert_eq!(walk.feed(&[0]), Ok(()));
    assert_eq!(walk.wanted(), Ok(None));
    assert_eq!(walk.feed(b"more"), Ok(()));
}
