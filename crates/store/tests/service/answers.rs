//! What is answered.

use hoverboard_car::{BlockOffset, SectionOffset};
use hoverboard_claims::{Assertion, ByteRange, read};
use hoverboard_index::Extent;
use hoverboard_store::library::{CarPlace, Located};
use hoverboard_store::service::Access;
use serde_json::json;

use crate::support::{CARPARK, Car, Place, Runs, cid, z58};

fn at(places: Vec<CarPlace>, more: bool) -> Located {
    Located::At { places, more }
}

fn section(car: &Car, block: usize) -> CarPlace {
    CarPlace { car: car.cid, extent: Extent::Section { offset: car.blocks[block].2, at_most: None } }
}

#[tokio::test]
async fn a_block_is_named_with_its_car_its_own_bytes_and_the_roots_whatever_the_index_knows() {
    let car = Car::new(&[b"root", b"leaf"]);
    let (leaf, data, offset) = &car.blocks[1];
    // The head of a section is a varint of one byte and a CID of 36.
    let bytes = offset.0 + 37;
    let extents = [
        Extent::Section { offset: *offset, at_most: None },
        Extent::Exact { offset: *offset, length: 37 + data.len() as u32, cid_len: 36 },
        Extent::Bytes { offset: BlockOffset(bytes), length: data.len() as u32 },
    ];
    for extent in extents {
        let place = Place::new(vec![(*leaf.hash(), at(vec![CarPlace { car: car.cid, extent }], false))]);
        place.put(&car, false).await;
        let expected = json!({
            "multihash": z58(leaf),
            "status": "found",
            "places": [{
                "car": car.cid.to_string(), "key": format!("{0}/{0}.car", car.cid), "offset": bytes, "length": 4,
                "roots": [car.blocks[0].0.to_string()],
            }],
            "more": false,
        });
        assert_eq!(place.block(leaf).await, (200, expected), "{extent:?}");
    }
}

#[tokio::test]
async fn a_car_at_the_key_of_newer_writers_is_named_by_it() {
    let car = Car::new(&[b"root"]);
    let root = car.blocks[0].0;
    let place = Place::new(vec![(*root.hash(), at(vec![section(&car, 0)], false))]);
    place.put(&car, true).await;
    let (status, body) = place.block(&root).await;
    let key = hoverboard_store::layout::blob(&car.cid).to_string();
    assert_eq!((status, body["places"][0]["key"].as_str()), (200, Some(&*key)));
}

#[tokio::test]
async fn missing_is_said_only_of_what_is_certain() {
    let car = Car::new(&[b"root", b"leaf"]);
    let (root, leaf) = (car.blocks[0].0, car.blocks[1].0);
    let wrong = CarPlace { car: car.cid, extent: Extent::Section { offset: car.blocks[0].2, at_most: None } };
    let beyond = CarPlace { car: car.cid, extent: Extent::Section { offset: SectionOffset(1 << 20), at_most: None } };
    let gone = section(&Car::new(&[b"other"]), 0);
    for (located, status) in [
        (Located::Missing, 404),
        (Located::Unknown, 503),
        (at(vec![gone], false), 404),
        (at(vec![gone], true), 503),
        (at(vec![wrong], false), 503),
        (at(vec![beyond], false), 503),
        (at(Vec::new(), true), 503),
        (at(Vec::new(), false), 503),
        (at(vec![gone, wrong, section(&car, 1)], false), 200),
    ] {
        let place = Place::new(vec![(*leaf.hash(), located.clone())]);
        place.put(&car, false).await;
        assert_eq!(place.block(&leaf).await.0, status, "{located:?}");
    }
    assert_eq!(Place::without_index().block(&root).await.0, 503);
}

#[tokio::test]
async fn nothing_is_told_of_a_denied_block() {
    let car = Car::new(&[b"denied", b"other"]);
    let told = [0, 1].map(|block| (*car.blocks[block].0.hash(), at(vec![section(&car, block)], false)));
    let place = Place::new(told.into());
    place.put(&car, false).await;
    let denied = car.blocks[0].0;
    let (status, body) = place.block(&denied).await;
    assert_eq!((status, &body["status"], &body["places"]), (410, &json!("denied"), &json!([])));
    assert_eq!(place.ask("GET", &format!("/claims/cid/{denied}"), "").await.unwrap().status, 410);
    // Those beside it get their own answers.
    let names = json!([z58(&denied), z58(&car.blocks[1].0)]).to_string();
    let batch = place.ask("POST", "/blocks", &names).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
    assert_eq!((&body["blocks"][0]["status"], &body["blocks"][1]["status"]), (&json!("denied"), &json!("found")));
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let car = Car::new(&[b"a", b"b", b"c"]);
    let told = [2, 0].map(|block| (*car.blocks[block].0.hash(), at(vec![section(&car, block)], false)));
    let place = Place::new(told.into());
    place.put(&car, false).await;
    let names: Vec<String> = car.blocks.iter().map(|(cid, ..)| cid.to_string()).collect();
    let response = place.ask("POST", "/blocks", &json!(names).to_string()).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let blocks = body["blocks"].as_array().unwrap();
    let said: Vec<_> = blocks.iter().map(|block| (block["multihash"].as_str(), block["status"].as_str())).collect();
    let names: Vec<String> = car.blocks.iter().map(|(cid, ..)| z58(cid)).collect();
    let expected = names.iter().zip(["found", "missing", "found"]);
    assert_eq!(said, Vec::from_iter(expected.map(|(name, status)| (Some(&**name), Some(status)))));
}

#[tokio::test]
async fn claims_are_those_of_the_format_and_none_is_an_empty_car() {
    let car = Car::new(&[b"root"]);
    let root = car.blocks[0].0;
    let place = Place::new(vec![(*root.hash(), at(vec![section(&car, 0)], false))]);
    place.put(&car, false).await;
    for path in [format!("/claims/multihash/{}", z58(&root)), format!("/claims/cid/{root}")] {
        let response = place.ask("GET", &path, "").await.unwrap();
        let claims = read(&response.body).unwrap().claims;
        assert_eq!((response.status, claims.len(), claims[0].content), (200, 1, *root.hash()));
        let urls = vec![format!("{CARPARK}{0}/{0}.car", car.cid)];
        let range = Some(ByteRange { offset: BlockOffset(car.blocks[0].2.0 + 37), length: Some(4) });
        assert_eq!(claims[0].assertion, Assertion::Location { urls, range });
    }
    let none = place.ask("GET", &format!("/claims/cid/{}", cid(b"none")), "").await.unwrap();
    assert_eq!((none.status, read(&none.body).unwrap().claims.len()), (200, 0));
    let path = format!("/claims/cid/{root}");
    assert_eq!(Place::without_index().ask("GET", &path, "").await.unwrap().status, 503);
    let place = Place::with(Runs::default(), Access::Public, false);
    assert_eq!(place.ask("GET", &path, "").await.unwrap().status, 501);
}
