//! hoverboard and kubo in turn, with the same blocks and the same client.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::process::{cpu_seconds, resident_bytes};
use super::report::{self, median};
use crate::cache::Cache;
use crate::interop::kubo::{Identity, Ports, Repo};
use crate::interop::programs::{Hoverboard, Served};
use crate::setup;
use crate::shell::{self, cargo, root};

const MIB: f64 = 1024.0 * 1024.0;
const IDLE: usize = 1000;

/// Blocks to serve.
struct Load {
    name: &'static str,
    blocks: u64,
    size: usize,
    /// Wants at a time: below the 1,024 that kubo keeps of one peer.
    in_flight: usize,
}

const LARGE: Load = Load { name: "large", blocks: 4096, size: 256 * 1024, in_flight: 256 };
const SMALL: Load = Load { name: "small", blocks: 100_000, size: 1024, in_flight: 900 };
/// Only indexed: kubo would take minutes to import it.
const MILLION: Load = Load { name: "million", blocks: 1_000_000, size: 1024, in_flight: 900 };

/// One fetch of a load.
struct Fetch {
    cpu: f64,
    seconds: f64,
}

impl Fetch {
    fn mib_per_second(&self, load: &Load) -> f64 {
        load.mib() / self.seconds
    }
}

impl Load {
    fn mib(&self) -> f64 {
        self.blocks as f64 * self.size as f64 / MIB
    }
}

struct Bench {
    hoverboard: Hoverboard,
    generator: PathBuf,
    folder: PathBuf,
    scratch: PathBuf,
}

pub(super) fn run(cache: &Cache, rounds: usize) -> Result<()> {
    let ipfs = setup::kubo::ensure(cache)?;
    shell::run(cargo().args(["build", "--release", "--package", "hoverboard-bench"]))?;
    let bench = Bench {
        hoverboard: Hoverboard::build()?,
        generator: root().join("target/release/hoverboard-bench"),
        folder: cache.folder("bench")?,
        scratch: cache.fresh_folder("run/bench")?,
    };
    let (large, small, million) = (bench.car(&LARGE)?, bench.car(&SMALL)?, bench.car(&MILLION)?);
    let repo = Repo::init(&ipfs, &bench.scratch, "kubo", Identity::Ed25519, Ports::Free)?;
    repo.import(&large)?;
    repo.import(&small)?;
    let kubo = repo.start()?;
    let addresses = kubo.addresses()?;
    let kubo = Served { addresses, daemon: kubo.into_daemon() };

    let mut rows = Vec::new();
    rows.extend(bench.compare(&kubo, &LARGE, &large, rounds)?);
    rows.extend(bench.compare(&kubo, &SMALL, &small, rounds)?);
    rows.push(bench.idle(&kubo, &large, rounds)?);
    rows.extend(bench.starts(&large, "1 GiB of 256 KiB blocks", rounds)?);
    rows.extend(bench.starts(&million, "a million 1 KiB blocks", rounds)?);
    let head = "| | kubo | hoverboard | ratio |\n|---|---|---|---|\n";
    report::write("kubo", &format!("{head}{}", rows.concat()))
}

impl Bench {
    /// The CAR of a load, made if it is not there.
    fn car(&self, load: &Load) -> Result<PathBuf> {
        let path = self.folder.join(format!("{}-{}x{}.car", load.name, load.blocks, load.size));
        if !path.exists() {
            let partial = path.with_extension("partial");
            let (blocks, size) = (load.blocks.to_string(), load.size.to_string());
            let mut generate = Command::new(&self.generator);
            shell::run(generate.args(["generate", "--blocks", &blocks, "--size", &size]).arg(&partial))?;
            fs::rename(&partial, &path)?;
        }
        // Into the page cache, and aged beyond the two seconds in which a change time is not trusted.
        std::io::copy(&mut File::open(&path)?, &mut std::io::sink())?;
        std::thread::sleep(std::time::Duration::from_secs(3));
        Ok(path)
    }

    fn fetch(&self, served: &Served, car: &Path, load: &Load) -> Result<Fetch> {
        let pid = served.daemon.id();
        let before = cpu_seconds(pid)?;
        let mut fetch = Command::new(&self.generator);
        fetch.args(["fetch", served.tcp()?, "--in-flight", &load.in_flight.to_string(), "--car"]).arg(car);
        let printed = shell::read(&mut fetch)?;
        let cpu = cpu_seconds(pid)? - before;
        let (seconds, bytes) = printed.trim().split_once(' ').context("the generator printed no figures")?;
        ensure!(bytes.parse::<f64>()? == load.mib() * MIB, "not every block came");
        Ok(Fetch { cpu, seconds: seconds.parse()? })
    }

    fn compare(&self, kubo: &Served, load: &Load, car: &Path, rounds: usize) -> Result<Vec<String>> {
        let (mut theirs, mut first, mut repeat) = (Vec::new(), Vec::new(), Vec::new());
        // kubo's first answers come from a colder datastore: not counted.
        self.fetch(kubo, car, load)?;
        for round in 0..rounds {
            theirs.push(self.fetch(kubo, car, load)?);
            let scratch = self.scratch.join(format!("{}-{round}", load.name));
            fs::create_dir_all(&scratch)?;
            let ours = self.hoverboard.serve(&[car.to_owned()], &[], &scratch)?;
            first.push(self.fetch(&ours, car, load)?);
            repeat.push(self.fetch(&ours, car, load)?);
        }
        let (unit, per) = match load.size {
            size if size >= 64 * 1024 => ("ms/MiB", 1e3 / load.mib()),
            _ => ("µs/block", 1e6 / load.blocks as f64),
        };
        let size = if load.size >= 1024 * 1024 { "1 MiB".to_owned() } else { format!("{} KiB", load.size / 1024) };
        let cpu = |of: &[Fetch]| of.iter().map(|fetch| fetch.cpu * per).collect::<Vec<_>>();
        let rate = |of: &[Fetch]| of.iter().map(|fetch| fetch.mib_per_second(load)).collect::<Vec<_>>();
        let row = |what: &str, unit: &str, theirs: &[f64], ours: &[f64]| {
            let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
            let (theirs, ours, ratio) = (median(theirs.to_vec()), median(ours.to_vec()), median(ratios));
            format!("| {what}, {unit} | {theirs:.2} | {ours:.2} | {ratio:.2} |\n")
        };
        Ok(vec![
            row(&format!("CPU, {size} blocks, first send"), unit, &cpu(&theirs), &cpu(&first)),
            row(&format!("CPU, {size} blocks, repeat"), unit, &cpu(&theirs), &cpu(&repeat)),
            row(&format!("rate to one client, {size} blocks, repeat"), "MiB/s", &rate(&theirs), &rate(&repeat)),
        ])
    }

    /// What a connection that says nothing keeps in memory.
    fn idle(&self, kubo: &Served, car: &Path, rounds: usize) -> Result<String> {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            theirs.push(self.idle_bytes(kubo)?);
            let scratch = self.scratch.join(format!("idle-{round}"));
            fs::create_dir_all(&scratch)?;
            let server = self.hoverboard.serve(&[car.to_owned()], &[], &scratch)?;
            ours.push(self.idle_bytes(&server)?);
        }
        let (theirs, ours) = (median(theirs) / 1024.0, median(ours) / 1024.0);
        let ratio = ours / theirs;
        Ok(format!("| memory of an idle connection, of {IDLE}, KiB | {theirs:.1} | {ours:.1} | {ratio:.2} |\n"))
    }

    fn idle_bytes(&self, served: &Served) -> Result<f64> {
        let before = resident_bytes(served.daemon.id())?;
        let mut idle = Command::new(&self.generator);
        idle.args(["idle", served.tcp()?, "--count", &IDLE.to_string()]);
        let mut child = idle.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        // What was only needed for the handshakes is given back within seconds.
        std::thread::sleep(std::time::Duration::from_secs(5));
        let after = resident_bytes(served.daemon.id());
        drop(child.stdin.take());
        child.wait()?;
        ensure!(line == "open\n", "not every connection was opened");
        Ok((after? - before) / IDLE as f64)
    }

    /// From the command to the addresses on stdout, against reading the file.
    fn starts(&self, car: &Path, what: &str, rounds: usize) -> Result<Vec<String>> {
        let (mut cat, mut first, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let scratch = self.scratch.join(format!("start-{round}"));
            fs::create_dir_all(&scratch)?;
            let begun = Instant::now();
            shell::run(Command::new("cat").arg(car).stdout(Stdio::null()))?;
            cat.push(begun.elapsed().as_secs_f64());
            for times in [&mut first, &mut next] {
                let begun = Instant::now();
                let served = self.hoverboard.serve(&[car.to_owned()], &[], &scratch)?;
                times.push(begun.elapsed().as_secs_f64());
                drop(served);
            }
            fs::remove_dir_all(&scratch)?;
        }
        let ratio = median(first.iter().zip(&cat).map(|(first, cat)| first / cat).collect());
        let (first, next, cat) = (median(first), median(next), median(cat));
        Ok(vec![
            format!("| first start over {what}, s (`cat` of it: {cat:.2}) | | {first:.3} | {ratio:.2} of `cat` |\n"),
            format!("| next start over it, s | | {next:.3} | |\n"),
        ])
    }
}
