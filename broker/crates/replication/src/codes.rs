//! The refusals of a replica as Kafka's codes, one exhaustive match per operation, and what those of others mean to it.
//! No I/O.

use ottla_broker_log::{AppendError, ReadError};
use ottla_broker_protocol::ErrorCode;

use crate::errors::{DeleteRecordsError, FetchError, LeadershipError, ListOffsetsError, ProduceError};
use crate::follower::FetchRefusal;
use crate::isr::IsrUnchanged;

impl ProduceError {
    /// What the producer is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            ProduceError::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
            ProduceError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            ProduceError::AfterRefused { code } => *code,
            ProduceError::Append(error) => append(error),
        }
    }
}

fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::CorruptBatch(_) => ErrorCode::CorruptMessage,
        AppendError::UnsupportedMagic { .. } => ErrorCode::InvalidRecord,
        AppendError::UnsupportedCompression { .. } => ErrorCode::UnsupportedCompressionType,
        AppendError::InvalidRecord { .. } => ErrorCode::InvalidRecord,
        AppendError::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        AppendError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        AppendError::StaleLeaderEpoch { .. } => ErrorCode::NotLeaderOrFollower,
        AppendError::OffsetNotIncreasing { .. } => ErrorCode::UnknownServerError,
        AppendError::NoSpace(_) | AppendError::Exhausted(_) | AppendError::Failed(_) => {
            ErrorCode::KafkaStorageError
        }
    }
}

impl FetchError {
    /// What the fetcher is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            FetchError::Leadership(error) => error.code(),
            FetchError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            FetchError::NotAReplica => ErrorCode::UnknownLeaderEpoch,
            FetchError::StaleBrokerEpoch => ErrorCode::StaleBrokerEpoch,
            FetchError::Read(ReadError::OffsetOutOfRange { .. }) => ErrorCode::OffsetOutOfRange,
            FetchError::Read(ReadError::Io(_) | ReadError::Corrupt { .. }) => ErrorCode::KafkaStorageError,
        }
    }
}

impl ListOffsetsError {
    /// What the asker is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            ListOffsetsError::Leadership(error) => error.code(),
            ListOffsetsError::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,
            ListOffsetsError::Read(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl DeleteRecordsError {
    /// What the asker is told.
    pub fn code(self) -> ErrorCode {
        match self {
            DeleteRecordsError::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
            DeleteRecordsError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        }
    }
}

impl LeadershipError {
    /// What the asker is told.
    pub fn code(self) -> ErrorCode {
        match self {
            LeadershipError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            LeadershipError::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            LeadershipError::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
        }
    }
}

impl From<ErrorCode> for FetchRefusal {
    fn from(code: ErrorCode) -> FetchRefusal {
        match code {
            ErrorCode::OffsetOutOfRange => FetchRefusal::OffsetOutOfRange,
            ErrorCode::FencedLeaderEpoch => FetchRefusal::FencedLeaderEpoch,
            _ => FetchRefusal::NotNow,
        }
    }
}

impl From<ErrorCode> for IsrUnchanged {
    fn from(code: ErrorCode) -> IsrUnchanged {
        match code {
            ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted => IsrUnchanged::NotTaken,
            ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::NewLeaderElected
            | ErrorCode::InvalidRequest
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId => IsrUnchanged::Overtaken,
            _ => IsrUnchanged::Unknown,
        }
    }
}
