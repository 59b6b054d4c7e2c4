//! From the crate to a folder that wrangler deploys: cargo, the bindings, wasm-opt, esbuild.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use anyhow::{Context, Result};

use crate::{
    cache::Cache,
    setup::{self, wasm, worker::Tools},
    shell::{self, cargo, root},
};

/// Memory of an instance, in bytes. The platform ends an isolate that takes more than 128 MB in all, with everything in
/// it; short of that, running out of memory costs one instance, which is survived.
const MAX_MEMORY: u32 = 96 * 1024 * 1024;

/// What the generated files are called.
const NAME: &str = "hoverboard";

/// Which Worker is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// The one to deploy.
    Deployment,
    /// One that runs tests and measurements inside the platform.
    Trials,
}

/// A Worker that was built.
#[derive(Debug)]
pub(crate) struct Built {
    folder: PathBuf,
    tools: Tools,
}

impl Built {
    /// The folder with `index.js`, `hoverboard.wasm` and `wrangler.jsonc`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it was built with.
    pub(crate) fn tools(&self) -> &Tools {
        &self.tools
    }

    /// What it was built with, for good.
    pub(crate) fn into_tools(self) -> Tools {
        self.tools
    }

    fn module(&self) -> PathBuf {
        self.folder.join(NAME).with_extension("wasm")
    }

    /// The module's length in bytes.
    pub(crate) fn size(&self) -> Result<u64> {
        Ok(fs::metadata(self.module())?.len())
    }

    /// The module's length in bytes, compressed as it is uploaded.
    pub(crate) fn compressed(&self) -> Result<u64> {
        let gzip = Command::new("gzip").arg("-9c").arg(self.module()).output().context("cannot run gzip")?;
        Ok(gzip.stdout.len() as u64)
    }
}

/// Builds a Worker (some minutes the first time).
pub(crate) fn build(cache: &Cache, which: Build) -> Result<Built> {
    let tools = setup::worker::ensure(cache)?;
    let (name, entry, features): (_, _, &[&str]) = match which {
        Build::Deployment => ("dist", "index.js", &[]),
        Build::Trials => ("trials", "trials.js", &["--features", "trials"]),
    };
    let target = root().join("target/worker");
    // Somebody may be running what was built last, or building too.
    let work = target.join(format!("{name}.{}", process::id()));
    let (parts, out) = (work.join("parts"), work.join("out"));
    fs::create_dir_all(&parts)?;
    fs::create_dir_all(&out)?;

    tools.bindgen(&compile(cache, features)?, &parts, NAME)?;
    let module = parts.join(NAME).with_extension("wasm");
    tools.optimise(&module)?;

    let source = root().join("hosts/worker");
    for script in fs::read_dir(source.join("js"))? {
        let script = script?;
        fs::copy(script.path(), parts.join(script.file_name()))?;
    }
    tools.bundle(&parts.join(entry), &out.join("index.js"))?;
    fs::copy(&module, out.join(NAME).with_extension("wasm"))?;
    fs::copy(source.join("wrangler.jsonc"), out.join("wrangler.jsonc"))?;

    let folder = target.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    fs::rename(&out, &folder)?;
    fs::remove_dir_all(&work)?;
    Ok(Built { folder, tools })
}

/// Compiles the crate, and returns the path of the module.
fn compile(cache: &Cache, features: &[&str]) -> Result<PathBuf> {
    let toolchain = wasm::ensure(cache)?;
    let mut build = cargo();
    build
        .args(["build", "--package", "hoverboard-worker", "--profile", "worker", "--target", wasm::TARGET])
        .args(features);
    build.env("RUSTFLAGS", format!("-C target-feature=+simd128 -C link-arg=--max-memory={MAX_MEMORY}"));
    shell::run(toolchain.apply(&mut build))?;
    Ok(root().join("target/wasm").join(wasm::TARGET).join("worker/hoverboard_worker.wasm"))
}
