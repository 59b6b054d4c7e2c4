//! `cargo xtask test`: every check, the quick ones first.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::{
    cache::Cache,
    checks::{self, CORE},
    interop, setup,
    shell::{self, cargo, root},
    stages::Stages,
    worker,
};

/// Crates that live outside the workspace, with lockfiles of their own.
const OUTSIDE: [&str; 2] = ["fuzz/Cargo.toml", "interop/beetswap/Cargo.toml"];

pub(crate) fn run(cache: &Cache, only: &[String]) -> Result<()> {
    let mut stages = Stages::only(only);
    stages.step("format", format);
    stages.step("dependency graph", checks::graph::check);
    stages.step("the core's sources are sans I/O", checks::sources::check);
    stages
        .step("lints", || shell::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])));
    stages.step("tests", || {
        let mut test = cargo();
        if let Some(promtool) = setup::promtool::ensure(cache)? {
            test.env("HOVERBOARD_PROMTOOL", promtool);
        }
        test.env("HOVERBOARD_VERSITYGW", setup::versitygw::ensure(cache)?);
        shell::run(test.args(["test", "--workspace"]))
    });
    stages.step("the core in wasm", || wasm(cache));
    stages.step("the Worker", || worker::test(cache));
    stages.step("fuzz targets compile", || {
        let target = root().join("target/fuzz");
        shell::run(cargo().args(["check", "--manifest-path", "fuzz/Cargo.toml"]).env("CARGO_TARGET_DIR", target))
    });
    interop::stages(cache, &interop::Selection::default(), &mut stages);
    stages.finish()
}

fn format() -> Result<()> {
    shell::run(cargo().args(["fmt", "--all", "--check"]))?;
    for manifest in OUTSIDE {
        shell::run(cargo().args(["fmt", "--check", "--manifest-path", manifest]))?;
    }
    Ok(())
}

/// How many of the signatures in `crates/wire/tests/keys/signatures.txt` are by keys of an accepted size.
const VERIFIED: u32 = 6;

/// Builds the core crates for the target of the Worker, where there is no source of randomness.
///
/// Which source there is, is the last word of the host that links them; that the core builds without one shows that it
/// asks for none. How fast the result would be does not matter here.
fn wasm(cache: &Cache) -> Result<()> {
    let toolchain = setup::wasm::ensure(cache)?;
    let build = |what: &[&str]| {
        let mut build = cargo();
        build.args(["build", "--target", setup::wasm::TARGET]).args(what);
        build.args(["--config", "profile.dev.package.\"*\".opt-level=0"]);
        build.env("RUSTFLAGS", "--cfg getrandom_backend=\"unsupported\"");
        shell::run(toolchain.apply(&mut build))
    };
    let core: Vec<&str> = CORE.iter().flat_map(|name| ["--package", name]).collect();
    build(&[&["--lib"], core.as_slice()].concat())?;
    build(&["--package", "keys-in-wasm"])?;
    let module = root().join("target/wasm").join(setup::wasm::TARGET).join("debug/keys_in_wasm.wasm");
    let verified = shell::read(Command::new(setup::node::ensure(cache)?).args(["--eval", COUNT_VERIFIED]).arg(module))?;
    ensure!(verified.trim() == VERIFIED.to_string(), "{} signatures verify in wasm, not {VERIFIED}", verified.trim());
    Ok(())
}

/// Runs the example's export in Node.
const COUNT_VERIFIED: &str = "
const bytes = require('node:fs').readFileSync(process.argv[1]);
WebAssembly.instantiate(bytes, {}).then(({ instance }) => console.log(instance.exports.verified()));
";
