//! Stages: named steps that are timed, stop at the first failure, and end in a summary.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The steps taken so far.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    only: Vec<String>,
    passed: Vec<(String, Duration)>,
    failed: Option<String>,
}

impl Stages {
    /// Stages of which only those count whose names contain one of these words; all count if there are no words.
    pub(crate) fn only(words: &[String]) -> Self {
        Self { only: words.to_vec(), ..Self::default() }
    }

    /// Takes a step, unless one before it failed or it is not among those asked for.
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        let chosen = self.only.is_empty() || self.only.iter().any(|word| name.contains(word));
        if !chosen || self.failed.is_some() {
            return;
        }
        eprintln!("\n==> {name}");
        let begun = Instant::now();
        match step() {
            Ok(()) => self.passed.push((name.to_owned(), begun.elapsed())),
            Err(error) => {
                eprintln!("\n{name} failed after {:.1?}: {error:#}", begun.elapsed());
                self.failed = Some(name.to_owned());
            }
        }
    }

    /// Prints the summary, whose last line is `N passed, N failed`.
    pub(crate) fn finish(self) -> Result<()> {
        eprintln!();
        for (name, time) in &self.passed {
            println!("ok    {:>7.1} s  {name}", time.as_secs_f64());
        }
        if let Some(name) = &self.failed {
            println!("FAIL             {name}");
        }
        println!("{} passed, {} failed", self.passed.len(), usize::from(self.failed.is_some()));
        match self.failed {
            Some(name) => bail!("{name} failed; what came after it was not run"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_runs_after_a_failure() {
        let mut stages = Stages::default();
        let mut ran = false;
        stages.step("good", || Ok(()));
        stages.step("bad", || bail!("on purpose"));
        stages.step("later", || {
            ran = true;
            Ok(())
        });
        assert!(!ran);
        assert!(stages.finish().is_err());
    }

    #[test]
    fn a_stage_that_was_not_asked_for_is_left_out() {
        let mut stages = Stages::only(&["wasm".to_owned()]);
        stages.step("lints", || bail!("on purpose"));
        stages.step("the wasm build", || Ok(()));
        assert_eq!(stages.passed.len(), 1);
        assert!(stages.finish().is_ok());
    }

    #[test]
    fn all_good_is_good() {
        let mut stages = Stages::default();
        stages.step("good", || Ok(()));
        assert!(stages.finish().is_ok());
    }
}
