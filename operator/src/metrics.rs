//! Counters of the operator, as Prometheus reads them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the operator counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Reconciles of clusters and their topics.
    pub reconciles: AtomicU64,
    /// Reconciles that ended in an error.
    pub failures: AtomicU64,
    /// Brokers restarted.
    pub restarts: AtomicU64,
    /// Objects applied.
    pub applies: AtomicU64,
    /// Statuses written.
    pub statuses: AtomicU64,
    /// Reassignments started, in partitions.
    pub reassignments: AtomicU64,
}

impl Metrics {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// The page.
    pub fn text(&self) -> String {
        let rows = [
            ("reconciles_total", "Reconciles of clusters and their topics.", &self.reconciles),
            ("failures_total", "Reconciles that ended in an error.", &self.failures),
            ("restarts_total", "Brokers restarted.", &self.restarts),
            ("applies_total", "Objects applied.", &self.applies),
            ("status_writes_total", "Statuses written.", &self.statuses),
            ("reassignments_total", "Partitions whose reassignment was started.", &self.reassignments),
        ];
        let mut text = String::new();
        for (name, about, counter) in rows {
            let value = counter.load(Ordering::Relaxed);
            text.push_str(&format!(
                "# HELP ottla_operator_{name} {about}\n# TYPE ottla_operator_{name} counter\nottla_operator_{name} {value}\n"
            ));
        }
        if let Some(bytes) = resident_bytes() {
            text.push_str(&format!(
                "# HELP process_resident_memory_bytes Resident memory size in bytes.\n\
                 # TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {bytes}\n"
            ));
        }
        text
    }
}

/// What the kernel counts as resident of this process; `None` where it does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
