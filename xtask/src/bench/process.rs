//! What the system knows of a process: CPU time and resident memory. Linux only.

use std::fs;

use anyhow::{Context, Result};

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

/// Bytes of a process that are in memory.
pub(crate) fn resident_bytes(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/PID/status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}
