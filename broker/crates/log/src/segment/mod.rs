//! One segment: a file of batches, a sparse index by offset and one by time.

mod files;
mod index;
mod load;
mod lookup;
mod scan;
#[allow(clippy::module_inception)]
mod segment;
mod select;
mod txn_index;

#[cfg(test)]
pub(crate) const OFFSET_ENTRY_BYTES: usize = <index::OffsetEntry as index::IndexEntry>::BYTES;
#[cfg(test)]
pub(crate) const TIME_ENTRY_BYTES: usize = <index::TimeEntry as index::IndexEntry>::BYTES;

pub(crate) use files::{
    CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, Place, SWAP_SUFFIX, TMP_SUFFIX, offset_in_name,
};
pub(crate) use load::RecoveryRules;
pub(crate) use lookup::{SegmentEnd, TimestampQuery};
pub(crate) use scan::{Damage, SEQUENTIAL_CHUNK_BYTES, Scan, ScanItem};
pub(crate) use segment::{OFFSET_DISTANCE_MAX, Segment, StoredBatch};
pub(crate) use select::Wanted;
pub use txn_index::AbortedTransaction;
#[cfg(test)]
pub(crate) use txn_index::TXN_ENTRY_BYTES;
