//! `hoverboard get`: a DAG from a peer into a CAR file, which is there whole or not at all.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

use hoverboard_car::Writer;
use tempfile::NamedTempFile;

use crate::address::Dial;
use crate::cli::GetArgs;
use crate::config::ConfigError;
use crate::fetch::fetch;
use crate::net::client::Client;
use crate::progress;

use super::cars::counted;
use super::{Failure, run_async};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

pub(super) fn run(args: GetArgs) -> Result<(), Failure> {
    let from = Dial::parse(&args.from).map_err(|error| ConfigError::Address { flag: "--from", error })?;
    let output = Output::open(args.output.as_deref())?;
    run_async(get(&args, &from, output))
}

async fn get(args: &GetArgs, from: &Dial, output: Output) -> Result<(), Failure> {
    let connect = tokio::time::timeout(args.timeout, Client::connect(from));
    let mut client = match connect.await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(Failure::Failed(error.to_string())),
        Err(_) => return Err(Failure::Failed(format!("{}: no connection within --timeout", args.from))),
    };
    let failed = |error: hoverboard_car::Error| Failure::Failed(format!("cannot write the CAR: {error}"));
    let mut writer = Writer::new(BufWriter::with_capacity(BUFFER, output), &[args.cid]).map_err(failed)?;
    let bar = progress::counter("fetching");
    let mut blocks = 0;
    let fetched = fetch(&mut client, args.cid, args.timeout, |cid, data| {
        blocks += 1;
        bar.set_prefix(counted(blocks, "block"));
        bar.inc(data.len() as u64);
        writer.write(cid, data).map(drop)
    })
    .await;
    bar.finish_and_clear();
    fetched.map_err(|error| Failure::Failed(error.to_string()))?;
    let written = writer.written();
    let output = writer.finish().map_err(failed)?.into_inner().map_err(|error| failed(error.into_error().into()))?;
    output.keep()?;
    tracing::info!(blocks, bytes = written, "fetched");
    Ok(())
}

/// Where the CAR goes.
enum Output {
    Stdout(Stdout),
    /// A file beside the one that was named, which takes its place in the end
    File(NamedTempFile, PathBuf),
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, ConfigError> {
        match path {
            Some(path) if path != Path::new("-") => {
                let failed = |error| ConfigError::Output { path: path.to_path_buf(), error };
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let mut builder = tempfile::Builder::new();
                builder.prefix(".hoverboard-").suffix(".partial");
                #[cfg(unix)]
                {
                    // As any new file: what the umask leaves of it.
                    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
                }
                Ok(Self::File(builder.tempfile_in(folder).map_err(failed)?, path.to_path_buf()))
            }
            None if io::stdout().is_terminal() => Err(ConfigError::Terminal),
            _ => Ok(Self::Stdout(io::stdout())),
        }
    }

    fn keep(self) -> Result<(), ConfigError> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(file, path) => match file.persist(&path) {
                Ok(_) => Ok(()),
                Err(error) => Err(ConfigError::Output { path, error: error.error }),
            },
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file, _) => file.flush(),
        }
    }
}
