//! One partition's log in Kafka's own files, and the disk under it.
//!
//! Owns: the files of a partition's directory and of a log directory (`FORMAT.md`), offsets, leader epochs,
//! producer state, recovery and retention. Does file I/O on the calling thread, through [`Disk`] only; never
//! asks for time (`now` is an argument), starts no thread, waits for nothing but the disk.
//!
//! Invariants: `log_start <= log_end`; `recovery_point <= log_end`; offsets and leader epochs never go back
//! from one batch to the next; what was synced below the recovery point is never removed by recovery.

mod config;
mod disk;
mod error;
mod log;

pub use config::{CleanupPolicy, LogConfig};
pub use disk::{Disk, DiskFile, OpenMode};
pub use error::{AppendError, LogError, OpenError, ReadError};
pub use log::{Appended, Deleted, Log, LogRead, RecoveryPoint, TimestampedOffset};
