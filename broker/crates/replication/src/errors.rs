//! Why a replica refuses: one enum per operation, a variant for each way in which a caller acts. No I/O.

use ottla_broker_log::{AppendError, LogError, ReadError};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::Offset;

/// The asker and this replica disagree about who leads (KIP-320).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeadershipError {
    /// The asker knows an older epoch than this replica.
    #[error("the leader epoch is older than this replica's")]
    FencedLeaderEpoch,
    /// The asker knows a newer epoch than this replica.
    #[error("the leader epoch is newer than this replica's")]
    UnknownLeaderEpoch,
    /// This replica does not lead.
    #[error("this replica does not lead the partition")]
    NotLeaderOrFollower,
}

/// A produce that was not appended.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// This replica does not lead.
    #[error("this replica does not lead the partition")]
    NotLeaderOrFollower,
    /// acks=all with fewer in-sync replicas than `min.insync.replicas`.
    #[error("{in_sync} replicas are in sync, {required} are required")]
    NotEnoughReplicas {
        /// Size of the committed ISR.
        in_sync: usize,
        /// Required size.
        required: usize,
    },
    /// The producer's batch before this one was refused, and is missing.
    #[error("the producer's batch before this one was refused: {}", code.message())]
    AfterRefused {
        /// The error it was refused with.
        code: ErrorCode,
    },
    /// The log refused the batch or could not write it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// What a broker that appends records of its own can hope for after a [`ProduceError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another replica that leads: this one does not, or its disk has failed or is full.
    AnotherLeader,
    /// The same again later: too few replicas are in sync.
    Later,
    /// A smaller batch.
    Smaller,
    /// None: the records or the log are at fault.
    Nothing,
}

impl ProduceError {
    /// What would help.
    pub fn remedy(&self) -> Remedy {
        match self {
            ProduceError::NotLeaderOrFollower => Remedy::AnotherLeader,
            ProduceError::NotEnoughReplicas { .. } => Remedy::Later,
            ProduceError::AfterRefused { .. } => Remedy::Nothing,
            ProduceError::Append(error) => match error {
                AppendError::StaleLeaderEpoch { .. }
                | AppendError::NoSpace(_)
                | AppendError::Exhausted(_)
                | AppendError::Failed(_) => Remedy::AnotherLeader,
                AppendError::TooLarge { .. } | AppendError::LargerThanSegment { .. } => Remedy::Smaller,
                AppendError::CorruptBatch(_)
                | AppendError::UnsupportedMagic { .. }
                | AppendError::UnsupportedCompression { .. }
                | AppendError::InvalidRecord { .. }
                | AppendError::InvalidTimestamp { .. }
                | AppendError::OutOfOrderSequence { .. }
                | AppendError::InvalidProducerEpoch { .. }
                | AppendError::CoordinatorFenced { .. }
                | AppendError::OffsetNotIncreasing { .. } => Remedy::Nothing,
            },
        }
    }
}

/// A fetch that gets no records.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// See [`LeadershipError`].
    #[error(transparent)]
    Leadership(#[from] LeadershipError),
    /// The offset is outside the log.
    #[error("the offset is outside of {log_start}..{log_end}")]
    OffsetOutOfRange {
        /// First offset there is.
        log_start: Offset,
        /// First offset there is not yet.
        log_end: Offset,
    },
    /// The follower is not a replica of this partition, as far as this leader knows.
    #[error("the fetching node is not a replica of the partition")]
    NotAReplica,
    /// The follower's registration was replaced by a newer one.
    #[error("the fetching broker has registered anew since")]
    StaleBrokerEpoch,
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A ListOffsets without an answer.
#[derive(Debug, thiserror::Error)]
pub enum ListOffsetsError {
    /// See [`LeadershipError`].
    #[error(transparent)]
    Leadership(#[from] LeadershipError),
    /// A new leader's high watermark has not reached the start of its epoch, so what is committed is not known yet
    /// (KIP-207).
    #[error("the new leader does not know yet what is committed")]
    OffsetNotAvailable,
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A fetched answer that could not be applied to the follower's log.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The leader sent records of an epoch after its own: nothing was appended.
    #[error("the leader of epoch {leader} sent records of epoch {found}")]
    EpochFromTheFuture {
        /// The leader's epoch.
        leader: i32,
        /// Epoch of the batch.
        found: i32,
    },
    /// The log refused or could not write the records.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log could not be truncated.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A DeleteRecords that deleted nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteRecordsError {
    /// This replica does not lead.
    #[error("this replica does not lead the partition")]
    NotLeaderOrFollower,
    /// Only committed records can be deleted.
    #[error("the offset lies above the high watermark {high_watermark}")]
    OffsetOutOfRange {
        /// The largest offset allowed.
        high_watermark: Offset,
    },
}
