//! What a claims service of the worst kind can do, and what a good one brings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use hoverboard::claims::{Claims, Settings};
use hoverboard::metrics::Metrics;
use hoverboard_car::{BlockOffset, Writer};
use hoverboard_claims::{Limits, Location, Policy, write};
use hoverboard_index::Extent;
use hoverboard_store::ledger::{Budget, Ledger};
use hoverboard_store::library::{Located, Locator};
use hoverboard_store::{Bucket, CarCid};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::common::{cid, data};
use crate::web::{Page, Web};

const CARPARK: &str = "https://carpark.example.com/";

/// A service and our side of it. The web server is vouched for, so that it can be reached by plain HTTP.
struct World {
    web: Web,
    claims: Claims,
    metrics: Arc<Metrics>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let web = Web::start();
        let allowed = vec![web.url("").parse().expect("an origin"), "*.example.com".parse().expect("a host")];
        let policy = Policy { allowed, carparks: vec![CARPARK.parse().expect("a URL")] };
        let settings =
            Settings { service: web.url("/service").parse().expect("a URL"), policy: Arc::new(policy), limits };
        let metrics = Arc::new(Metrics::new());
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let bucket = Bucket::under(&store, &Path::default());
        Self { web, claims: Claims::new(settings, bucket, metrics.clone()).expect("made"), metrics }
    }

    /// The service says that the block lies there.
    fn claim(&self, block: &Cid, places: &[(String, u64, u64)]) {
        let location = |(url, offset, length): &(String, u64, u64)| Location {
            content: *block.hash(),
            url: url.clone(),
            offset: BlockOffset(*offset),
            length: *length,
        };
        let locations: Vec<Location> = places.iter().map(location).collect();
        let answer = write(&locations, &"did:web:example.com".parse().expect("a DID"), None);
        self.web.put(&path(block), Page::Bytes(answer));
    }

    async fn locate(&self, block: &Cid) -> Located {
        let account = Ledger::new(Budget::UNLIMITED).account();
        let located = self.claims.locate(vec![*block.hash()], account).await.expect("not spent");
        let [located] = <[Located; 1]>::try_from(located).expect("one answer");
        located
    }
}

fn path(block: &Cid) -> String {
    format!("/service/claims/multihash/{}", multibase::encode(multibase::Base::Base58Btc, block.hash().to_bytes()))
}

#[tokio::test]
async fn a_block_is_fetched_from_where_a_claim_says_if_its_hash_is_right() {
    let world = World::new(Limits::default());
    let block = data(1, 10_000);
    let blob = [data(2, 500), block.clone(), data(3, 500)].concat();
    world.web.put("/blob", Page::Bytes(blob));
    world.claim(&cid(&block), &[(world.web.url("/blob"), 500, 10_000)]);
    assert_eq!(world.locate(&cid(&block)).await, Located::Block(Bytes::from(block)));
    assert_eq!(world.metrics.claims.blocks.get(), 1);
}

#[tokio::test]
async fn someone_elses_bytes_are_not_taken_and_the_next_place_is_tried() {
    let world = World::new(Limits::default());
    let block = data(1, 1000);
    world.web.put("/wrong", Page::Bytes(data(2, 1000)));
    world.web.put("/half", Page::Half(block.clone()));
    world.web.put("/unranged", Page::Whole([data(9, 7), block.clone()].concat()));
    world.web.put("/broken", Page::Status(500));
    let bad = ["/wrong", "/half", "/unranged", "/broken", "/nowhere"];
    let bad: Vec<_> =
        bad.iter().map(|path| (world.web.url(path), if *path == "/unranged" { 7 } else { 0 }, 1000)).collect();
    world.claim(&cid(&block), &bad);
    assert_eq!(world.locate(&cid(&block)).await, Located::Unknown);
    world.web.put("/right", Page::Bytes(block.clone()));
    world.claim(&cid(&block), &[&bad[..], &[(world.web.url("/right"), 0, 1000)]].concat());
    assert_eq!(world.locate(&cid(&block)).await, Located::Block(block.into()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::new(Limits::default());
    let block = data(1, 1000);
    world.web.put("/target", Page::Bytes(block.clone()));
    world.web.put("/blob", Page::Redirect(world.web.url("/target")));
    world.claim(&cid(&block), &[(world.web.url("/blob"), 0, 1000)]);
    assert_eq!(world.locate(&cid(&block)).await, Located::Unknown);
    // Nor by the service itself.
    let other = data(2, 1000);
    world.web.put(&path(&cid(&other)), Page::Redirect(world.web.url("/target")));
    assert_eq!(world.locate(&cid(&other)).await, Located::Unknown);
    assert!(!world.web.asked().contains(&"/target".to_owned()), "{:?}", world.web.asked());
}

#[tokio::test]
async fn a_terabyte_is_hung_up_on() {
    let world = World::new(Limits { claims: 1 << 16, ..Limits::default() });
    let begun = Instant::now();
    for (number, page) in [Page::Terabyte, Page::Endless].into_iter().enumerate() {
        // As an answer to the question for claims.
        let block = data(number as u64, 1000);
        world.web.put(&path(&cid(&block)), page.clone());
        assert_eq!(world.locate(&cid(&block)).await, Located::Unknown);
        // A service that failed is left alone for two seconds.
        tokio::time::sleep(Duration::from_millis(2100)).await;
        // As the blob that a claim names, whose length is said to be a block's or a terabyte.
        world.web.put("/blob", page);
        for length in [1000, 1 << 40] {
            world.claim(&cid(&block), &[(world.web.url("/blob"), 0, length)]);
            assert_eq!(world.locate(&cid(&block)).await, Located::Unknown);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn loopback_and_hosts_that_nobody_allowed_are_not_asked() {
    let world = World::new(Limits::default());
    let victim = Web::start();
    let block = data(1, 1000);
    victim.put("/blob", Page::Bytes(block.clone()));
    let port = victim.addr.port();
    let urls = [
        format!("http://127.0.0.1:{port}/blob"),
        format!("https://127.0.0.1:{port}/blob"),
        format!("http://localhost:{port}/blob"),
        format!("http://[::ffff:127.0.0.1]:{port}/blob"),
        "https://169.254.169.254/latest".to_owned(),
        "https://evil.example.org/".to_owned(),
    ];
    world.claim(&cid(&block), &urls.clone().map(|url| (url, 0, 1000)));
    // What may not be asked is no place: nobody has it for us.
    assert_eq!(world.locate(&cid(&block)).await, Located::Missing);
    assert_eq!(world.metrics.claims.refused.get(), urls.len() as u64);
    assert!(victim.asked().is_empty(), "{:?}", victim.asked());
}

#[tokio::test]
async fn a_claim_of_our_own_carpark_names_a_place_in_the_bucket() {
    let world = World::new(Limits::default());
    let car = CarCid::of_digest([7; 32]);
    let block = cid(b"x");
    world.claim(&block, &[(format!("{CARPARK}{car}/{car}.car"), 96, 1)]);
    let Located::At { places, .. } = world.locate(&block).await else { panic!("no place") };
    assert_eq!((places.len(), places[0].car), (1, car));
    assert_eq!(places[0].extent, Extent::Bytes { offset: BlockOffset(96), length: 1 });
    assert_eq!(world.web.asked().len(), 1);
}

#[tokio::test]
async fn nobody_claiming_a_block_is_remembered_and_a_service_that_is_down_is_no_miss() {
    let world = World::new(Limits::default());
    let (unclaimed, unknown) = (cid(b"unclaimed"), cid(b"unknown"));
    world.claim(&unclaimed, &[]);
    for _ in 0..3 {
        assert_eq!(world.locate(&unclaimed).await, Located::Missing);
    }
    assert_eq!(world.web.asked().len(), 1);
    world.web.put(&path(&unknown), Page::Status(503));
    for _ in 0..3 {
        assert_eq!(world.locate(&unknown).await, Located::Unknown);
    }
    assert_eq!(world.web.asked().len(), 2);
}

#[tokio::test]
async fn a_section_is_cut_out_of_a_car_that_an_index_is_claimed_for() {
    let world = World::new(Limits::default());
    let block = data(1, 5000);
    let mut writer = Writer::new(Vec::new(), &[cid(&block)]).expect("begun");
    let mut builder = hoverboard_car::index::IndexBuilder::new(hoverboard_car::index::Codec::MultihashIndexSorted);
    for data in [data(2, 300), block.clone(), data(3, 300)] {
        let offset = writer.write(&cid(&data), &data).expect("written");
        builder.push(cid(&data).hash(), offset);
    }
    let (car, index) = (writer.finish().expect("finished"), builder.finish());
    let answer = partition(&world.web, &cid(&block), &car, &index);
    world.web.put(&path(&cid(&block)), Page::Bytes(answer));
    world.web.put("/car", Page::Bytes(car));
    world.web.put("/index", Page::Bytes(index));
    assert_eq!(world.locate(&cid(&block)).await, Located::Block(block.into()));
}

/// An answer with all there is to know: the block lies in a CAR, the CAR has an index, and where both are.
fn partition(web: &Web, block: &Cid, car: &[u8], index: &[u8]) -> Vec<u8> {
    use minicbor::Encoder;
    use minicbor::data::Tag;
    let named = |codec, data: &[u8]| Cid::new_v1(codec, hoverboard_dag::multihash(0x12, 32, data).expect("supported"));
    let (car, index) = (named(0x0202, car), named(0x0401, index));
    type Out = Encoder<Vec<u8>>;
    fn link(out: &mut Out, cid: &Cid) {
        out.tag(Tag::new(42)).expect("written").bytes(&[&[0][..], &cid.to_bytes()].concat()).expect("written");
    }
    let location = |url: String| {
        move |out: &mut Out| {
            out.str("location").expect("written").array(1).expect("written").str(&url).expect("written");
        }
    };
    let claim = |can: &str, content: &Cid, field: &dyn Fn(&mut Out)| {
        let mut out = Encoder::new(Vec::new());
        out.map(1).expect("written").str("att").expect("written").array(1).expect("written").map(2).expect("written");
        out.str("can").expect("written").str(can).expect("written").str("nb").expect("written");
        out.map(2).expect("written").str("content").expect("written");
        link(&mut out, content);
        field(&mut out);
        let invocation = out.into_writer();
        let mut out = Encoder::new(Vec::new());
        out.map(1).expect("written").str("ucan@0.9.1").expect("written");
        link(&mut out, &named(0x71, &invocation));
        let format = out.into_writer();
        let mut writer = Writer::new(Vec::new(), &[named(0x71, &format)]).expect("begun");
        for block in [invocation, format] {
            writer.write(&named(0x71, &block), &block).expect("written");
        }
        writer.finish().expect("finished")
    };
    let claims = [
        claim("assert/partition", block, &|out| {
            out.str("parts").expect("written").array(1).expect("written");
            link(out, &car);
        }),
        claim("assert/inclusion", &car, &|out| {
            out.str("includes").expect("written");
            link(out, &index);
        }),
        claim("assert/location", &car, &location(web.url("/car"))),
        claim("assert/location", &index, &location(web.url("/index"))),
    ];
    let mut writer = Writer::new(Vec::new(), &[]).expect("begun");
    for claim in claims {
        writer.write(&named(0x0202, &claim), &claim).expect("written");
    }
    writer.finish().expect("finished")
}
