//! Errors of the replica and its log as Kafka's codes; one exhaustive match per operation.

use ottla_broker_log::{AppendError, LogError, ReadError};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{
    DeleteRecordsError, FetchError, FollowError, LeadershipError, ListOffsetsError, ProduceError,
};

use super::hosted::AppendFailure;

/// Why a produce failed.
pub fn produce(error: &ProduceError) -> AppendFailure {
    let code = match error {
        ProduceError::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
        ProduceError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
        ProduceError::AfterRefused { code } => *code,
        ProduceError::Append(error) => append(error),
    };
    let message = (code != ErrorCode::NotLeaderOrFollower).then(|| error.to_string());
    let records = match error {
        ProduceError::Append(
            AppendError::InvalidRecord { records, .. } | AppendError::InvalidTimestamp { records },
        ) => records.clone(),
        _ => Vec::new(),
    };
    AppendFailure { code, message, records }
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
        AppendError::StaleLeaderEpoch { .. } => ErrorCode::NotLeaderOrFollower,
        AppendError::OffsetNotIncreasing { .. } => ErrorCode::UnknownServerError,
        AppendError::NoSpace(_) | AppendError::Exhausted(_) | AppendError::Failed(_) => {
            ErrorCode::KafkaStorageError
        }
    }
}

/// Whether the log cannot be used any more. Without space or open files it goes on as soon as there are some.
pub fn is_final(error: &ProduceError) -> bool {
    matches!(error, ProduceError::Append(AppendError::Failed(_)))
}

/// Whether a follower's log cannot be used any more.
pub fn is_final_follow(error: &FollowError) -> bool {
    match error {
        FollowError::EpochFromTheFuture { .. } => false,
        FollowError::Append(error) => matches!(error, AppendError::Failed(_)),
        FollowError::Log(error) => is_final_log(error),
    }
}

/// Whether a log cannot be used any more after its upkeep failed.
pub fn is_final_log(error: &LogError) -> bool {
    match error {
        LogError::NoSpace(_) | LogError::Exhausted(_) => false,
        LogError::Failed(_) | LogError::Corrupt { .. } => true,
    }
}

/// What the disk said, if it is the disk's error.
pub fn disk_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a std::io::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// Why a fetch failed.
pub fn fetch(error: &FetchError) -> ErrorCode {
    match error {
        FetchError::Leadership(error) => leadership(*error),
        FetchError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        FetchError::NotAReplica => ErrorCode::UnknownLeaderEpoch,
        FetchError::StaleBrokerEpoch => ErrorCode::StaleBrokerEpoch,
        FetchError::Read(ReadError::OffsetOutOfRange { .. }) => ErrorCode::OffsetOutOfRange,
        FetchError::Read(ReadError::Io(_) | ReadError::Corrupt { .. }) => ErrorCode::KafkaStorageError,
    }
}

/// Why offsets cannot be listed.
pub fn list_offsets(error: &ListOffsetsError) -> ErrorCode {
    match error {
        ListOffsetsError::Leadership(error) => leadership(*error),
        ListOffsetsError::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,
        ListOffsetsError::Read(_) => ErrorCode::KafkaStorageError,
    }
}

/// Why records cannot be deleted.
pub fn delete_records(error: DeleteRecordsError) -> ErrorCode {
    match error {
        DeleteRecordsError::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
        DeleteRecordsError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
    }
}

/// Who leads, as asker and replica see it.
pub fn leadership(error: LeadershipError) -> ErrorCode {
    match error {
        LeadershipError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        LeadershipError::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
        LeadershipError::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
    }
}
