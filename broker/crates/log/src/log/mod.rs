//! The log of one partition: its facts in one file, then one operation a file.

mod append;
mod delete;
mod flush;
mod open;
mod partition_log;
mod producer_batch;
mod read;
mod restore;
mod retention;
mod roll;
mod swap;
mod transactions;
mod truncate;
mod types;

pub use flush::FlushPlan;
pub use partition_log::Log;
pub use producer_batch::{BatchRules, CheckedBatch, Effort, Verdict};
pub use transactions::EndTransaction;
pub use types::{Appended, Deleted, LogRead, OpenReport, RecoveryPoint, TimestampedOffset};
