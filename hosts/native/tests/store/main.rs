//! Stores as the binary opens them: the suite over a folder and over a real S3 server, `hoverboard import`, and
//! `hoverboard serve --store`.

mod caps;
#[path = "../common/mod.rs"]
mod common;
mod dag;
mod import;
mod peer;
#[path = "../common/process.rs"]
mod process;
mod serve;
mod server;
mod suite;
mod versitygw;
