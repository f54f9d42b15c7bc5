//! Why a log refuses: one enum per operation, a variant for each way in which a caller acts. No I/O.

use std::io;
use std::path::PathBuf;

use ottla_broker_protocol::batch::BatchError;
use ottla_broker_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TopicId};

use crate::checkpoint::CheckpointError;

/// What lies in a segment instead of the log's next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// No batch, or a damaged one.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// An index entry for a batch that the segment does not hold.
    #[error("the index names position {position} of a segment that ends at {end}")]
    IndexPastEnd {
        /// Where the batch should begin.
        position: u32,
        /// Bytes of the segment.
        end: u32,
    },
    /// A batch at or before the end of the one before it.
    #[error("a batch at offset {found} follows one that ends before {expected}")]
    OffsetsGoBack {
        /// The least offset that could follow.
        expected: Offset,
        /// The batch's base offset.
        found: i64,
    },
    /// The segment before ends early: its last batches were lost.
    #[error("the segment at offset {base} follows one that ends at {end}")]
    SegmentsApart {
        /// First offset after the segment before.
        end: Offset,
        /// The segment's base offset.
        base: Offset,
    },
    /// A batch of an older leader than the one before it.
    #[error("a batch of leader epoch {found} follows one of epoch {latest}")]
    EpochsGoBack {
        /// Epoch of the batches before.
        latest: LeaderEpoch,
        /// Epoch of the batch.
        found: i32,
    },
}

/// A change of the log that the disk refused.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Space ran out. The log is as it was before the call and works again when there is space.
    #[error("no space is left on the disk of the log")]
    NoSpace(#[source] io::Error),
    /// The machine has no more open files or memory to give. The log is as it was and works again when it has.
    #[error("the machine is at a limit: {0}")]
    Exhausted(#[source] io::Error),
    /// An I/O error. It is final: what is on disk is not known any more, so this handle refuses further work.
    #[error("the log failed: {0}")]
    Failed(#[source] io::Error),
    /// A file holds something that the log never wrote.
    #[error("the log is corrupt at offset {offset}: {source}")]
    Corrupt {
        /// About where.
        offset: Offset,
        /// What is wrong.
        source: Corruption,
    },
}

/// A record because of which its batch was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its position in the batch, from zero.
    pub index: i32,
    /// What is wrong with it, in words.
    pub message: String,
}

/// An append that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are not what their writer checksummed, or not one whole batch (CORRUPT_MESSAGE).
    #[error("the batch is corrupt: {0}")]
    CorruptBatch(#[source] BatchError),
    /// A format other than v2 (INVALID_RECORD).
    #[error("the batch has magic {magic}, only 2 is supported")]
    UnsupportedMagic {
        /// The magic byte.
        magic: i8,
    },
    /// A codec that nobody knows (UNSUPPORTED_COMPRESSION_TYPE).
    #[error("the batch names the unknown compression codec {codec}")]
    UnsupportedCompression {
        /// Value of the codec bits.
        codec: i16,
    },
    /// The batch breaks a rule for producers, or is no batch inside (INVALID_RECORD).
    #[error("the batch is invalid: {reason}")]
    InvalidRecord {
        /// The rule, in words.
        reason: &'static str,
        /// The first offending records, where the rule is about records (KIP-467).
        records: Vec<RejectedRecord>,
    },
    /// Timestamps lie too far from the broker's clock, or are not the producer's (INVALID_TIMESTAMP).
    #[error("timestamps of the batch are invalid")]
    InvalidTimestamp {
        /// The first offending records (KIP-467).
        records: Vec<RejectedRecord>,
    },
    /// Larger than `max.message.bytes` (MESSAGE_TOO_LARGE).
    #[error("the batch has {size} bytes, {size_max} are allowed")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// Bytes allowed.
        size_max: usize,
    },
    /// Larger than `segment.bytes` (RECORD_LIST_TOO_LARGE).
    #[error("the batch has {size} bytes, a segment holds {segment_bytes_max}")]
    LargerThanSegment {
        /// Bytes of the batch.
        size: usize,
        /// `segment.bytes` of the topic.
        segment_bytes_max: usize,
    },
    /// A record is missing before this batch, or it came too late to be known as a duplicate
    /// (OUT_OF_ORDER_SEQUENCE_NUMBER).
    #[error("producer {producer_id} sent sequence {found}, {expected} comes next")]
    OutOfOrderSequence {
        /// As the batch names it.
        producer_id: ProducerId,
        /// The sequence that would have been accepted.
        expected: Sequence,
        /// The batch's first sequence.
        found: Sequence,
    },
    /// The producer was fenced by a newer epoch (INVALID_PRODUCER_EPOCH).
    #[error("producer {producer_id} has epoch {found}, epoch {current} is known")]
    InvalidProducerEpoch {
        /// As the batch names it.
        producer_id: ProducerId,
        /// The newest epoch known.
        current: ProducerEpoch,
        /// The batch's epoch.
        found: ProducerEpoch,
    },
    /// A newer transaction coordinator has written a marker for the producer (TRANSACTION_COORDINATOR_FENCED).
    #[error(
        "coordinator epoch {found} is older than epoch {current}, which wrote the producer's last marker"
    )]
    CoordinatorFenced {
        /// The newest epoch known.
        current: i32,
        /// The marker's epoch.
        found: i32,
    },
    /// A leader epoch below that of the last batch: whoever appends is not the leader any more.
    #[error("leader epoch {found} is older than epoch {latest} of the log")]
    StaleLeaderEpoch {
        /// Epoch of the last batch in the log.
        latest: LeaderEpoch,
        /// Epoch of the append.
        found: LeaderEpoch,
    },
    /// A fetched batch lies before the log end: the follower must truncate first.
    #[error("the batch at offset {found} lies before the log end {log_end}")]
    OffsetNotIncreasing {
        /// The log's end.
        log_end: Offset,
        /// The batch's base offset.
        found: i64,
    },
    /// Space ran out. Of an append of one batch nothing is left; of several, whole batches may have been kept.
    #[error("no space is left on the disk of the log")]
    NoSpace(#[source] io::Error),
    /// The machine has no more open files or memory to give; as [`AppendError::NoSpace`].
    #[error("the machine is at a limit: {0}")]
    Exhausted(#[source] io::Error),
    /// An I/O error; final, as [`LogError::Failed`].
    #[error("the log failed: {0}")]
    Failed(#[source] io::Error),
}

/// A read that gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is outside the log (OFFSET_OUT_OF_RANGE).
    #[error("offset {asked} is outside of {log_start}..={log_end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        asked: Offset,
        /// First offset of the log.
        log_start: Offset,
        /// First offset after the log.
        log_end: Offset,
    },
    /// The disk or the handle failed (KAFKA_STORAGE_ERROR).
    #[error("the log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A file holds something that the log never wrote (KAFKA_STORAGE_ERROR).
    #[error("the log is corrupt at offset {offset}: {source}")]
    Corrupt {
        /// About where.
        offset: Offset,
        /// What is wrong.
        source: Corruption,
    },
}

/// A directory that cannot be opened as the log asked for; nothing in it was changed but what recovery removes.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refused.
    #[error("cannot open {path}: {source}", path = path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The directory belongs to another topic of the same name (INCONSISTENT_TOPIC_ID).
    #[error("the directory holds topic id {found}, not {expected}")]
    TopicIdMismatch {
        /// The id asked for.
        expected: TopicId,
        /// The id in `partition.metadata`.
        found: TopicId,
    },
    /// A later release wrote one of the files.
    #[error(transparent)]
    Newer(CheckpointError),
    /// The directory is the quorum's: no partition is opened there.
    #[error("{path} is the folder of the metadata log, not of a partition: nothing there was touched", path = path.display())]
    MetadataLog {
        /// The directory.
        path: PathBuf,
    },
    /// What was synced before the recovery point is damaged. The replica has to be built anew from another one.
    #[error("{path} is damaged at position {position}, below the recovery point: {source}", path = path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Position of the first bad batch in bytes.
        position: u32,
        /// What is wrong.
        source: Corruption,
    },
}
