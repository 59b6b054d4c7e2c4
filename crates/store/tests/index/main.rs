//! The index over all CARs of a bucket: made, kept up to date by several at once, looked up, damaged and mended.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod collect;
mod damage;
mod model;
mod removal;
mod settling;
mod store;
mod support;
mod update;
mod writers;
