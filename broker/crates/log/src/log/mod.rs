//! The log of one partition. The child modules hold one operation each.

mod partition_log;
mod types;

pub use partition_log::Log;
pub use types::{Appended, Deleted, LogRead, RecoveryPoint, TimestampedOffset};
