//! `hoverboard get`: a DAG from a peer into a CAR file, which is there whole or not at all.

use std::io::BufWriter;

use hoverboard_car::Writer;

use crate::address::Dial;
use crate::cli::GetArgs;
use crate::config::ConfigError;
use crate::fetch::{FetchError, fetch};
use crate::net::client::Client;
use crate::progress;

use super::cars::counted;
use super::output::{self, Output};
use super::{Failure, run_async};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

pub(super) fn run(args: GetArgs) -> Result<(), Failure> {
    let from = Dial::parse(&args.from).map_err(|error| ConfigError::Address { flag: "--from", error })?;
    run_async(get(args, from))
}

async fn get(args: GetArgs, from: Dial) -> Result<(), Failure> {
    let output = Output::open(args.output.as_deref())?;
    let name = output.name();
    let connect = tokio::time::timeout(args.timeout, Client::connect(&from));
    let mut client = match connect.await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(Failure::Failed(error.to_string())),
        Err(_) => return Err(Failure::Failed(format!("{}: no connection within --timeout", args.from))),
    };
    let failed = |error: hoverboard_car::Error| match error {
        hoverboard_car::Error::Io(error) => output::failed(&name, &error),
        error => Failure::Failed(format!("cannot write {name}: {error}")),
    };
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
    match fetched {
        Ok(()) => {}
        Err(FetchError::Sink(error)) => return Err(failed(error)),
        Err(error) => return Err(Failure::Failed(error.to_string())),
    }
    let bytes = writer.written();
    let output = writer.finish().map_err(failed)?.into_inner();
    output.map_err(|error| output::failed(&name, error.error()))?.keep()?;
    tracing::info!(blocks, bytes, "fetched");
    Ok(())
}
