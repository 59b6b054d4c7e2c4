//! `hoverboard import` as a user meets it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::assert::OutputAssertExt;
use hoverboard_car::Writer;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use crate::common::{Block, car_of, cid, data};
use crate::process::hoverboard;
use crate::versitygw::Versitygw;

pub(crate) fn import(to: &Path) -> Command {
    let mut command = hoverboard();
    command.arg("import").arg("--to").arg(to);
    command
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/car/tests/fixtures").join(name)
}

/// Every file under a folder with its length, by its path in it, sorted; but for the index, whose files are others each
/// time.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(inner).into_iter().flatten() {
            let path = entry.expect("listed").path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let key = path.strip_prefix(folder).expect("inside").to_str().expect("utf-8").to_owned();
                    if !key.starts_with("index/") {
                        found.push((key, path.metadata().expect("there").len()));
                    }
                }
            }
        }
    }
    found.sort();
    found
}

const CAR: &str = "bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq";
const ROOT: &str = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q";

/// What a store has after the import of the worked CAR.
fn worked() -> Vec<(String, u64)> {
    vec![
        (format!("carpark/{CAR}/{CAR}.car"), 101),
        (format!("dudewhere/{ROOT}/{CAR}"), 0),
        (format!("satnav/{CAR}/{CAR}.car.idx"), 70),
    ]
}

#[test]
fn a_car_is_put_where_readers_look_and_named_with_its_root_on_stdout() {
    let store = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let done = import(store.path()).arg(fixture("eipfs/test-cid1.car")).assert().success();
        done.stdout(format!("{CAR} {ROOT}\n"));
        assert_eq!(files(store.path()), worked());
    }
}

#[test]
fn a_pipe_is_a_car_too() {
    let store = tempfile::tempdir().expect("a folder");
    let car = fs::File::open(fixture("eipfs/test-cid1.car")).expect("a fixture");
    import(store.path()).arg("-").stdin(car).assert().success().stdout(format!("{CAR} {ROOT}\n"));
    assert_eq!(files(store.path()), worked());
}

#[test]
fn a_damaged_car_is_named_with_the_byte_and_nothing_of_it_is_written_but_the_others_are() {
    let store = tempfile::tempdir().expect("a folder");
    let cars = tempfile::tempdir().expect("a folder");
    let blocks = car_of(&cars.path().join("bad.car"), 1, 3, 500);
    let mut bytes = fs::read(cars.path().join("bad.car")).expect("there");
    let at = blocks[2].offset.0;
    bytes[at as usize + 100] ^= 1;
    fs::write(cars.path().join("bad.car"), bytes).expect("written");
    fs::copy(fixture("eipfs/test-cid1.car"), cars.path().join("good.car")).expect("copied");
    import(store.path())
        .arg(cars.path())
        .assert()
        .code(1)
        .stdout(format!("{CAR} {ROOT}\n"))
        .stderr(contains("bad.car").and(contains(format!("section at byte {at} does not verify"))));
    assert_eq!(files(store.path()), worked());

    let bad = fs::File::open(cars.path().join("bad.car")).expect("there");
    import(store.path()).arg("-").stdin(bad).assert().code(1).stdout("").stderr(contains(format!("byte {at}")));
    assert_eq!(files(store.path()), worked());
}

#[test]
fn roots_may_be_given() {
    let store = tempfile::tempdir().expect("a folder");
    let cars = tempfile::tempdir().expect("a folder");
    let path = cars.path().join("a.car");
    let blocks = car_of(&path, 1, 100, 10);
    import(store.path()).arg(&path).assert().code(1).stderr(contains("name the roots"));
    let roots = [blocks[3].cid, blocks[7].cid];
    let flags = roots.iter().flat_map(|root| ["--root".to_owned(), root.to_string()]);
    let output = import(store.path()).arg(&path).args(flags).assert().success().get_output().stdout.clone();
    let printed: Vec<String> = String::from_utf8(output).expect("utf-8").lines().map(str::to_owned).collect();
    let named: Vec<&str> = printed.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(named, roots.map(|root| root.to_string()));
    let entries = files(&store.path().join("dudewhere"));
    assert_eq!(entries.len(), 2);
}

#[test]
fn what_cannot_be_a_store_is_refused_before_any_car_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, b"").expect("written");
    let car = fixture("eipfs/test-cid1.car");
    for wrong in ["gs://bucket", "s3://"] {
        import(Path::new(wrong)).arg(&car).assert().code(2).stdout("").stderr(contains("s3://BUCKET"));
    }
    hoverboard().arg("import").arg(&car).assert().code(2);
    import(&file).arg(&car).assert().code(64).stderr(contains("file"));
    import(Path::new("s3://bucket")).arg(&car).assert().code(64).stderr(contains("AWS_ACCESS_KEY_ID"));
    let plain = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_ENDPOINT_URL", "http://192.0.2.1")];
    import(Path::new("s3://bucket")).arg(&car).envs(plain).assert().code(64).stderr(contains("AWS_ALLOW_HTTP"));
}

/// A CAR of so many MiB, and its blocks.
fn large(folder: &TempDir, mib: u64) -> (PathBuf, Vec<Block>) {
    let path = folder.path().join("large.car");
    let root = data(0, 1 << 20);
    let file = fs::File::create(&path).expect("created");
    let mut writer = Writer::new(std::io::BufWriter::new(file), &[cid(&root)]).expect("begun");
    let mut blocks = Vec::new();
    for number in 0..mib {
        let data = data(number, 1 << 20);
        let cid = cid(&data);
        let offset = writer.write(&cid, &data).expect("written");
        blocks.push(Block { cid, data, offset });
    }
    writer.finish().expect("finished");
    (path, blocks)
}

#[test]
fn an_import_that_is_killed_at_any_time_is_made_good_by_the_next_one() {
    let cars = tempfile::tempdir().expect("a folder");
    let (path, blocks) = large(&cars, 40);
    let whole = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    import(whole.path()).arg(&path).assert().success();
    let takes = begun.elapsed();

    let store = tempfile::tempdir().expect("a folder");
    for step in 0..8 {
        let mut running =
            import(store.path()).arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        std::thread::sleep(takes.mul_f64(f64::from(step) / 8.0));
        let _ = running.kill();
        let _ = running.wait();
        // An entry is there only when what it leads to is.
        let there = files(store.path());
        if there.iter().any(|(key, _)| key.starts_with("dudewhere/") && !key.contains('#')) {
            let visible: Vec<_> = there.into_iter().filter(|(key, _)| !key.contains('#')).collect();
            assert_eq!(visible, files(whole.path()));
        }
    }
    import(store.path()).arg(&path).assert().success().stdout(contains(blocks[0].cid.to_string()));
    let there: Vec<_> = files(store.path()).into_iter().filter(|(key, _)| !key.contains('#')).collect();
    assert_eq!(there, files(whole.path()));
    let (key, _) = &there[0];
    assert!(fs::read(store.path().join(key)).expect("there") == fs::read(&path).expect("there"));
}

#[test]
fn an_interrupted_import_gives_its_upload_up() {
    let cars = tempfile::tempdir().expect("a folder");
    let store = tempfile::tempdir().expect("a folder");
    let mut running = import(store.path()).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
    let (path, _) = large(&cars, 2);
    let mut stdin = running.stdin.take().expect("piped");
    let car = fs::read(path).expect("there");
    stdin.write_all(&car[..1_500_000]).expect("taken");
    std::thread::sleep(Duration::from_millis(200));
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    // The end of its input, if it came first, would be the end of the CAR.
    let begun = std::time::Instant::now();
    while running.try_wait().expect("known").is_none() && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(stdin);
    let output = running.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(143));
    assert_eq!(output.stdout, b"");
    assert_eq!(files(store.path()), []);
}

#[test]
fn s3_takes_a_large_car_in_parts() {
    let Some(server) = Versitygw::start() else { return };
    let cars = tempfile::tempdir().expect("a folder");
    let (path, blocks) = large(&cars, 40);
    let to = Path::new("s3://cars/some/prefix");
    let output = import(to).arg(&path).envs(server.variables()).assert().success().get_output().stdout.clone();
    let line = String::from_utf8(output).expect("utf-8");
    let (car, root) = line.trim().split_once(' ').expect("two words");
    assert_eq!(root, blocks[0].cid.to_string());
    let stored = fs::read(server.object(&format!("some/prefix/carpark/{car}/{car}.car"))).expect("there");
    assert!(stored == fs::read(&path).expect("there"));
    assert!(server.object(&format!("some/prefix/satnav/{car}/{car}.car.idx")).exists());
    assert!(server.object(&format!("some/prefix/dudewhere/{root}/{car}")).exists());

    let refused = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "wrong")];
    let wrong = import(to).arg(&path).envs(server.variables()).envs(refused).assert().code(1);
    wrong.stdout("").stderr(contains("SignatureDoesNotMatch"));
}
