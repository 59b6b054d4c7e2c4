//! Where walks lead, and where they end.

use hoverboard_car::index::{Codec, IndexBuilder, MultiIndexBuilder};
use hoverboard_car::{BlockOffset, SectionOffset};
use hoverboard_claims::shards::write;
use hoverboard_claims::{Addresses, Ask, At, Limits, Place, Site};
use proptest::prelude::*;

use crate::support::{
    CAR, CAR_CID, CAR_INDEX, DAG_CBOR, RAW, World, block, car_cid, cid, linking, location, partition, relation,
};

const URL: &str = "https://blobs.example.com/a";
const INDEX_URL: &str = "https://blobs.example.com/index";

fn web(url: &str) -> Site {
    Site::Web { url: url.parse().unwrap(), addresses: Addresses::Public }
}

fn bytes(offset: u64, length: impl Into<Option<u64>>) -> At {
    At::Bytes { offset: BlockOffset(offset), length: length.into() }
}

/// A SATNAV over the worked CAR.
fn satnav() -> Vec<u8> {
    let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
    builder.push(block().hash(), SectionOffset(59));
    builder.finish()
}

#[test]
fn a_location_is_a_place() {
    let mut world = World::default();
    world.claim(&block(), location(&block(), URL, Some((96, Some(5)))));
    world.claim(&block(), location(&block(), "https://blobs.example.com/whole", None));
    let walk = world.walk(Limits::default());
    let expected = [
        Place { site: web(URL), at: bytes(96, 5) },
        Place { site: web("https://blobs.example.com/whole"), at: bytes(0, None) },
    ];
    assert_eq!(walk.places(), expected);
    assert!(walk.is_sure());
    assert_eq!(world.asked, [Ask::Claims(*block().hash())]);
}

#[test]
fn our_own_cars_are_named_and_not_asked_for() {
    let mut world = World::default();
    let url = format!("https://carpark.example.com/{CAR_CID}/{CAR_CID}.car");
    world.claim(&block(), location(&block(), &url, Some((96, Some(5)))));
    let digest = car_cid().hash().digest().try_into().unwrap();
    assert_eq!(world.walk(Limits::default()).places(), [Place { site: Site::Car(digest), at: bytes(96, 5) }]);
}

#[test]
fn nothing_claimed_is_a_sure_miss_and_a_service_that_is_down_is_none() {
    let walk = World::default().walk(Limits::default());
    assert!(walk.places().is_empty() && walk.is_sure());
    let mut world = World::default();
    world.down = true;
    let walk = world.walk(Limits::default());
    assert!(walk.places().is_empty() && !walk.is_sure());
}

/// The blob's place, and that of an index of it.
fn blob_and_index(world: &mut World, index: &cid::Cid, index_bytes: Vec<u8>) {
    world.claim(index, location(index, INDEX_URL, None));
    world.claim(&car_cid(), location(&car_cid(), URL, None));
    world.file(INDEX_URL, index_bytes);
}

#[test]
fn a_sharded_index_leads_to_the_bytes() {
    let mut world = World::default();
    let slices = [(*block().hash(), BlockOffset(96), 5)];
    let index_bytes = write(&block(), [(*car_cid().hash(), &slices[..])]);
    let index = cid(CAR, &index_bytes);
    world.claim(&block(), linking("assert/index", &block(), "index", &index));
    blob_and_index(&mut world, &index, index_bytes);
    let walk = world.walk(Limits::default());
    assert_eq!(walk.places(), [Place { site: web(URL), at: bytes(96, 5) }]);
    assert!(walk.is_sure());
    assert_eq!(world.asked.len(), 4);
}

#[test]
fn a_partition_leads_over_the_inclusion_of_its_part_to_a_section() {
    let mut world = World::default();
    let index = cid(CAR_INDEX, &satnav());
    world.claim(&block(), partition(&block(), &[car_cid()]));
    world.claim(&car_cid(), linking("assert/inclusion", &car_cid(), "includes", &index));
    blob_and_index(&mut world, &index, satnav());
    let walk = world.walk(Limits::default());
    assert_eq!(walk.places(), [Place { site: web(URL), at: At::Section(SectionOffset(59)) }]);
    assert!(walk.is_sure());
}

#[test]
fn a_relation_leads_to_the_index_that_it_names() {
    let mut world = World::default();
    let index = cid(CAR_INDEX, &satnav());
    world.claim(&block(), relation(&block(), &[], &car_cid(), Some(&index)));
    blob_and_index(&mut world, &index, satnav());
    let walk = world.walk(Limits::default());
    assert_eq!(walk.places(), [Place { site: web(URL), at: At::Section(SectionOffset(59)) }]);
}

#[test]
fn an_index_over_several_cars_says_in_which_it_is() {
    let mut builder = MultiIndexBuilder::default();
    builder.push(car_cid().hash(), satnav().into()).unwrap();
    let multi = builder.finish();
    let index = cid(0x0402, &multi);
    let mut world = World::default();
    world.claim(&block(), linking("assert/index", &block(), "index", &index));
    blob_and_index(&mut world, &index, multi);
    let walk = world.walk(Limits::default());
    assert_eq!(walk.places(), [Place { site: web(URL), at: At::Section(SectionOffset(59)) }]);
}

#[test]
fn another_name_is_followed_and_a_circle_ends() {
    let mut world = World::default();
    let (a, b) = (cid(RAW, b"a"), cid(RAW, b"b"));
    for (from, to) in [(&block(), &a), (&a, &b), (&b, &block())] {
        world.claim(from, linking("assert/equals", from, "equals", to));
    }
    world.claim(&b, location(&b, URL, Some((1, Some(2)))));
    let walk = world.walk(Limits::default());
    assert_eq!(walk.places(), [Place { site: web(URL), at: bytes(1, 2) }]);
    assert_eq!(world.asked.len(), 3);
    assert!(walk.is_sure());
}

#[test]
fn what_an_answer_says_about_other_content_is_not_asked_again() {
    let mut world = World::default();
    let index = cid(CAR_INDEX, &satnav());
    // All of it comes with the first answer, as from a service that walks.
    world.claim(&block(), partition(&block(), &[car_cid()]));
    world.claim(&block(), linking("assert/inclusion", &car_cid(), "includes", &index));
    world.claim(&block(), location(&index, INDEX_URL, None));
    world.claim(&block(), location(&car_cid(), URL, None));
    world.file(INDEX_URL, satnav());
    assert_eq!(world.walk(Limits::default()).places().len(), 1);
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn an_index_that_is_someone_elses_bytes_is_not_believed() {
    let mut world = World::default();
    let index = cid(CAR_INDEX, &satnav());
    let other = "https://blobs.example.com/other";
    world.claim(&block(), partition(&block(), &[car_cid()]));
    world.claim(&car_cid(), linking("assert/inclusion", &car_cid(), "includes", &index));
    blob_and_index(&mut world, &index, [satnav(), vec![0]].concat());
    let walk = world.walk(Limits::default());
    assert!(walk.places().is_empty() && !walk.is_sure());
    // Where it lies elsewhere too, it is taken from there.
    world.claim(&index, location(&index, other, None));
    world.file(other, satnav());
    world.asked.clear();
    let walk = world.walk(Limits::default());
    assert!(walk.places().len() == 1 && walk.is_sure());
}

#[test]
fn a_car_without_an_index_leaves_it_open_whether_the_block_is_in_it() {
    let mut world = World::default();
    world.claim(&block(), partition(&block(), &[car_cid()]));
    world.claim(&car_cid(), location(&car_cid(), URL, None));
    let walk = world.walk(Limits::default());
    assert!(walk.places().is_empty() && !walk.is_sure());
}

#[test]
fn what_the_policy_refuses_is_counted_and_not_asked() {
    let mut world = World::default();
    for url in ["http://127.0.0.1/", "https://evil.example.org/", "https://169.254.169.254/latest"] {
        world.claim(&block(), location(&block(), url, None));
    }
    let walk = world.walk(Limits::default());
    assert!(walk.places().is_empty() && walk.is_sure());
    assert_eq!(walk.refused(), 3);
}

#[test]
fn a_blob_inside_a_larger_one_is_found_there_or_not_at_all() {
    let slices = [(*block().hash(), BlockOffset(96), 5)];
    let index_bytes = write(&block(), [(*car_cid().hash(), &slices[..])]);
    let index = cid(CAR, &index_bytes);
    for (range, expected) in [
        ((1000, Some(101)), Some(bytes(1096, 5))),
        ((1000, None), Some(bytes(1096, 5))),
        ((1000, Some(100)), None),
        ((u64::MAX - 96, None), None),
    ] {
        let mut world = World::default();
        world.claim(&block(), linking("assert/index", &block(), "index", &index));
        world.claim(&index, location(&index, INDEX_URL, None));
        world.claim(&car_cid(), location(&car_cid(), URL, Some(range)));
        world.file(INDEX_URL, index_bytes.clone());
        let places: Vec<At> = world.walk(Limits::default()).places().iter().map(|place| place.at).collect();
        assert_eq!(places, Vec::from_iter(expected), "{range:?}");
    }
}

#[test]
fn a_terabyte_is_not_asked_for() {
    let limits = Limits { bytes: 1 << 20, claims: 4 << 10, index: 1 << 16, ..Limits::default() };
    let mut world = World::default();
    let index = cid(CAR_INDEX, &satnav());
    world.claim(&block(), partition(&block(), &[car_cid()]));
    world.claim(&block(), linking("assert/inclusion", &car_cid(), "includes", &index));
    blob_and_index(&mut world, &index, vec![0; (1 << 16) + 1]);
    // The answer is longer than was allowed, which a host would have noticed before.
    let walk = world.walk(limits);
    assert!(walk.places().is_empty() && !walk.is_sure());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Claims at random between a few names: every walk ends within its limits, whatever leads where.
    #[test]
    fn every_walk_ends(claims in prop::collection::vec((0_u8..6, 0_u8..6, 0_u8..6), 0..60), requests in 0_u32..10, depth in 0_u8..6) {
        let name = |number: u8| match number {
            0 => block(),
            1 => car_cid(),
            number => cid(if number % 2 == 0 { CAR } else { DAG_CBOR }, &[number]),
        };
        let mut world = World::default();
        for (kind, from, to) in claims {
            let (from, to) = (name(from), name(to));
            let claim = match kind {
                0 => linking("assert/inclusion", &from, "includes", &to),
                1 => linking("assert/index", &from, "index", &to),
                2 => linking("assert/equals", &from, "equals", &to),
                3 => partition(&from, &[to, from]),
                4 => relation(&from, &[to], &to, Some(&from)),
                _ => location(&from, &format!("https://blobs.example.com/{to}"), None),
            };
            world.claim(&from, claim);
        }
        let limits = Limits { requests, depth, places: 3, ..Limits::default() };
        let walk = world.walk(limits);
        prop_assert!(walk.places().len() <= 3);
    }
}
