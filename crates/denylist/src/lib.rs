//! Which blocks are not to be served. Denylists are read in the formats that others publish them in, compiled to one
//! sorted binary, and searched in place.
//!
//! | item | it is |
//! |---|---|
//! | [`Rule`] | one line of a list, parsed |
//! | [`Rules`] | the rules of lists in their order: `.deny` files, badbits' JSON; [compiled](Rules::compile) to bytes |
//! | [`Denylist`] | the compiled form, opened: every byte of it is checked once, and then only searched |
//! | [`Policy`] | several of them in order: is this block denied? |
//! | [`Keys`] | the hashes that a block is looked for by |
//!
//! A block is denied by its multihash, whatever codec or version a CID names it with. Rules about paths and names
//! ([`Counts::paths`], [`Counts::names`]) say nothing about a single block and are counted only. The formats are in
//! `docs/denylist.md`. Nothing here reads a file, a socket or a clock.

mod compiled;
mod deny;
mod json;
mod keys;
mod policy;
mod rule;
mod rules;
mod table;

pub use self::compiled::{Denylist, OpenError, Verdict};
pub use self::keys::{CODECS, Keys, Kind};
pub use self::policy::{Hit, Policy};
pub use self::rule::{LineError, Rule, Subject};
pub use self::rules::{Counts, ListError, MAX_RULES, Problem, Rules};
