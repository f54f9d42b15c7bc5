//! Record batches, format v2 (magic 2), as they travel and as they lie on disk.
//! Owns the layout of the 61-byte header, the CRC-32C over it, the records inside, and their compression.
//! Does no I/O. Never trusts a length it did not check, nor decompresses past the caller's bound.

mod builder;
mod check;
mod compression;
mod control;
mod error;
mod header;
mod iter;
mod records;
mod rewrite;

pub use builder::{BatchBuilder, BatchOptions};
pub use check::{
    BrokenRule, FAULTS_MAX, Limits, RecordFault, RecordRules, Rejected, Scratch, Walked, check_records,
};
pub use compression::Compression;
pub use control::{EndTransactionMarker, TransactionResult};
pub use error::BatchError;
pub use header::{
    Attributes, BatchHeader, HEADER_LEN, LENGTH_PREFIX_LEN, MAGIC, TimestampType, stamp,
    stamp_log_append_time, stamp_max_timestamp,
};
pub use iter::{Batches, batches};
pub use records::{BatchRecords, Record, RecordHeader, RecordIter, records};
pub use rewrite::{BatchRewriter, empty_batch};
