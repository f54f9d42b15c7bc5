//! What an error of the replica and its log means for the partition, and for the producer that made it.

use std::io;

use ottla_broker_log::{AppendError, CleanError, LogError};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{FollowError, ProduceError};

use super::hosted::{AppendFailure, NotAppended};

/// Why a produce failed.
pub fn produce(error: &ProduceError) -> AppendFailure {
    let code = error.code();
    let message = (code != ErrorCode::NotLeaderOrFollower).then(|| error.to_string());
    let records = match error {
        ProduceError::Append(
            AppendError::InvalidRecord { records, .. } | AppendError::InvalidTimestamp { records },
        ) => records.clone(),
        _ => Vec::new(),
    };
    AppendFailure { code, message, records }
}

/// What the producer of a batch that was not appended is told.
pub fn not_appended(failure: NotAppended) -> AppendFailure {
    match failure {
        NotAppended::Offline => AppendFailure::of(ErrorCode::KafkaStorageError),
        NotAppended::NoSpace { complaint } => {
            AppendFailure { message: complaint, ..AppendFailure::of(ErrorCode::KafkaStorageError) }
        }
        NotAppended::Refused(error) => produce(&error),
        NotAppended::TooManyWait => AppendFailure::with(ErrorCode::RequestTimedOut, failure.to_string()),
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

/// An error that may be the disk's.
pub trait DiskError: std::error::Error {
    /// What the disk said; `None` if something else is wrong.
    fn disk_error(&self) -> Option<&io::Error>;
}

impl DiskError for LogError {
    fn disk_error(&self) -> Option<&io::Error> {
        match self {
            LogError::NoSpace(error) | LogError::Exhausted(error) | LogError::Failed(error) => Some(error),
            LogError::Corrupt { .. } => None,
        }
    }
}

impl DiskError for ProduceError {
    fn disk_error(&self) -> Option<&io::Error> {
        match self {
            ProduceError::Append(error) => append_disk_error(error),
            ProduceError::NotLeaderOrFollower
            | ProduceError::NotEnoughReplicas { .. }
            | ProduceError::AfterRefused { .. } => None,
        }
    }
}

impl DiskError for FollowError {
    fn disk_error(&self) -> Option<&io::Error> {
        match self {
            FollowError::EpochFromTheFuture { .. } => None,
            FollowError::Append(error) => append_disk_error(error),
            FollowError::Log(error) => error.disk_error(),
        }
    }
}

impl DiskError for CleanError {
    fn disk_error(&self) -> Option<&io::Error> {
        match self {
            CleanError::Exhausted(error) | CleanError::Io(error) => Some(error),
            CleanError::Stopped | CleanError::Damaged { .. } | CleanError::TooLarge { .. } => None,
        }
    }
}

fn append_disk_error(error: &AppendError) -> Option<&io::Error> {
    match error {
        AppendError::NoSpace(error) | AppendError::Exhausted(error) | AppendError::Failed(error) => {
            Some(error)
        }
        _ => None,
    }
}
