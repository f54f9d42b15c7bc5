//! What goes into a log's operations and comes out of them. Plain values, no I/O but [`Deleted::remove_files`].

use std::io;
use std::path::PathBuf;

use ottla_broker_protocol::Segment;
use ottla_broker_types::{LeaderEpoch, Offset, TimestampMs};

use crate::disk::Disk;

/// What is known about a log before it is opened, from the checkpoints of its log directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryPoint {
    /// Whether the directory was closed cleanly: then its files are trusted as they are.
    pub clean_shutdown: bool,
    /// Everything below this offset was synced; only what comes after is checked.
    pub synced_end: Offset,
    /// The log start that was last checkpointed.
    pub log_start: Offset,
}

/// What opening a log took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Bytes of the segments whose batches were walked over and whose indexes were built anew.
    pub rebuilt_bytes: u64,
    /// Bytes that were cut off behind the last sound batch.
    pub truncated_bytes: u64,
    /// Segments removed after the last sound batch.
    pub removed_segment_count: usize,
}

/// An append, or the earlier one of which it is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The broker's time on all records, if the topic's timestamps are of that type.
    pub log_append_time: Option<TimestampMs>,
    /// Bytes written; zero for a duplicate.
    pub bytes: usize,
    /// Records written; zero for a duplicate.
    pub record_count: u64,
    /// Whether the producer had sent this batch before; the offsets are those of that time.
    pub duplicate: bool,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRead {
    /// Whole batches, in order.
    pub segments: Vec<Segment>,
    /// Bytes of all segments.
    pub bytes: usize,
    /// Base offset of the first batch, at or below the offset asked for; the latter when nothing was read.
    pub first_batch_offset: Offset,
    /// Base of the last segment that was read from, and the position in it after what was read.
    pub(super) last: Option<(Offset, u32)>,
}

impl LogRead {
    /// A read at `from` that found nothing.
    pub fn empty(from: Offset) -> LogRead {
        LogRead { segments: Vec::new(), bytes: 0, first_batch_offset: from, last: None }
    }
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: TimestampMs,
    /// Epoch of the leader that appended the record.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// Segments that left the log. Their files were renamed to `*.deleted` and wait for removal, which may take long
/// and needs no access to the log; leftovers are removed when the log is opened again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the files stay on disk until they are removed"]
pub struct Deleted {
    /// Count of segments.
    pub segment_count: usize,
    /// Bytes of records in them.
    pub bytes: u64,
    /// The renamed files.
    pub files: Vec<PathBuf>,
}

impl Deleted {
    /// Removes the files; on an error the rest stays for the next start.
    pub fn remove_files(&self, disk: &dyn Disk) -> io::Result<()> {
        self.files.iter().try_for_each(|file| disk.remove_file(file))
    }
}
