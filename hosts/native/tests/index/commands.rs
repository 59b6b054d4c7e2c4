//! Each command, over a folder and over S3.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;

use crate::process::hoverboard;
use crate::stock::{Place, Said, Stock};
use crate::versitygw::Versitygw;

/// Runs a case over a folder, and over S3 if there is a server.
fn everywhere(case: impl Fn(&Place)) {
    let folder = tempfile::tempdir().expect("a folder");
    case(&Place::folder(&folder));
    if let Some(server) = Versitygw::start() {
        let location = "s3://cars/some/prefix".parse().expect("a location");
        case(&Place { location, variables: server.variables() });
    }
}

fn import(place: &Place, stock: &Stock) {
    let mut command = place.command(&["import"]);
    command.args(stock.cars.iter().map(|car| &car.path)).assert().success();
}

fn expect_all_found(place: &Place, stock: &Stock) {
    for car in &stock.cars {
        let found = place.locate(&car.blocks);
        // Of the block that all have, four CARs are named.
        assert!(found[..car.blocks.len() - 1].iter().all(|said| said.is_in(car)), "{found:?}");
        assert!(matches!(found.last(), Some(Said::In(_))), "{found:?}");
    }
}

#[test]
fn import_keeps_the_index_up_to_date() {
    everywhere(|place| {
        let stock = Stock::new(6, 50);
        import(place, &stock);
        expect_all_found(place, &stock);
        place.command(&["index", "check"]).assert().success().stdout("the index is good\n");
        place.command(&["index"]).assert().success().stdout("0 CARs with 0 blocks added, 6 in all\n");
        let elsewhere = Stock::new(7, 60);
        assert_eq!(place.locate(&elsewhere.cars[6].blocks[..1]), [Said::Missing]);
        place.command(&["index", "stats"]).assert().success().stdout(contains("complete    yes"));
    });
}

#[test]
fn a_store_without_an_index_gets_one() {
    everywhere(|place| {
        let stock = Stock::new(5, 50);
        import(place, &stock);
        remove_index(place);
        assert_eq!(place.locate(&stock.cars[0].blocks[..1]), [Said::Nothing]);
        place.command(&["index", "stats"]).assert().code(1).stderr(contains("`hoverboard index` makes it"));
        // An import does not begin one that would be silent about the others.
        let late = Stock::new(6, 40);
        let mut command = place.command(&["import"]);
        command.arg(&late.cars[5].path).assert().success().stderr(contains("no index"));
        place.command(&["index"]).assert().success().stdout(contains("6 CARs with").and(contains("6 in all")));
        expect_all_found(place, &stock);
        assert!(place.locate(&late.cars[5].blocks[..1])[0].is_in(&late.cars[5]));
        place.command(&["index", "compact", "--all"]).assert().success().stdout(contains("runs        1,"));
        expect_all_found(place, &stock);
    });
}

/// Removes all of the index, as one does who has an old store.
fn remove_index(place: &Place) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use futures_util::{StreamExt, TryStreamExt};
        let access = hoverboard::store::Access::Existing;
        let bucket = place.location.open_with(access, place.variables.clone()).expect("opened");
        let keys = bucket.index.list(None).map_ok(|meta| meta.location).boxed();
        bucket.index.delete_stream(keys).try_collect::<Vec<_>>().await.expect("deleted");
    });
}

#[test]
fn a_car_is_removed_by_its_name_or_its_root() {
    everywhere(|place| {
        let stock = Stock::new(3, 20);
        import(place, &stock);
        let [one, two, three] = &stock.cars[..] else { panic!("three") };
        let named = one.cid.to_string();
        place.command(&["remove", &named]).assert().success().stdout(format!("{named}\n"));
        place.command(&["remove", &two.blocks[0].to_string()]).assert().success().stdout(format!("{}\n", two.cid));
        for gone in [one, two] {
            let found = place.locate(&gone.blocks[..20]);
            assert!(found.iter().all(|said| *said == Said::Missing), "{found:?}");
        }
        assert_eq!(place.locate(&[stock.common()]), [Said::In(vec![three.cid])]);
        place.command(&["remove", &named]).assert().success().stderr(contains("nothing of it is there"));
        place.command(&["index", "check"]).assert().success();
        // And comes back when it is imported again.
        place.command(&["import"]).arg(&one.path).assert().success();
        assert!(place.locate(&one.blocks[..1])[0].is_in(one));
    });
}

#[test]
fn what_is_damaged_is_named_and_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::folder(&folder);
    let stock = Stock::new(4, 50);
    import(&place, &stock);
    let runs = folder.path().join("store/index/runs");
    let run = std::fs::read_dir(runs).expect("there").next().expect("a run").expect("listed").path();
    let shard = run.join("0000");
    let mut bytes = std::fs::read(&shard).expect("there");
    bytes[1_000] ^= 1;
    std::fs::write(&shard, bytes).expect("written");
    let id = run.file_name().expect("a name").to_str().expect("utf-8").to_owned();
    place.command(&["index", "check"]).assert().code(1).stdout(contains(format!("runs/{id}/0000 is damaged")));
    assert_eq!(place.locate(&stock.cars[0].blocks[..1]), [Said::Unknown]);
    place.command(&["index", "check", "--mend"]).assert().success().stdout(contains("the index is good"));
    expect_all_found(&place, &stock);
}

#[test]
fn a_store_has_to_be_named_and_to_be_there() {
    hoverboard().arg("index").assert().code(64).stderr(contains("--store"));
    hoverboard().args(["index", "--store", "/nowhere/at/all"]).assert().code(64).stderr(contains("/nowhere"));
    hoverboard().args(["remove", "--store", "/nowhere/at/all", "nocid"]).assert().code(2);
}
