//! `cargo xtask bench worker`: the Worker in local workerd, and in the same run what the platform costs with no protocol.
//!
//! CPU time is that of workerd, in which the simulation of R2 runs, too. Requests, messages and memory are counted in
//! runs of their own, so that counting them costs nothing where CPU time is measured.

mod idle;
mod programs;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::programs::{Counted, Generator, Place, Server, seconds};
use super::report::{self, median};
use crate::{
    cache::Cache,
    interop::programs::Hoverboard,
    setup::{self, worker::Tools},
    shell::{self, cargo, root},
};

const KIB: u32 = 1024;
const MIB: f64 = 1024.0 * 1024.0;

/// Blocks of the CAR whose fetch is measured by the MiB.
const LARGE: u32 = 1_024;
/// Blocks of the CAR that makes the code warm.
const QUARTER: u32 = LARGE / 4;
/// Blocks of the CAR whose fetch is measured by the block.
const SMALL: u32 = 50_000;
/// New connections, one after the other.
const ACCEPTS: usize = 20;
/// Connections that say nothing while memory is measured, and those that fetch.
const SILENT: usize = 1_000;
const FETCHING: usize = 20;

/// How it is measured.
#[derive(Args)]
pub(super) struct Options {
    /// How often CPU time is measured; the medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// For how many seconds kubo and helia are connected and idle.
    #[arg(long, default_value_t = 120)]
    idle_seconds: u64,
    /// Use the programs and the Worker as they were built last.
    #[arg(long)]
    no_build: bool,
}

struct Bench {
    tools: Tools,
    generator: Generator,
    place: Place,
    scratch: PathBuf,
    large: PathBuf,
    small: PathBuf,
    one: PathBuf,
    quarter: PathBuf,
}

pub(super) fn run(cache: &Cache, options: &Options) -> Result<()> {
    let hoverboard = if options.no_build {
        Hoverboard::built()
    } else {
        shell::run(cargo().args(["build", "--release", "--package", "hoverboard-bench"]))?;
        crate::worker::build(cache)?;
        Hoverboard::build()?
    };
    let tools = setup::worker::ensure(cache)?;
    let generator = Generator::new(cache)?;
    let scratch = cache.fresh_folder("run/bench-worker")?;

    let large = generator.car("worker-large", LARGE, 256 * KIB, 0)?;
    let small = generator.car("worker-small", SMALL, KIB, 0)?;
    let one = generator.car("worker-one", 1, 256 * KIB, 0)?;
    let gib = generator.car("large", 4_096, 256 * KIB, 0)?;
    let packed = generator.car("worker-packed", 4_000, KIB, 0)?;
    let sparse = generator.car("worker-sparse", 4_001, KIB, 261 * KIB)?;
    // The blocks that are wanted of it.
    let sparsely = generator.car("worker-sparsely", 4_001, KIB, 0)?;
    let quarter = generator.car("worker-quarter", QUARTER, 256 * KIB, 0)?;

    let cars = [&large, &small, &one, &gib, &packed, &sparse, &quarter].map(PathBuf::clone);
    let place = Place::fill(cache.folder("bench-worker")?, &cars, &hoverboard, &tools, &scratch)?;
    let bench = Bench { tools, generator, place, scratch, large, small, one, quarter };

    let mut rows = bench.cpu(options.rounds.max(1))?;
    let goals =
        [("a DAG of 1 GiB in order", &gib, &[][..], 300), ("4,000 blocks of 1 KiB, packed", &packed, SHUFFLED, 12)];
    for (what, car, how, goal) in goals {
        rows.push(bench.requests(what, car, how, goal)?);
    }
    rows.push(bench.requests("the same, spread over 1 GiB", &sparsely, SHUFFLED, 600)?);
    rows.push(bench.memory()?);
    rows.push(size()?);
    rows.extend(idle::rows(cache, &bench, &hoverboard, Duration::from_secs(options.idle_seconds))?);
    report::write("worker", &format!("| | measured | goal |\n|---|---|---|\n{}", rows.concat()))
}

const SHUFFLED: &[&str] = &["--shuffle"];

/// What one round took.
struct Round {
    /// CPU ms/MiB of the floor, and of the Worker the first time and again.
    floor: f64,
    /// CPU ms until the Worker is warm, beyond what the same fetch takes then.
    start: f64,
    first: f64,
    again: f64,
    /// MiB/s.
    floor_rate: f64,
    first_rate: f64,
    again_rate: f64,
    /// CPU ms of a small block beyond the floor.
    block: f64,
    /// CPU ms of a connection and its first want.
    accept: f64,
}

impl Bench {
    fn cpu(&self, rounds: usize) -> Result<Vec<String>> {
        let rounds = (0..rounds).map(|_| self.round()).collect::<Result<Vec<_>>>()?;
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        let row = |what: &str, measured: String, goal: &str| format!("| {what} | {measured} | {goal} |\n");
        let cpu = |ms: f64, ratio: f64| format!("{ms:.2} ms, {ratio:.2} × the floor");
        Ok(vec![
            row("CPU a MiB, the floor", format!("{:.2} ms", of(|r| r.floor)), ""),
            row(
                "CPU a MiB, 256 KiB blocks, first send",
                cpu(of(|r| r.first), of(|r| r.first / r.floor)),
                "≤ 2.5 × the floor",
            ),
            row("the same, repeat", cpu(of(|r| r.again), of(|r| r.again / r.floor)), "≤ 2.5 × the floor"),
            row("CPU once a start, until the code is warm", format!("{:.0} ms", of(|r| r.start)), ""),
            row("CPU a 1 KiB block, beyond the floor", format!("{:.3} ms", of(|r| r.block)), "≤ 0.15 ms"),
            row(
                "rate to one client, first send / repeat",
                format!(
                    "{:.0} / {:.0} MiB/s (the floor: {:.0})",
                    of(|r| r.first_rate),
                    of(|r| r.again_rate),
                    of(|r| r.floor_rate)
                ),
                "≥ 70 MiB/s",
            ),
            row(
                "CPU to accept a connection and answer its first want",
                format!("{:.1} ms", of(|r| r.accept)),
                "≤ 30 ms",
            ),
        ])
    }

    fn round(&self) -> Result<Round> {
        let (length, generator) = (fs::metadata(&self.large)?.len(), &self.generator);
        let (floor, floor_rate) = {
            let server = Server::floor(&self.place, &self.place.key_of(&self.large)?, &self.tools, &self.scratch)?;
            let drain = || {
                let mut drain = generator.command("drain");
                drain.arg(&server.address).arg("--bytes").arg(length.to_string());
                drain
            };
            // The first time the code is cold.
            server.under(&mut drain())?;
            let (cpu, printed) = server.under(&mut drain())?;
            let mib = length as f64 / MIB;
            (cpu * 1e3 / mib, mib / seconds(&printed, length)?)
        };

        let server = Server::worker(&self.place, &self.scratch)?;
        let bytes = u64::from(LARGE * 256 * KIB);
        let mib = bytes as f64 / MIB;
        let large = || -> Result<(f64, f64)> {
            let (cpu, printed) = server.under(&mut generator.fetch(&server.address, &self.large, 256, &[]))?;
            Ok((cpu * 1e3 / mib, mib / seconds(&printed, bytes)?))
        };
        // The platform compiles the module when it is first used, and again, better, where it is used much.
        let (start, _) = server.under(&mut generator.fetch(&server.address, &self.quarter, 256, &[]))?;
        let (first, first_rate) = large()?;
        let (again, again_rate) = large()?;
        let start = start * 1e3 - again * mib * f64::from(QUARTER) / f64::from(LARGE);

        let (cpu, printed) = server.under(&mut generator.fetch(&server.address, &self.small, 900, &[]))?;
        let bytes = u64::from(SMALL * KIB);
        seconds(&printed, bytes)?;
        let block = (cpu * 1e3 - floor * bytes as f64 / MIB) / f64::from(SMALL);

        let mut accepts = Vec::new();
        for _ in 0..ACCEPTS {
            let (cpu, _) = server.under(&mut generator.fetch(&server.address, &self.one, 1, &[]))?;
            accepts.push(cpu * 1e3);
        }
        Ok(Round { floor, start, first, again, floor_rate, first_rate, again_rate, block, accept: median(accepts) })
    }

    /// Requests of a fetch by a Worker that has just started.
    fn requests(&self, what: &str, car: &Path, options: &[&str], goal: u32) -> Result<String> {
        let mut worker = Counted::start(&self.place, &[], &self.tools, &self.scratch)?;
        worker.counters()?;
        shell::read(&mut self.generator.fetch(&worker.address, car, 1_024, options))?;
        let requests = worker.counters()?.requests;
        Ok(format!("| requests, {what} | {requests} | ≤ {goal} |\n"))
    }

    /// The peak of an isolate's memory, with peers that fetch and many more that do nothing.
    fn memory(&self) -> Result<String> {
        let inspect = crate::interop::programs::free_port()?.to_string();
        let mut worker = Counted::start(&self.place, &["--inspect", &inspect], &self.tools, &self.scratch)?;
        let mut silent = self.generator.command("idle");
        silent.arg(&worker.address).args(["--count", &SILENT.to_string()]);
        let mut silent = silent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(silent.stdout.take().context("no stdout")?).read_line(&mut line)?;
        ensure!(line == "open\n", "not every connection was opened");
        worker.counters()?;

        let fetch = |n: usize| {
            let options = if n.is_multiple_of(2) { &[][..] } else { SHUFFLED };
            self.generator.fetch(&worker.address, &self.quarter, 256, options).stdout(Stdio::null()).spawn()
        };
        let fetches = (0..FETCHING).map(fetch).collect::<std::io::Result<Vec<_>>>()?;
        for mut fetch in fetches {
            ensure!(fetch.wait()?.success(), "a fetch failed");
        }
        let peak = worker.counters()?;
        drop(silent.stdin.take());
        silent.wait()?;
        let [wasm, heap, external] = [peak.wasm, peak.heap, peak.external].map(|bytes| bytes / MIB);
        let sum = wasm + heap + external;
        Ok(format!(
            "| memory, {FETCHING} peers fetching, {SILENT} idle | {sum:.0} MiB: wasm {wasm:.0}, V8 heap {heap:.0}, \
             buffers {external:.0} | ≤ 64 MiB |\n"
        ))
    }
}

fn size() -> Result<String> {
    let module = root().join("target/worker/dist/hoverboard.wasm");
    let gzip = Command::new("gzip").arg("-9c").arg(module).output().context("cannot run gzip")?;
    Ok(format!("| the wasm module, compressed | {} KB | ≤ 1,000 KB |\n", gzip.stdout.len() / 1_000))
}
