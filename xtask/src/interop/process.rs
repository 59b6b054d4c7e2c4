//! Other programs under a time limit: daemons that die with us, and commands that end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::shell::{self, show};

/// How often something that should happen soon is looked for.
const POLL: Duration = Duration::from_millis(5);
/// How much of a program's log is shown when it failed.
const LOG_LINES: usize = 40;

/// A program that runs until it is dropped, its stdout and stderr kept in files.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program. `folder` gets the files `NAME.out` and `NAME.log`.
    pub(crate) fn spawn(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let out = folder.join(format!("{name}.out"));
        let log = folder.join(format!("{name}.log"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot run `{}`", show(command)))?;
        Ok(Self { name: name.to_owned(), child, out, log })
    }

    /// Waits until what was printed on stdout satisfies `ready`, and returns what that found.
    pub(crate) fn wait_until<T>(&mut self, limit: Duration, mut ready: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        loop {
            let printed = fs::read_to_string(&self.out)?;
            // An unfinished line is not there yet.
            let lines = printed.rfind('\n').map_or("", |end| &printed[..end]);
            if let Some(found) = ready(lines) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended before it was ready: {status}\n{}", self.name, self.last_words());
            }
            if begun.elapsed() > limit {
                bail!("{} was not ready after {limit:?}\n{}", self.name, self.last_words());
            }
            thread::sleep(POLL);
        }
    }

    /// Fails if the program has ended.
    pub(crate) fn expect_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended: {status}\n{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// Asks the program to end, as a service manager does, and waits for it.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        let id = self.child.id().to_string();
        shell::run(Command::new("kill").args(["-TERM", &id]))?;
        match wait(&mut self.child, limit)? {
            Some(status) => Ok(status),
            None => bail!("{} still ran {limit:?} after SIGTERM\n{}", self.name, self.last_words()),
        }
    }

    /// Waits for the program to end by itself, and well.
    pub(crate) fn finish(&mut self, limit: Duration) -> Result<()> {
        match wait(&mut self.child, limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{} failed: {status}\n{}", self.name, self.last_words()),
            None => bail!("{} did not end within {limit:?}\n{}", self.name, self.last_words()),
        }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed on stdout so far.
    pub(crate) fn printed(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.out)?)
    }

    /// The end of the program's log.
    pub(crate) fn last_words(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // What it has started itself would go on without it: Node starts workerd. It may have ended, which is fine here.
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !children.trim().is_empty() {
            let _ = Command::new("kill").arg("-KILL").args(children.split_whitespace()).stderr(Stdio::null()).status();
        }
    }
}

/// Runs a command to its end and returns its stdout; past the limit it is killed, which is an error.
pub(crate) fn bounded(command: &mut Command, limit: Duration, scratch: &Path) -> Result<String> {
    let out = scratch.join("command.out");
    bounded_to(command, limit, scratch, &out)?;
    fs::read_to_string(&out).with_context(|| format!("`{}` did not print UTF-8", show(command)))
}

/// Like [`bounded`], with stdout written to a file.
pub(crate) fn bounded_to(command: &mut Command, limit: Duration, scratch: &Path, out: &Path) -> Result<()> {
    let shown = show(command);
    let log = scratch.join("command.log");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(out)?)
        .stderr(File::create(&log)?)
        .spawn()
        .with_context(|| format!("cannot run `{shown}`"))?;
    match wait(&mut child, limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("`{shown}` failed: {status}\n{}", tail(&log)),
        None => {
            child.kill()?;
            child.wait()?;
            bail!("`{shown}` did not end within {limit:?}\n{}", tail(&log))
        }
    }
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > limit {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    last.iter().map(|line| format!("    | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;

    fn scratch(name: &str) -> Result<PathBuf> {
        Cache::locate()?.fresh_folder(format!("run/unit-{name}"))
    }

    #[test]
    fn a_command_that_hangs_is_ended() -> Result<()> {
        let scratch = scratch("hang")?;
        let begun = Instant::now();
        let limit = Duration::from_millis(50);
        assert!(bounded(Command::new("sleep").arg("60"), limit, &scratch).is_err());
        assert!(begun.elapsed() < Duration::from_secs(30));
        Ok(())
    }

    #[test]
    fn a_failure_shows_what_the_program_said() -> Result<()> {
        let scratch = scratch("failure")?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo because >&2; exit 3"]);
        let error = bounded(&mut command, Duration::from_secs(10), &scratch).unwrap_err();
        assert!(error.to_string().contains("because"), "{error}");
        Ok(())
    }

    #[test]
    fn a_program_that_fails_or_goes_on_has_not_finished() -> Result<()> {
        let scratch = scratch("finish")?;
        for (script, limit, finishes) in [("true", 10_000, true), ("false", 10_000, false), ("sleep 60", 50, false)] {
            let mut daemon = Daemon::spawn("script", Command::new("sh").args(["-c", script]), &scratch)?;
            assert_eq!(daemon.finish(Duration::from_millis(limit)).is_ok(), finishes, "{script}");
        }
        Ok(())
    }

    #[test]
    fn a_daemon_is_waited_for_by_whole_lines() -> Result<()> {
        let scratch = scratch("daemon")?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; printf tw; sleep 0.1; echo o; exec sleep 60"]);
        let mut daemon = Daemon::spawn("lines", &mut command, &scratch)?;
        let two = daemon.wait_until(Duration::from_secs(10), |printed| printed.lines().nth(1).map(str::to_owned))?;
        assert_eq!(two, "two");
        Ok(())
    }
}
