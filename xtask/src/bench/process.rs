//! What the system knows of a process: CPU time and resident memory. Linux only.

use std::fs;

use anyhow::{Context, Result, bail};

/// The unit of CPU times in `/proc`, fixed by the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of CPU that the threads of a process have used, in the program and in the kernel.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may have spaces; what follows it has none.
    let (_, fields) = stat.rsplit_once(')').context("a strange /proc/PID/stat")?;
    let ticks = |n: usize| fields.split_whitespace().nth(n).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("a strange /proc/PID/stat")?;
    Ok((user + system) / TICKS_PER_SECOND)
}

/// The same, of the threads that run now and in nanoseconds: for what takes less than a tick.
pub(crate) fn cpu_seconds_now(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that has just ended has no times any more.
        let Ok(times) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let run = times.split_whitespace().next().context("a strange schedstat")?;
        nanoseconds += run.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// The process of this name that `parent` started.
pub(crate) fn child(parent: u32, name: &str) -> Result<u32> {
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let Some(pid) = process.file_name().to_str().and_then(|pid| pid.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        let Some((head, fields)) = stat.rsplit_once(')') else { continue };
        let is_child = fields.split_whitespace().nth(1).is_some_and(|field| field == parent.to_string());
        if is_child && head.ends_with(name) {
            return Ok(pid);
        }
    }
    bail!("process {parent} has no child {name}")
}

/// Bytes of a process that are in memory.
pub(crate) fn resident_bytes(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/PID/status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}
