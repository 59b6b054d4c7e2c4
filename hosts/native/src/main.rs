//! The `hoverboard` program: reads the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    hoverboard::commands::run(hoverboard::cli::Cli::parse())
}
