//! What running brokers take of the machine, as the kernel tells it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::brokers::Brokers;

impl Brokers {
    /// Processor time that all running brokers have used, in steps of 10 ms each.
    pub fn processor_time(&self) -> Result<Duration> {
        let mut ticks = 0;
        for process in self.running() {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
            let (_, fields) = stat.rsplit_once(')').context("the name ends with a bracket")?;
            // Behind the name: the 12th and the 13th field are the time as itself and in the kernel.
            let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
            ticks += times.sum::<Result<u64, _>>()?;
        }
        // The kernel's USER_HZ, on every architecture that brokers run on.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Processor time that all running brokers take while nothing is asked for `time`; the cheapest of two looks.
    pub async fn idle_processor_time(&self, time: Duration) -> Result<Duration> {
        let mut best = Duration::MAX;
        for _ in 0..2 {
            let before = self.processor_time()?;
            tokio::time::sleep(time).await;
            best = best.min(self.processor_time()?.saturating_sub(before));
        }
        Ok(best)
    }

    /// Resident memory of all running brokers.
    pub fn resident_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for process in self.running() {
            let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a line VmRSS")?;
            bytes += line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024;
        }
        Ok(bytes)
    }

    /// Files that all running brokers hold open.
    pub fn open_files(&self) -> Result<usize> {
        let count = |process| Ok(std::fs::read_dir(format!("/proc/{process}/fd"))?.count());
        self.running().map(count).sum()
    }
}
