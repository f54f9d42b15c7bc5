//! What a process costs: instructions where the machine counts them, CPU seconds elsewhere, and memory.

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Ticks of the times in /proc/PID/stat per second: fixed for every Linux user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// What costs are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Instructions in user space and kernel, in billions.
    Instructions,
    /// Seconds of CPU time in user space and kernel.
    CpuSeconds,
}

impl Unit {
    /// Instructions, if `perf` and the processor count them.
    pub fn of_this_machine() -> Unit {
        let probe = Command::new("perf")
            .args(["stat", "-x,", "-e", "instructions:u,instructions:k", "true"])
            .output();
        match probe.map(|output| instructions(&String::from_utf8_lossy(&output.stderr))) {
            Ok(Some(_)) => Unit::Instructions,
            _ => Unit::CpuSeconds,
        }
    }

    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Instructions => "billion instructions (user + kernel, perf)",
            Unit::CpuSeconds => "CPU seconds (user + kernel, /proc/PID/stat; no instruction counters here)",
        }
    }

    /// Its short name.
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Instructions => "Ginstr",
            Unit::CpuSeconds => "CPU s",
        }
    }

    /// What process `pid` spends while `work` runs, and what `work` returns.
    pub fn measure<T>(self, pid: u32, work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
        match self {
            Unit::CpuSeconds => {
                let before = cpu_seconds(pid)?;
                let value = work()?;
                Ok((cpu_seconds(pid)? - before, value))
            }
            Unit::Instructions => {
                let counter = attach(pid)?;
                let value = work()?;
                Ok((detach(counter)? / 1e9, value))
            }
        }
    }
}

fn attach(pid: u32) -> Result<Child> {
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-e", "instructions:u,instructions:k", "-p", &pid.to_string()]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("start perf stat")?;
    // perf says nothing when it counts; once its descriptors are the events, it does.
    let descriptors = format!("/proc/{}/fd", child.id());
    loop {
        let open = fs::read_dir(&descriptors).context("perf ended")?;
        let counts = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        if counts.filter(|link| link.to_string_lossy().contains("[perf_event]")).count() >= 2 {
            return Ok(child);
        }
        std::thread::yield_now();
    }
}

fn detach(counter: Child) -> Result<f64> {
    let pid = counter.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().context("stop perf stat")?;
    let said = counter.wait_with_output().context("wait for perf stat")?;
    instructions(&String::from_utf8_lossy(&said.stderr)).context("perf stat counted nothing")
}

/// The sum of the counts that `perf stat -x,` prints; none if one was not counted.
fn instructions(said: &str) -> Option<f64> {
    let counts: Option<Vec<f64>> = said
        .lines()
        .filter(|line| line.contains("instructions"))
        .map(|line| line.split(',').next()?.parse().ok())
        .collect();
    counts.filter(|counts| counts.len() == 2).map(|counts| counts.iter().sum())
}

/// CPU time of a process and of all its threads, also those that have ended.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    ticks(&stat).map(|ticks| ticks / TICKS_PER_SECOND).context("/proc/PID/stat is not as proc(5) says")
}

/// `utime` and `stime`: the 14th and 15th field; the second one is a name in brackets that may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

/// Resident memory of a process in MB (10^6 bytes): `VmRSS`, or `VmHWM` for the most it ever had.
pub fn memory_mb(pid: u32, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0 / 1e6).with_context(|| format!("/proc/PID/status has no {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_move_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 90 0 0 0 12 30 0 0 20 0 3 0 100 0 0";
        assert_eq!(ticks(stat), Some(42.0));
    }

    #[test]
    fn uncounted_events_are_no_count() {
        assert_eq!(instructions("10,,instructions:u,1,100.00,,\n5,,instructions:k,1,100.00,,\n"), Some(15.0));
        assert_eq!(instructions("<not supported>,,instructions:u,0,100.00,,\n5,,instructions:k,1\n"), None);
    }
}
