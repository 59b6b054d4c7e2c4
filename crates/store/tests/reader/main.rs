//! A peer's reads out of a bucket: how many requests they take, what is found, and what happens when the bucket fails.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod budget;
mod faults;
mod finding;
mod held;
mod locating;
mod model;
mod requests;
mod support;
