//! The space that is left for records on the disk of the log directory. Asks the disk; changes nothing on it.
//!
//! Records are taken only while more than a floor is free. What lies below it is for everything that must go on when the
//! disk is full: the metadata log, checkpoints, and the small writes that come with deleting. So a full disk heals by
//! itself: retention and the deletion of topics go on, and once there is space so do writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use ottla_broker_log::{Disk, ReservedDisk, Trouble, advice, trouble};
use ottla_broker_types::MonotonicMs;

/// The floor is this part of the volume,
const FLOOR_PART: u64 = 100;
/// but no less: on the smallest volumes metadata and checkpoints still need it,
const FLOOR_BYTES_MIN: u64 = 4 << 20;
/// and no more: larger clusters do not write more metadata than that before somebody looks.
const FLOOR_BYTES_MAX: u64 = 256 << 20;
/// What is set aside beside the floor, as a part of it: for the metadata log, which is written to the end.
const RESERVE_PART: u64 = 2;
/// and at most: some snapshots of the metadata of a large cluster.
const RESERVE_BYTES_MAX: u64 = 32 << 20;
/// Records are taken again when a quarter of the floor is free above it, so that the state does not flap.
const RETURN_PART: u64 = 4;
/// How often a lack of something other than space is logged, however many requests meet it.
const LOG_INTERVAL_MS: u64 = 10_000;

/// See the module.
pub struct Space {
    disk: ReservedDisk,
    dir: PathBuf,
    floor_bytes: u64,
    /// Bytes that records may still take before the disk is asked again.
    left_bytes: AtomicI64,
    free_bytes: AtomicU64,
    is_low: AtomicBool,
    /// Milliseconds of the clock at which a lack of something else may be logged again.
    logs_again_at: AtomicU64,
}

impl Space {
    /// The space on `disk` under `dir`, a volume of `total_bytes` if the system tells.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, total_bytes: Option<u64>) -> Space {
        let floor_bytes = (total_bytes.unwrap_or(0) / FLOOR_PART).clamp(FLOOR_BYTES_MIN, FLOOR_BYTES_MAX);
        let space = Space {
            disk: ReservedDisk::new(disk, dir, (floor_bytes / RESERVE_PART).min(RESERVE_BYTES_MAX)),
            dir: dir.to_owned(),
            floor_bytes,
            left_bytes: AtomicI64::new(0),
            free_bytes: AtomicU64::new(u64::MAX),
            is_low: AtomicBool::new(false),
            logs_again_at: AtomicU64::new(0),
        };
        space.measure();
        space
    }

    /// The disk, whose reserve is for what must be written to the end.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    /// Whether no records are taken.
    pub fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// Bytes that are free, as the disk last said.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that records may take before they are refused, asked of the disk anew; zero while none are taken. `None` if
    /// the system does not tell.
    pub fn usable_bytes(&self) -> Option<u64> {
        let free_bytes = self.disk.free_bytes(&self.dir).ok()?;
        Some(if self.is_low() { 0 } else { free_bytes.saturating_sub(self.floor_bytes) })
    }

    /// Takes `bytes` for records; false if they must not be written.
    pub fn take(&self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.is_low() {
            return false;
        }
        if self.left_bytes.fetch_sub(bytes, Ordering::Relaxed) >= bytes {
            return true;
        }
        self.measure();
        if self.left_bytes.fetch_sub(bytes, Ordering::Relaxed) < bytes {
            // What is refused must be told, and makes what gives space back begin.
            self.set_low(true);
        }
        !self.is_low()
    }

    /// Asks the disk. Called from time to time, and when what was left is used up.
    pub fn measure(&self) {
        let Ok(mut free_bytes) = self.disk.free_bytes(&self.dir) else { return };
        let margin = self.floor_bytes / RETURN_PART;
        if free_bytes > self.floor_bytes + margin + self.disk.reserve_bytes() {
            match self.disk.refill() {
                Ok(true) => free_bytes = self.disk.free_bytes(&self.dir).unwrap_or(free_bytes),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "no space is set aside for metadata"),
            }
        }
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        let left = i128::from(free_bytes) - i128::from(self.floor_bytes);
        let left = left.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        self.left_bytes.store(left, Ordering::Relaxed);
        let margin = if self.is_low() { margin } else { 0 };
        self.set_low(free_bytes < self.floor_bytes + margin);
    }

    /// Takes note of an append that failed for lack of something at `now`.
    pub fn failed(&self, error: &std::io::Error, now: MonotonicMs) {
        match trouble(error) {
            // Space ran out although there should be some: by others' files, a quota, or the count of files.
            Trouble::NoSpace => self.measure(),
            Trouble::Exhausted | Trouble::Broken => {}
        }
        let again_at = self.logs_again_at.load(Ordering::Relaxed);
        if now.0 >= again_at
            && self
                .logs_again_at
                .compare_exchange(again_at, now.0 + LOG_INTERVAL_MS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            tracing::warn!(%error, "records cannot be written: {}", advice(error));
        }
    }

    /// What is the matter with the disk and what helps; `None` while records are taken.
    pub fn complaint(&self) -> Option<String> {
        self.is_low().then(|| {
            let no_space = std::io::Error::from(std::io::ErrorKind::StorageFull);
            format!(
                "the disk of {} has {} left and takes no records below {}: {}",
                self.dir.display(),
                Mebibytes(self.free_bytes()),
                Mebibytes(self.floor_bytes),
                advice(&no_space)
            )
        })
    }

    fn set_low(&self, is_low: bool) {
        if self.is_low.swap(is_low, Ordering::Relaxed) == is_low {
            return;
        }
        match self.complaint() {
            Some(complaint) => tracing::warn!("{complaint}"),
            None => tracing::info!(
                dir = %self.dir.display(),
                free_bytes = self.free_bytes(),
                "the disk has space again: records are taken"
            ),
        }
    }
}

struct Mebibytes(u64);

impl std::fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_log::{OpenMode, SimDisk};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn disk_of(capacity_bytes: u64) -> (SimDisk, Space) {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/data")).unwrap();
        disk.set_capacity_bytes(capacity_bytes);
        let space = Space::new(Arc::new(disk.clone()), Path::new("/data"), Some(capacity_bytes));
        (disk, space)
    }

    fn fill(disk: &SimDisk, bytes: u64) {
        let file = disk.open(Path::new("/data/file"), OpenMode::Create).unwrap();
        file.set_len(bytes).unwrap();
    }

    #[test]
    fn records_never_take_what_lies_below_the_floor() {
        let (disk, space) = disk_of(12 * MIB);
        let mut taken = 0;
        while space.take(1000) {
            taken += 1000;
            fill(&disk, taken);
            assert!(taken <= 6 * MIB, "{taken}");
        }
        assert!(taken > 5 * MIB, "{taken}");
        assert!(space.complaint().is_some(), "what is refused is told");
    }

    #[test]
    fn writes_stop_at_the_floor_and_go_on_by_themselves_above_it() {
        let (disk, space) = disk_of(12 * MIB);
        assert!(space.take(1) && space.complaint().is_none());
        fill(&disk, 7 * MIB);
        space.measure();
        assert!(!space.take(1));
        let complaint = space.complaint().unwrap();
        assert!(complaint.contains("/data has 3.0 MiB left"), "{complaint}");
        assert!(complaint.contains("retention"), "{complaint}");
        fill(&disk, 6 * MIB - 100);
        space.measure();
        assert!(!space.take(1), "just above the floor");
        fill(&disk, 5 * MIB);
        space.measure();
        assert!(space.take(1) && space.complaint().is_none());
    }

    #[test]
    fn the_floor_fits_the_volume() {
        for (total, floor) in
            [(0, 4 * MIB), (64 * MIB, 4 * MIB), (2000 * MIB, 20 * MIB), (1 << 50, 256 * MIB)]
        {
            let (_, space) = disk_of(total);
            assert_eq!(space.floor_bytes, floor, "{total}");
        }
    }
}
