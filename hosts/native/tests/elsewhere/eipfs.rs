//! `hoverboard index eipfs`: tables of Elastic IPFS become an index.

use std::fs;
use std::io::Write;
use std::path::Path;

use assert_cmd::assert::OutputAssertExt;
use cid::Cid;
use flate2::Compression;
use flate2::write::GzEncoder;
use hoverboard_car::{Options, Reader};
use predicates::prelude::*;
use predicates::str::contains;

use crate::common::car_of;
use crate::process::hoverboard;
use crate::told::{serve, store};

/// The rows that Elastic IPFS has of a CAR, by table.
struct Tables {
    blocks: Vec<String>,
    car: String,
}

fn tables(car: &Path, bucket: &str) -> Tables {
    let name = car.file_stem().and_then(|name| name.to_str()).expect("a name");
    let path = format!("us-west-2/{bucket}/{name}/{name}.car");
    let reader = Reader::new(fs::File::open(car).expect("there"), Options::default()).expect("a CAR");
    let roots: Vec<String> = reader.header().roots.iter().map(|root| format!(r#"{{"S":"{root}"}}"#)).collect();
    let size = fs::metadata(car).expect("there").len();
    let row = |cid: &Cid, offset: u64, length: u64| {
        let block = multibase::encode(multibase::Base::Base58Btc, cid.hash().to_bytes());
        format!(
            r#"{{"Item":{{"carpath":{{"S":"{path}"}},"blockmultihash":{{"S":"{block}"}},"length":{{"N":"{length}"}},"offset":{{"N":"{offset}"}}}}}}"#
        )
    };
    Tables {
        blocks: reader
            .map(|section| {
                let head = section.expect("a section").head;
                row(&head.cid, head.block_offset().0, head.data_len)
            })
            .collect(),
        car: format!(
            r#"{{"Item":{{"path":{{"S":"{path}"}},"roots":{{"L":[{}]}},"fileSize":{{"N":"{size}"}},"version":{{"N":"1"}}}}}}"#,
            roots.join(",")
        ),
    }
}

/// An export of one table, in two files, with what else lies in such a folder.
fn export(folder: &Path, table: &str, rows: &[String]) {
    let data = folder.join(table).join("AWSDynamoDB/01234-abcd/data");
    fs::create_dir_all(&data).expect("made");
    fs::write(data.join("../manifest-files.json"), "{}\n").expect("written");
    fs::write(data.join("../_started"), "").expect("written");
    for (number, rows) in rows.chunks(rows.len().div_ceil(2).max(1)).enumerate() {
        let file = fs::File::create(data.join(format!("{number}.json.gz"))).expect("made");
        let mut file = GzEncoder::new(file, Compression::fast());
        rows.iter().for_each(|row| writeln!(file, "{row}").expect("written"));
        file.finish().expect("finished");
    }
}

/// The only CAR in a store.
fn only_car(folder: &Path) -> std::path::PathBuf {
    let cars = fs::read_dir(folder.join("store/carpark")).expect("a folder");
    let [name] =
        <[_; 1]>::try_from(cars.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()).expect("one CAR");
    name.join(name.file_name().expect("a name")).with_extension("car")
}

/// Leaves nothing of a store but its CARs.
fn strip(folder: &Path) {
    for place in ["index", "satnav", "dudewhere"] {
        fs::remove_dir_all(folder.join("store").join(place)).expect("removed");
    }
}

fn index(folder: &Path, words: &[&str]) -> std::process::Command {
    let mut command = hoverboard();
    command.arg("index").args(words).arg("--store").arg(folder.join("store"));
    command
}

#[test]
fn the_tables_become_an_index_by_which_blocks_are_served_and_no_car_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = store(folder.path());
    strip(folder.path());
    let car = only_car(folder.path());
    let tables = tables(&car, "dotstorage-prod-1");
    export(folder.path(), "blocks", &tables.blocks);
    export(folder.path(), "cars", &[tables.car]);
    let exports = [folder.path().join("blocks"), folder.path().join("cars")];
    // Nothing but its length is asked of the CAR.
    let bytes = fs::read(&car).expect("there");
    fs::write(&car, vec![0; bytes.len()]).expect("written");
    index(folder.path(), &["eipfs"]).args(&exports).assert().success().stdout("20 rows of blocks read\n1 CAR added\n");
    fs::write(&car, &bytes).expect("written");
    index(folder.path(), &["eipfs"]).args(&exports).assert().success().stdout(contains("1 CAR indexed already"));

    // A block in the middle, of which no root says anything.
    fs::create_dir_all(folder.path().join("store/dudewhere")).expect("made");
    let server = serve(folder.path(), &[]);
    let out = folder.path().join("out.car");
    let mut get = hoverboard();
    get.args(["get", &blocks[7].cid.to_string(), "--from", &server.addr, "-o"]).arg(&out).assert().success();
    let mut reader = Reader::new(fs::File::open(&out).expect("there"), Options::default()).expect("a CAR");
    assert_eq!(reader.next().expect("a block").expect("whole").data, blocks[7].data);
}

#[test]
fn a_car_of_which_the_tables_do_not_say_everything_is_left_to_be_indexed() {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path());
    let Tables { blocks, car } = tables(&only_car(folder.path()), "cars");
    let without =
        |number: usize| blocks.iter().enumerate().filter(move |(at, _)| *at != number).map(|(_, row)| row.clone());
    for (rows, cars, said) in [
        (without(7).collect::<Vec<_>>(), vec![car.clone()], "1 CAR with blocks that no row names"),
        (without(0).collect(), vec![car.clone()], "1 CAR with blocks that no row names"),
        (without(19).collect(), vec![car.clone()], "1 CAR with blocks that no row names"),
        (blocks.clone(), Vec::new(), "1 CAR that v1-cars does not have"),
        (
            blocks.clone(),
            vec![car.replace(r#""fileSize":{"N":""#, r#""fileSize":{"N":"1"#)],
            "1 CAR with blocks that no row names",
        ),
    ] {
        let _ = fs::remove_dir_all(folder.path().join("store/index"));
        for table in ["blocks", "cars"] {
            let _ = fs::remove_dir_all(folder.path().join(table));
        }
        export(folder.path(), "blocks", &rows);
        export(folder.path(), "cars", &cars);
        let exports = [folder.path().join("blocks"), folder.path().join("cars")];
        index(folder.path(), &["eipfs"]).args(&exports).assert().success().stdout(contains(said));
        index(folder.path(), &[]).assert().success().stdout(contains("1 CAR with 20 blocks added"));
    }
}

#[test]
fn cars_that_are_not_there_and_lines_that_are_damaged_are_said() {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path());
    let other = folder.path().join("bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq.car");
    car_of(&other, 9, 3, 100);
    let Tables { mut blocks, car } = tables(&other, "cars");
    blocks.insert(1, "{\"Item\":{".to_owned());
    blocks.push(blocks[0].replace("/bagbaiera", "/complete").replace(".car", ""));
    export(folder.path(), "blocks", &blocks);
    export(folder.path(), "cars", &[car]);
    let exports = [folder.path().join("blocks"), folder.path().join("cars")];
    let said = index(folder.path(), &["eipfs"]).args(&exports).assert().code(1);
    said.stdout(
        contains("3 rows of blocks read").and(contains("1 CAR not in the store")).and(contains("1 row whose path")),
    )
    .stderr(contains("0.json.gz:2: "));
}
