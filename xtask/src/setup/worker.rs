//! What makes a Worker out of a wasm module: the bindings generator, which is ours, and wasm-opt, esbuild, wrangler and
//! miniflare, as `interop/worker/package-lock.json` pins them.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::node::{self, Scripts};
use crate::{
    cache::Cache,
    shell::{self, cargo, root},
};

/// The programs, ready to run.
#[derive(Debug)]
pub(crate) struct Tools {
    scripts: Scripts,
}

/// Installs what is missing (a minute the first time).
pub(crate) fn ensure(cache: &Cache) -> Result<Tools> {
    Ok(Tools { scripts: node::ensure_scripts(cache, "worker")? })
}

impl Tools {
    /// Writes `NAME.js` and `NAME_bg.wasm` into a folder.
    ///
    /// It is built here and not kept in the cache: it has to be of the version that the lockfile names.
    pub(crate) fn bindgen(&self, module: &Path, folder: &Path, name: &str) -> Result<()> {
        let mut bindgen = cargo();
        bindgen.args(["run", "--quiet", "--package", "bindgen", "--"]).arg(module).arg(folder).arg(name);
        shell::run(&mut bindgen)
    }

    /// Makes a module smaller and faster, in place.
    pub(crate) fn optimise(&self, module: &Path) -> Result<()> {
        let features =
            ["--enable-simd", "--enable-bulk-memory", "--enable-nontrapping-float-to-int", "--enable-sign-ext"];
        let more = ["--enable-mutable-globals", "--enable-reference-types", "--enable-multivalue"];
        let mut optimise = self.scripts.program("wasm-opt");
        shell::run(optimise.args(features).args(more).arg("-O3").arg("-o").arg(module).arg(module))
    }

    /// Joins the scripts that `entry` imports into one.
    pub(crate) fn bundle(&self, entry: &Path, script: &Path) -> Result<()> {
        // The program of the package is a script, unless its own install step was run.
        let mut bundle = self.scripts.program("esbuild");
        bundle.arg(entry).args(["--bundle", "--format=esm", "--target=es2022", "--log-level=warning"]);
        bundle.args(["--external:cloudflare:*", "--external:node:*", "--external:*.wasm"]);
        bundle.arg(format!("--outfile={}", script.display()));
        shell::run(&mut bundle)
    }

    /// wrangler, which reads `wrangler.jsonc` in the folder that it is run in.
    pub(crate) fn wrangler(&self, folder: &Path) -> Command {
        let mut wrangler = self.scripts.program("wrangler");
        wrangler.current_dir(folder);
        // Nothing of the developer's own account takes part, and nobody is told.
        wrangler.env("WRANGLER_SEND_METRICS", "false").env("WRANGLER_LOG_PATH", root().join("target/worker/logs"));
        wrangler.env_remove("CLOUDFLARE_API_TOKEN");
        wrangler
    }

    /// One of the scripts of `interop/worker`.
    pub(crate) fn script(&self, name: &str) -> Command {
        self.scripts.script(name)
    }
}
