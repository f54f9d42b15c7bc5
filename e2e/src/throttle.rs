//! A share of a processor that processes may use together, as a pod's limit gives it: the kernel stops them for the rest of
//! each period once it is used up.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The kernel's period, which Kubernetes keeps.
const PERIOD_US: u64 = 100_000;
/// Where control groups of the processor are mounted, by version of the kernel's interface.
const V1: &str = "/sys/fs/cgroup/cpu";
const V2: &str = "/sys/fs/cgroup";

/// A control group; dropping it removes it once its processes have ended.
#[derive(Debug)]
pub struct Throttle {
    group: PathBuf,
}

impl Throttle {
    /// A group named `name` whose processes get `percent` of one processor together.
    ///
    /// # Errors
    /// When control groups cannot be made here.
    pub fn new(name: &str, percent: u64) -> Result<Throttle> {
        let quota_us = PERIOD_US * percent / 100;
        let name = format!("ottla-{}-{name}", std::process::id());
        let v1 = PathBuf::from(V1);
        let (group, file, quota) = match v1.join("cpu.cfs_quota_us").exists() || v1.join("tasks").exists() {
            true => (v1.join(name), "cpu.cfs_quota_us", quota_us.to_string()),
            false => (PathBuf::from(V2).join(name), "cpu.max", format!("{quota_us} {PERIOD_US}")),
        };
        fs::create_dir(&group).context("make a control group")?;
        let throttle = Throttle { group };
        fs::write(throttle.group.join(file), quota).context("set the group's share")?;
        Ok(throttle)
    }

    /// Puts a process into the group, with all its threads.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn hold(&self, process: u32) -> Result<()> {
        fs::write(self.group.join("cgroup.procs"), process.to_string())
            .context("put a process into the group")
    }

    /// In how many periods its processes were stopped.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn stopped_periods(&self) -> Result<u64> {
        let stat = fs::read_to_string(self.group.join("cpu.stat")).context("read the group's figures")?;
        let stopped = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        Ok(stopped.context("no line nr_throttled")?.parse()?)
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // A group with processes cannot be removed; it goes with the machine, and holds nothing.
        let _ = fs::remove_dir(&self.group);
    }
}
