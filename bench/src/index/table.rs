//! The table that is printed: what is asked, what is aimed at, what was measured here, and how.

use std::fmt::Write as _;

/// Rows, and what they say that is not as asked.
#[derive(Default)]
pub(crate) struct Table {
    rows: String,
    unmet: Vec<String>,
}

impl Table {
    /// A figure with nothing asked of it.
    pub(crate) fn note(&mut self, what: &str, here: &str, how: &str) {
        self.row(what, "", "", here, how);
    }

    /// A figure that should be so. Only what does not depend on the machine's speed is held against `met`.
    pub(crate) fn figure(&mut self, what: &str, [asked, aim]: [&str; 2], here: &str, met: bool, how: &str) {
        if !met {
            self.unmet.push(format!("{what}: {asked} asked, {here} here"));
        }
        self.row(what, asked, aim, here, how);
    }

    fn row(&mut self, what: &str, asked: &str, aim: &str, here: &str, how: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.rows, "| {what} | {asked} | {aim} | {here} | {how} |");
    }

    /// The table, and what is not as asked.
    pub(crate) fn finish(self) -> (String, Vec<String>) {
        (format!("| | asked | aim | here | how it was got |\n|---|---|---|---|---|\n{}", self.rows), self.unmet)
    }
}
