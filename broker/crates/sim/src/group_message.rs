//! What members of the group and its coordinator say to each other. Plain values, no I/O.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_broker_coordinator::{
    CommitOffsetError, CommitOffsetsError, DecideError, Generation, HeartbeatError, JoinReply, MemberError,
    MemberId, SyncError, SyncReply, Unanswered,
};
use ottla_broker_types::{LeaderEpoch, Offset, TopicPartition};

/// A member's request.
#[derive(Clone, Debug)]
pub enum GroupRequest {
    /// JoinGroup, of a new member or of one with an id.
    Join(Option<MemberId>),
    /// SyncGroup, with the assignments if the member leads.
    Sync(MemberId, Generation, BTreeMap<MemberId, Bytes>),
    /// A sign of life, under the generation that the member believes in.
    Heartbeat(MemberId, Generation),
    /// OffsetCommit of one offset.
    Commit(MemberId, Generation, TopicPartition, Offset),
    /// OffsetFetch of one offset.
    Fetch(TopicPartition),
}

/// The coordinator's answer. Where it names an epoch, it is that of the offsets partition's leader.
#[derive(Clone, Debug)]
pub enum GroupReply {
    /// The generation, or why there is none for this member.
    Joined(JoinReply),
    /// What the member owns, or why it owns nothing.
    Synced(SyncReply),
    /// The heartbeat is taken.
    Alive,
    /// The offset is committed.
    Committed(LeaderEpoch),
    /// What is committed.
    Fetched(LeaderEpoch, Option<Offset>),
}

/// Why a member gets nothing of what it asked for, as far as it acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRefusal {
    /// It is no member any more, and joins as a new one.
    NotAMember,
    /// It has to join again under its id.
    Rejoin,
    /// The coordinator is elsewhere, or not able.
    NotHere,
}

impl From<Unanswered> for GroupRefusal {
    fn from(_: Unanswered) -> GroupRefusal {
        GroupRefusal::NotHere
    }
}

impl From<MemberError> for GroupRefusal {
    fn from(error: MemberError) -> GroupRefusal {
        match error {
            MemberError::Unknown => GroupRefusal::NotAMember,
            MemberError::Fenced => GroupRefusal::NotHere,
        }
    }
}

impl From<HeartbeatError> for GroupRefusal {
    fn from(error: HeartbeatError) -> GroupRefusal {
        match error {
            HeartbeatError::Member(error) => error.into(),
            HeartbeatError::IllegalGeneration | HeartbeatError::Rebalancing => GroupRefusal::Rejoin,
        }
    }
}

impl From<SyncError> for GroupRefusal {
    fn from(error: SyncError) -> GroupRefusal {
        match error {
            SyncError::Member(error) => error.into(),
            SyncError::IllegalGeneration | SyncError::Rebalancing | SyncError::AskedAgain => {
                GroupRefusal::Rejoin
            }
            SyncError::Protocol | SyncError::NoMemory => GroupRefusal::NotHere,
        }
    }
}

impl From<CommitOffsetsError> for GroupRefusal {
    fn from(error: CommitOffsetsError) -> GroupRefusal {
        match error {
            CommitOffsetsError::Member(error) => error.into(),
            CommitOffsetsError::IllegalGeneration | CommitOffsetsError::Rebalancing => GroupRefusal::Rejoin,
            CommitOffsetsError::UnknownGroup
            | CommitOffsetsError::TooManyGroups
            | CommitOffsetsError::StaleEpoch => GroupRefusal::NotHere,
        }
    }
}

impl From<CommitOffsetError> for GroupRefusal {
    fn from(_: CommitOffsetError) -> GroupRefusal {
        GroupRefusal::NotHere
    }
}

impl<E: Into<GroupRefusal>> From<DecideError<E>> for GroupRefusal {
    fn from(error: DecideError<E>) -> GroupRefusal {
        match error {
            DecideError::Refused(error) => error.into(),
            DecideError::Unanswered(why) => why.into(),
        }
    }
}
