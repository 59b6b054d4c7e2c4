//! The subcommands, one module each, and how a process ends.

mod cars;
mod check;
mod denylist;
mod get;
mod id;
mod import;
mod index;
mod index_eipfs;
mod ls;
mod output;
mod peers;
mod remove;
mod serve;
mod stop;
mod verify;
mod working;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::SignalKind;

use crate::cli::{Cli, Command};
use crate::config::ConfigError;
use crate::logging;

use self::stop::Stop;

/// How long the process waits for its own threads at the very end: a disk or a reader that takes nothing cannot hold
/// it up.
const LAST_WAIT: Duration = Duration::from_millis(500);

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
    /// Exit code 128 and the signal's number, as of a program that the signal ended: it was asked to stop halfway
    #[error("stopped halfway, as asked")]
    Stopped(SignalKind),
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
                Failure::Stopped(signal) => ExitCode::from(128 + u8::try_from(signal.as_raw_value()).unwrap_or(0)),
            }
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(*args),
        Command::Get(args) => get::run(args),
        Command::Check(args) => check::run(args),
        Command::Ls(args) => ls::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Import(args) => import::run(args),
        Command::Index(args) => index::run(args),
        Command::Remove(args) => remove::run(args),
        Command::Denylist(command) => denylist::run(command),
        Command::Peers(args) => peers::run(args),
        Command::Id(args) => id::run(&args),
    }
}

/// Runs a command that asks a peer, until it ends or is asked to stop.
///
/// A command that is stopped is dropped, which removes a file that is not whole. Where it blocks it says so, with
/// `block_in_place`, or no signal would be heard meanwhile.
fn run_async(command: impl Future<Output = Result<(), Failure>> + Send + 'static) -> Result<(), Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut stop = Stop::new()?;
        tokio::select! {
            ended = tokio::spawn(command) => match ended {
                Ok(result) => result,
                Err(error) => Err(Failure::Failed(format!("it did not get to its end: {error}"))),
            },
            signal = stop.asked() => Err(Failure::Stopped(signal)),
        }
    });
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

/// What a command runs on that a signal may stop: one thread for it, and those that may block.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start threads: {error}")))
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
