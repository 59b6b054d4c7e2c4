//! What a connection costs on which nothing is wanted. kubo and helia are connected to a Worker whose object is kept
//! from sleeping, and kubo alone to one whose object may sleep: helia says something every ten seconds, and an object
//! that hears something so often does not sleep here.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    Bench,
    programs::{Counted, Counters, Place},
};
use crate::{
    cache::Cache,
    interop::{
        kubo::{Identity, Ports, Repo},
        process::Daemon,
        programs::Hoverboard,
    },
    setup, shell,
};

/// How long a Worker is watched before anybody is connected.
const BEFORE: Duration = Duration::from_secs(10);
/// How long after both are connected until nothing of the fetch is left.
const AFTER: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(60);

/// One Worker, and what it costs with nobody connected.
struct Watched {
    worker: Counted,
    /// CPU seconds a second.
    alone: f64,
}

/// What came in a while, and what it cost.
struct Span {
    counters: Counters,
    /// CPU ms.
    cpu: f64,
}

pub(super) fn rows(cache: &Cache, bench: &Bench, hoverboard: &Hoverboard, time: Duration) -> Result<Vec<String>> {
    let mut asleep = Watched::start(bench, hoverboard, "asleep", &[])?;
    let mut awake = Watched::start(bench, hoverboard, "awake", &["--awake"])?;
    let root = root(hoverboard, &bench.one)?;

    let repo = Repo::init(&setup::kubo::ensure(cache)?, &bench.scratch, "idle", Identity::Ed25519, Ports::Free)?;
    let kubo = repo.start()?;
    for watched in [&asleep, &awake] {
        kubo.connect(&watched.worker.address)?;
    }
    kubo.repo.block(&root, &bench.scratch.join("block"))?;
    let helia = setup::node::ensure_scripts(cache, "helia")?;
    let mut helia =
        Daemon::spawn("helia", helia.script("idle.mjs").arg(&root).arg(&awake.worker.address), &bench.scratch)?;
    helia.wait_until(CONNECT, |printed| (printed == "connected").then_some(()))?;
    thread::sleep(AFTER);

    asleep.begin()?;
    awake.begin()?;
    let begun = [asleep.worker.cpu()?, awake.worker.cpu()?];
    thread::sleep(time);
    helia.expect_alive()?;
    let asleep = asleep.span(begun[0], time)?;
    let awake = awake.span(begun[1], time)?;
    ensure!(awake.counters.messages > 0, "nothing was heard of kubo and helia");
    ensure!(asleep.counters.wakes > 0, "the object did not sleep between kubo's keep-alives");

    let warm = awake.cpu / f64::from(awake.counters.messages);
    let (messages, wakes) = (f64::from(asleep.counters.messages), f64::from(asleep.counters.wakes));
    let woken = (asleep.cpu - warm * (messages - wakes)) / wakes;
    let minutes = time.as_secs_f64() / 60.0;
    let a_minute = |what: &str, span: &Span| {
        let Counters { messages, wakes, .. } = span.counters;
        let [messages, wakes] = [messages, wakes].map(|count| f64::from(count) / minutes);
        let cpu = span.cpu / minutes;
        format!("| a minute of {what}, idle | {messages:.0} messages, {wakes:.1} wakes, {cpu:.1} ms | |\n")
    };
    Ok(vec![
        format!("| CPU of an idle peer's message, warm | {warm:.2} ms | ≤ 1 ms |\n"),
        format!("| the same, from hibernation | {woken:.2} ms | ≤ 5 ms |\n"),
        a_minute("kubo, which lets the object sleep", &asleep),
        a_minute("kubo and helia, the object kept awake", &awake),
    ])
}

/// The root of a CAR.
fn root(hoverboard: &Hoverboard, car: &Path) -> Result<String> {
    let listed = shell::read(hoverboard.command(&["ls"]).arg(car))?;
    let root = listed.lines().find_map(|line| line.trim().strip_prefix("root "));
    Ok(root.context("the CAR has no root")?.to_owned())
}

impl Watched {
    fn start(bench: &Bench, hoverboard: &Hoverboard, name: &str, options: &[&str]) -> Result<Self> {
        let folder = bench.scratch.join(name);
        let mut place =
            Place::fill(folder, std::slice::from_ref(&bench.one), hoverboard, &bench.tools, &bench.scratch)?;
        place.own_identity(hoverboard)?;
        let worker = Counted::start(&place, options, &bench.tools, &bench.scratch)?;
        // What a start leaves behind is not counted.
        thread::sleep(AFTER);
        let before = worker.cpu()?;
        thread::sleep(BEFORE);
        let alone = (worker.cpu()? - before) / BEFORE.as_secs_f64();
        Ok(Self { worker, alone })
    }

    fn begin(&mut self) -> Result<()> {
        self.worker.counters()?;
        Ok(())
    }

    fn span(&mut self, begun: f64, time: Duration) -> Result<Span> {
        let cpu = self.worker.cpu()? - begun - self.alone * time.as_secs_f64();
        Ok(Span { counters: self.worker.counters()?, cpu: cpu * 1e3 })
    }
}
