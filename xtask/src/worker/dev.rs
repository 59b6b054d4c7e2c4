//! `cargo xtask worker dev`: the Worker in workerd, on this machine, from nothing.

use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::build::{self, Build};
use crate::{
    cache::Cache,
    shell::{self, cargo, root},
};

/// What is run, and with what.
#[derive(Args)]
pub(crate) struct Options {
    /// CARs to put into the local bucket: files, or folders of them.
    #[arg(long, value_name = "DIR")]
    cars: Vec<PathBuf>,
    /// Where the bucket, the objects and the identity are kept.
    #[arg(long, value_name = "DIR", default_value = "target/worker/state")]
    state: PathBuf,
    /// The port on loopback.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Where sessions live.
    #[arg(long, value_enum, default_value_t = Mode::Object)]
    mode: Mode,
    /// A variable of the Worker; repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    var: Vec<(String, String)>,
    /// Use the native program and the Worker as they were built last.
    #[arg(long)]
    no_build: bool,
}

/// Where sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// In Durable Objects.
    Object,
    /// In the event of their connection.
    Plain,
}

/// Builds, imports and starts; does not return once it runs.
pub(crate) fn run(cache: &Cache, options: &Options) -> Result<()> {
    free(options.port)?;
    fs::create_dir_all(&options.state).with_context(|| format!("cannot create {}", options.state.display()))?;
    let state = options.state.canonicalize()?;
    let native = root().join("target/release/hoverboard");
    let folder = root().join("target/worker/dist");
    let tools = if options.no_build && native.exists() && folder.exists() {
        crate::setup::worker::ensure(cache)?
    } else {
        shell::run(cargo().args(["build", "--release", "--package", "hoverboard"]))?;
        build::build(cache, Build::Deployment)?.into_tools()
    };

    let bucket = state.join("bucket");
    import(&native, &options.cars, &bucket)?;
    let mut variables = serde_json::Map::new();
    let mode = if options.mode == Mode::Object { "object" } else { "plain" };
    variables.insert("HOVERBOARD_MODE".to_owned(), mode.into());
    variables.extend(options.var.iter().map(|(name, value)| (name.clone(), value.as_str().into())));

    let mut dev = tools.script("dev.mjs");
    dev.arg(folder).arg(&state).arg(&bucket).arg(options.port.to_string()).arg(mode);
    // The secret is in the environment, where other users of this machine do not see it.
    dev.env("HOVERBOARD_DEV_VARIABLES", serde_json::Value::from(variables).to_string());
    dev.env("HOVERBOARD_DEV_IDENTITY", secret(&native, &state)?);
    Err(dev.exec()).context("cannot run Node")
}

/// Fails with a sentence if the port is taken.
fn free(port: u16) -> Result<()> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} is in use by another program: name a free one with --port")
        }
        bound => bound.map(drop).with_context(|| format!("cannot listen on port {port}")),
    }
}

/// Imports CARs into a folder of the bucket's layout. What is there already is left as it is.
fn import(native: &Path, cars: &[PathBuf], bucket: &Path) -> Result<()> {
    let mut files = Vec::new();
    for path in cars {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "car") {
                files.push(file);
            }
        }
    }
    fs::create_dir_all(bucket)?;
    if files.is_empty() {
        return Ok(());
    }
    files.sort_unstable();
    // Which CAR and root it was is said on stdout, which is the multiaddr's.
    shell::read(ours(native).arg("import").args(files).arg("--to").arg(bucket))?;
    Ok(())
}

/// The secret of the identity in the state folder: the same peer every time.
fn secret(native: &Path, state: &Path) -> Result<String> {
    let identity = state.join("identity");
    fs::create_dir_all(&identity)?;
    Ok(shell::read(ours(native).args(["id", "--worker", "--state"]).arg(identity))?.trim().to_owned())
}

/// The native program, with no setting from outside.
fn ours(native: &Path) -> Command {
    let mut command = Command::new(native);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOVERBOARD_") {
            command.env_remove(name);
        }
    }
    command
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
