//! The index of a store as a user meets it: `hoverboard index`, `hoverboard remove`, and what `import` keeps up to date;
//! over a folder and over a real S3 server, and killed at any time.

mod commands;
#[path = "../common/mod.rs"]
mod common;
mod kills;
#[path = "../common/process.rs"]
mod process;
mod stock;
#[path = "../store/versitygw.rs"]
mod versitygw;
