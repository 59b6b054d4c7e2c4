//! Blocks that lie elsewhere: what claims of others lead to, what others are told of ours, and the index of Elastic IPFS.

mod claims;
#[path = "../common/mod.rs"]
mod common;
mod eipfs;
#[path = "../common/process.rs"]
mod process;
mod told;
mod web;
