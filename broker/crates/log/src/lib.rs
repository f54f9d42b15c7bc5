//! One partition's log in Kafka's own files, and the disk under it.
//!
//! Owns: the files of a partition's directory and of a log directory (`FORMAT.md`), offsets, leader epochs,
//! producer state, recovery and retention. Does file I/O on the calling thread, through [`Disk`] only; never
//! asks for time (`now` is an argument), starts no thread, waits for nothing but the disk.
//!
//! Invariants: `log_start <= log_end`; `recovery_point <= log_end`; offsets and leader epochs never go back
//! from one batch to the next; what was synced below the recovery point is never removed by recovery.

mod checkpoint;
mod cleaner;
mod config;
mod disk;
mod epochs;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod hostile;
mod log;
mod producers;
mod segment;

pub use checkpoint::{
    CLEAN_SHUTDOWN_FILE, CLEANED_ENDS_FILE, CheckpointError, Checkpoints, HIGH_WATERMARKS_FILE,
    LOG_STARTS_FILE, META_PROPERTIES_FILE, METADATA_DIR, MetaProperties, PartitionDir, RECOVERY_POINTS_FILE,
    is_metadata_log, partition_dir_name, read_clean_shutdown, read_meta_properties, remove_clean_shutdown,
    stray_dir_name, unhosted_logs, write_clean_shutdown, write_meta_properties,
};
pub use cleaner::{
    CleanError, CleanGroup, CleanPass, CleanResources, CleanStats, Cleanable, CleanedSegment, filthiest,
};
pub use config::{CleanupPolicy, DirtyRatio, LogConfig};
pub use disk::{
    Disk, DiskFile, OpenMode, PacedDisk, RESERVE_FILE, RealDisk, ReservedDisk, Trouble, Writebacks, advice,
    replace_file, trouble,
};
#[cfg(any(test, feature = "testing"))]
pub use disk::{SimDisk, SimError, SimFault, SimOp, fixtures, make_fixture};
pub use epochs::EpochCache;
pub use error::{AppendError, Corruption, LogError, OpenError, ReadError, RejectedRecord};
pub use log::{
    Appended, BatchRules, CheckedBatch, Deleted, Effort, EndTransaction, FlushPlan, Log, LogRead, OpenReport,
    RecoveryPoint, TimestampedOffset, Verdict,
};
#[cfg(any(test, feature = "testing"))]
pub use producers::KnownProducer;

pub use segment::AbortedTransaction;

#[cfg(test)]
mod tests;
