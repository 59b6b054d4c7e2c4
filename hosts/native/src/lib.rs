//! Hoverboard's native host: CAR files on local disks, served to IPFS peers over Bitswap.
//!
//! The protocols live in the core crates, which do no I/O; here are the things around them: command line,
//! configuration, identity, the [`catalog`] of blocks in CAR files, sockets, admin pages. The binary is a thin shell
//! over this library, so that tests and benchmarks can reach its parts. It is not a library for others: nothing here
//! is stable.

pub mod address;
pub mod admin;
pub mod caps;
pub mod catalog;
pub mod claims;
pub mod cli;
pub mod commands;
pub mod config;
pub mod denylist;
pub mod eipfs;
pub mod fetch;
pub mod identity;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod progress;
pub mod shared;
pub mod store;
