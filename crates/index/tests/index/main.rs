//! The index of every block: what goes in is found, nothing else is, and damage is never an answer.

#![allow(clippy::unwrap_used, reason = "a test says so by a panic")]

mod cars;
mod document;
mod manifest;
mod merging;
mod runs;
mod support;
mod tiers;
