//! What claims are read, where a walk over them leads, and what it never does.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod policy;
mod reading;
mod shards;
mod support;
mod walking;
