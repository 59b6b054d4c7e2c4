//! The rules of lists in their order, and the bytes that they are compiled to.
//!
//! The last rule that is about a block decides. What counts of the order is only which exceptions come before and which
//! after a rule; so each has the number of its *turn*: how often the lists had turned from denying to allowing, or back,
//! before it. Even turns deny, odd ones allow, and of the rules about a block the one of the highest turn decides. A list
//! without exceptions has turn 0 throughout, and compiles to the same bytes whatever its order.

use bytes::Bytes;

use crate::compiled::{Denylist, write};
use crate::deny;
use crate::json;
use crate::keys::Kind;
use crate::rule::{LineError, Rule, Subject};

/// The most rules with a hash that are taken, over all lists that are compiled to one: 36 bytes each.
pub const MAX_RULES: usize = 4_000_000;

/// Lines that are no rule of which the place is kept.
const MAX_PROBLEMS: usize = 5;

/// How many rules there are of what kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Legacy anchors.
    pub legacy: u32,
    /// Modern double hashes, and blocks named by their CID.
    pub modern: u32,
    /// Rules about paths. They are not enforced: a block does not say by which path it was reached. A path that is only
    /// there as a hash is counted as a hash.
    pub paths: u32,
    /// Rules about IPNS names. They are not enforced: no name is resolved here.
    pub names: u32,
    /// Double hashes by another function than sha2-256. They are not enforced.
    pub unsupported: u32,
    /// Lines that are no rule.
    pub malformed: u32,
}

/// A line that is no rule: where, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1, or the item of a JSON list.
    pub line: u64,
    /// Why it is none.
    pub why: LineError,
}

/// Why a whole list is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// There is nothing in it; a list that means to deny nothing has a comment
    #[error("it is empty: a list that denies nothing has at least a comment line")]
    Empty,
    /// It is something else
    #[error("it is no denylist: {malformed} lines are no rules and {rules} are; line {}: {}", first.line, first.why)]
    NotAList {
        /// Lines that are no rule
        malformed: u32,
        /// Lines that are
        rules: u32,
        /// The first that is none
        first: Problem,
    },
    /// The header names a version that is not known
    #[error("its version is {0:?}, and 1 is known")]
    Version(String),
    /// A line is longer than the format allows
    #[error("line {0} is longer than 2 MiB")]
    Line(u64),
    /// The JSON cannot be read
    #[error("its JSON cannot be read: {0}")]
    Json(String),
    /// There are too many rules
    #[error("there are more than {MAX_RULES} rules")]
    TooMany,
}

/// Rules in their order.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    legacy: Vec<Entry>,
    modern: Vec<Entry>,
    turn: u32,
    counts: Counts,
    problems: Vec<Problem>,
}

/// A rule that is a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) digest: [u8; 32],
    pub(crate) turn: u32,
}

impl Rules {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the rules of a list, which is a `.deny` file or badbits' JSON. Lines that are no rule are passed over and
    /// [counted](Counts::malformed).
    ///
    /// # Errors
    /// It is neither, or more than may be. What was read of it until then is there: these rules are of no use any more.
    pub fn read(&mut self, list: &[u8]) -> Result<(), ListError> {
        let before = self.counts;
        self.problems.clear();
        let text = list.trim_ascii_start();
        match text.first() {
            None => return Err(ListError::Empty),
            Some(b'[') => json::read(text, self)?,
            Some(_) => deny::read(list, self)?,
        }
        let malformed = self.counts.malformed - before.malformed;
        let rules = self.counts.understood() - before.understood();
        match self.problems.first() {
            Some(first) if malformed > rules => Err(ListError::NotAList { malformed, rules, first: *first }),
            _ => Ok(()),
        }
    }

    /// Adds the rules of a list that is compiled, after those that are there.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&mut self, list: &Denylist) -> Result<(), ListError> {
        // Its turns go on from ours: an even number of them further.
        let base = self.turn + self.turn % 2;
        for (kind, digest, turn) in list.entries() {
            // Both are less than the rules that were read.
            self.insert(kind, Entry { digest, turn: base.saturating_add(turn) })?;
        }
        self.turn = list.entries().map(|(_, _, turn)| base.saturating_add(turn)).max().unwrap_or(0).max(self.turn);
        self.counts = self.counts.plus(&Counts { legacy: 0, modern: 0, ..list.counts() });
        Ok(())
    }

    /// Adds one rule.
    ///
    /// # Errors
    /// There are too many.
    pub fn push(&mut self, rule: &Rule) -> Result<(), ListError> {
        let counts = &mut self.counts;
        let count = match rule.subject {
            Subject::Path | Subject::Block { paths: true, .. } => Some(&mut counts.paths),
            Subject::Name => Some(&mut counts.names),
            Subject::Unsupported => Some(&mut counts.unsupported),
            Subject::Legacy(_) | Subject::Modern(_) | Subject::Block { .. } => None,
        };
        if let Some(count) = count {
            *count = count.saturating_add(1);
        }
        let kind = match rule.subject {
            Subject::Legacy(digest) => (Kind::Legacy, digest),
            _ => match rule.subject.modern() {
                Some(digest) => (Kind::Modern, digest),
                None => return Ok(()),
            },
        };
        self.turn += u32::from((self.turn % 2 == 1) != rule.allow);
        self.insert(kind.0, Entry { digest: kind.1, turn: self.turn })
    }

    pub(crate) fn malformed(&mut self, line: u64, why: LineError) {
        self.counts.malformed = self.counts.malformed.saturating_add(1);
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { line, why });
        }
    }

    fn insert(&mut self, kind: Kind, entry: Entry) -> Result<(), ListError> {
        if self.legacy.len() + self.modern.len() >= MAX_RULES {
            return Err(ListError::TooMany);
        }
        let (entries, count) = match kind {
            Kind::Legacy => (&mut self.legacy, &mut self.counts.legacy),
            Kind::Modern => (&mut self.modern, &mut self.counts.modern),
        };
        entries.push(entry);
        *count += 1;
        Ok(())
    }

    /// How many rules there are.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The first lines of the list read last that are no rules.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The compiled form, which [`Denylist::open`] takes: 36 bytes a rule and 44 more. Of rules with one hash it has the
    /// last.
    pub fn compile(mut self) -> Bytes {
        for entries in [&mut self.legacy, &mut self.modern] {
            // By hash, and of one hash the highest turn first.
            entries.sort_unstable_by(|a, b| a.digest.cmp(&b.digest).then(b.turn.cmp(&a.turn)));
            entries.dedup_by(|a, b| a.digest == b.digest);
        }
        write(&self.legacy, &self.modern, &self.counts)
    }
}

impl Counts {
    /// Rules that are looked for.
    pub fn enforced(&self) -> u32 {
        self.legacy.saturating_add(self.modern)
    }

    /// Rules of any kind.
    fn understood(&self) -> u32 {
        let rest = self.paths.saturating_add(self.names).saturating_add(self.unsupported);
        self.enforced().saturating_add(rest)
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            legacy: self.legacy.saturating_add(other.legacy),
            modern: self.modern.saturating_add(other.modern),
            paths: self.paths.saturating_add(other.paths),
            names: self.names.saturating_add(other.names),
            unsupported: self.unsupported.saturating_add(other.unsupported),
            malformed: self.malformed.saturating_add(other.malformed),
        }
    }
}
