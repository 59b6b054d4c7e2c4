//! The subcommands, one module each, and how a process ends.

mod cars;
mod check;
mod get;
mod id;
mod ls;
mod serve;
mod verify;

use std::io;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::config::ConfigError;
use crate::logging;

/// Why a command did not succeed, which decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Exit code 64: the configuration has to be changed first
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Exit code 1: it was tried and failed
    #[error("{0}")]
    Failed(String),
    /// Exit code 1, and the command has said why itself
    #[error("")]
    Reported,
}

/// Runs what was typed, to the end of the process.
pub fn run(cli: Cli) -> ExitCode {
    match logging::init(&cli.log).map_err(Failure::from).and_then(|()| dispatch(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("hoverboard: {failure}");
            match failure {
                Failure::Config(_) => ExitCode::from(64),
                Failure::Failed(_) | Failure::Reported => ExitCode::FAILURE,
            }
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Get(args) => get::run(args),
        Command::Check(args) => check::run(args),
        Command::Ls(args) => ls::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Id(args) => id::run(&args),
    }
}

/// Runs a command that asks a peer, until it ends or the user interrupts it.
fn run_async(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            result = command => result,
            // Ends it in good order: a half-written file is removed.
            _ = tokio::signal::ctrl_c() => Err(Failure::Failed("interrupted".into())),
        }
    })
}

/// A failed write to stdout: a reader that went away early, such as `head`, is no failure.
fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
