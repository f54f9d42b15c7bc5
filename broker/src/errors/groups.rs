//! Codes of what coordinators refuse. No I/O.

use ottla_broker_coordinator::{
    CommitOffsetError, CommitOffsetsError, ConsumerHeartbeatError, DecideError, DeleteGroupError,
    FetchOffsetsError, HeartbeatError, JoinError, MemberError, NotWritten, StillSubscribed, SyncError,
    Unanswered,
};
use ottla_broker_protocol::ErrorCode;

use super::KafkaError;

impl KafkaError for Unanswered {
    fn code(&self) -> ErrorCode {
        match self {
            Unanswered::Loading => ErrorCode::CoordinatorLoadInProgress,
            Unanswered::NotCoordinator => ErrorCode::NotCoordinator,
            Unanswered::NotWritten(error) => error.code(),
            Unanswered::NotCommitted | Unanswered::TooManyWait => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl KafkaError for NotWritten {
    fn code(&self) -> ErrorCode {
        match self {
            NotWritten::TooLarge => ErrorCode::MessageTooLarge,
            NotWritten::NotCoordinator => ErrorCode::NotCoordinator,
            NotWritten::Unavailable => ErrorCode::CoordinatorNotAvailable,
            NotWritten::Failed => ErrorCode::UnknownServerError,
        }
    }
}

impl<E: KafkaError> KafkaError for DecideError<E> {
    fn code(&self) -> ErrorCode {
        match self {
            DecideError::Refused(error) => error.code(),
            DecideError::Unanswered(why) => why.code(),
        }
    }
}

impl KafkaError for std::convert::Infallible {
    fn code(&self) -> ErrorCode {
        match *self {}
    }
}

impl KafkaError for MemberError {
    fn code(&self) -> ErrorCode {
        match self {
            MemberError::Unknown => ErrorCode::UnknownMemberId,
            MemberError::Fenced => ErrorCode::FencedInstanceId,
        }
    }
}

impl KafkaError for JoinError {
    fn code(&self) -> ErrorCode {
        match self {
            JoinError::SessionTimeout => ErrorCode::InvalidSessionTimeout,
            JoinError::Protocols => ErrorCode::InconsistentGroupProtocol,
            JoinError::TooLarge => ErrorCode::MessageTooLarge,
            JoinError::Member(error) => error.code(),
            JoinError::MemberIdRequired => ErrorCode::MemberIdRequired,
            JoinError::GroupFull => ErrorCode::GroupMaxSizeReached,
            JoinError::TooManyGroups | JoinError::NoMemory => ErrorCode::CoordinatorNotAvailable,
            JoinError::AskedAgain => ErrorCode::RebalanceInProgress,
        }
    }
}

impl KafkaError for SyncError {
    fn code(&self) -> ErrorCode {
        match self {
            SyncError::Member(error) => error.code(),
            SyncError::IllegalGeneration => ErrorCode::IllegalGeneration,
            SyncError::Protocol => ErrorCode::InconsistentGroupProtocol,
            SyncError::Rebalancing | SyncError::AskedAgain => ErrorCode::RebalanceInProgress,
            SyncError::NoMemory => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl KafkaError for HeartbeatError {
    fn code(&self) -> ErrorCode {
        match self {
            HeartbeatError::Member(error) => error.code(),
            HeartbeatError::IllegalGeneration => ErrorCode::IllegalGeneration,
            HeartbeatError::Rebalancing => ErrorCode::RebalanceInProgress,
        }
    }
}

impl KafkaError for CommitOffsetsError {
    fn code(&self) -> ErrorCode {
        match self {
            CommitOffsetsError::Member(error) => error.code(),
            CommitOffsetsError::IllegalGeneration => ErrorCode::IllegalGeneration,
            CommitOffsetsError::StaleEpoch => ErrorCode::StaleMemberEpoch,
            CommitOffsetsError::Rebalancing => ErrorCode::RebalanceInProgress,
            CommitOffsetsError::UnknownGroup => ErrorCode::GroupIdNotFound,
            CommitOffsetsError::TooManyGroups => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl KafkaError for CommitOffsetError {
    fn code(&self) -> ErrorCode {
        match self {
            CommitOffsetError::MetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
            CommitOffsetError::RecordTooLarge => ErrorCode::InvalidCommitOffsetSize,
            CommitOffsetError::NoMemory => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl KafkaError for DeleteGroupError {
    fn code(&self) -> ErrorCode {
        match self {
            DeleteGroupError::Unknown => ErrorCode::GroupIdNotFound,
            DeleteGroupError::NotEmpty => ErrorCode::NonEmptyGroup,
        }
    }
}

impl KafkaError for StillSubscribed {
    fn code(&self) -> ErrorCode {
        ErrorCode::GroupSubscribedToTopic
    }
}

impl KafkaError for FetchOffsetsError {
    fn code(&self) -> ErrorCode {
        match self {
            FetchOffsetsError::Member(error) => error.code(),
            FetchOffsetsError::StaleEpoch => ErrorCode::StaleMemberEpoch,
        }
    }
}

impl KafkaError for ConsumerHeartbeatError {
    fn code(&self) -> ErrorCode {
        match self {
            ConsumerHeartbeatError::Invalid(_) => ErrorCode::InvalidRequest,
            ConsumerHeartbeatError::UnknownGroup | ConsumerHeartbeatError::ClassicGroup => {
                ErrorCode::GroupIdNotFound
            }
            ConsumerHeartbeatError::UnknownMember => ErrorCode::UnknownMemberId,
            ConsumerHeartbeatError::FencedEpoch { .. } => ErrorCode::FencedMemberEpoch,
            ConsumerHeartbeatError::UnreleasedInstance { .. } => ErrorCode::UnreleasedInstanceId,
            ConsumerHeartbeatError::FencedInstance { .. } => ErrorCode::FencedInstanceId,
            ConsumerHeartbeatError::UnknownAssignor { .. } => ErrorCode::UnsupportedAssignor,
            ConsumerHeartbeatError::Pattern(_) => ErrorCode::InvalidRegularExpression,
            ConsumerHeartbeatError::GroupFull => ErrorCode::GroupMaxSizeReached,
            ConsumerHeartbeatError::TooManyGroups | ConsumerHeartbeatError::NoMemory => {
                ErrorCode::CoordinatorNotAvailable
            }
            ConsumerHeartbeatError::TooLarge => ErrorCode::MessageTooLarge,
        }
    }
}
