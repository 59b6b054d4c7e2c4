//! The log: to stderr, for a person or as JSON. Stdout is for what a command prints.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::{LogArgs, LogFormat};
use crate::config::ConfigError;

/// Sets the process's log up. Call it once.
pub fn init(args: &LogArgs) -> Result<(), ConfigError> {
    let filter = EnvFilter::builder()
        .parse(&args.log)
        .map_err(|error| ConfigError::Log { directives: args.log.clone(), error: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
