//! Where blocks are, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod answers;
mod requests;
mod support;
