//! Why a group refuses: one enum per request, a variant for each reason. No I/O.

/// Who asks is no member under the ids that it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// No member has the id, or no static member the name.
    #[error("the group has no such member")]
    Unknown,
    /// Another id holds the static member's name by now.
    #[error("another process has taken the place of the static member")]
    Fenced,
}

/// Why a member is not taken into a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The session timeout lies outside of the broker's limits.
    #[error("the session timeout is outside of the broker's limits")]
    SessionTimeout,
    /// It offers nothing that all the others offer, too many protocols, or none.
    #[error("the member shares no protocol with the group")]
    Protocols,
    /// What it says of itself could never be written or held.
    #[error("what the member says of itself is too large")]
    TooLarge,
    /// It names an id under which it is no member, or is one no longer.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A new dynamic member comes back with the id that it is given (KIP-394).
    #[error("the member has to join under the id that it is given")]
    MemberIdRequired,
    /// The group, or its record, has no room for one more.
    #[error("the group is full")]
    GroupFull,
    /// The shard has no room for one more group.
    #[error("the coordinator has too many groups")]
    TooManyGroups,
    /// The memory for members of all groups is used up.
    #[error("the coordinator has no memory for the member")]
    NoMemory,
    /// The same member has asked again since, and is answered there.
    #[error("the member has asked again")]
    AskedAgain,
}

/// Why a member does not get its assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// It is no member, or is one no longer.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The group has moved on, or has not got there.
    #[error("the group is in another generation")]
    IllegalGeneration,
    /// It believes in another protocol than the group's.
    #[error("the group has chosen another protocol")]
    Protocol,
    /// The members are being called together again.
    #[error("the group is rebalancing")]
    Rebalancing,
    /// The same member has asked again since, and is answered there.
    #[error("the member has asked again")]
    AskedAgain,
    /// The memory for members of all groups is used up.
    #[error("the coordinator has no memory for the assignment")]
    NoMemory,
}

/// Why a member has to do more than to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// It is no member.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The group has moved on, or has not got there.
    #[error("the group is in another generation")]
    IllegalGeneration,
    /// The members are being called together: it must join again. It lives all the same.
    #[error("the group is rebalancing")]
    Rebalancing,
}

/// Why none of a request's offsets is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitOffsetsError {
    /// Who commits is no member, and the group has some.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The group has moved on, or has not got there.
    #[error("the group is in another generation")]
    IllegalGeneration,
    /// What the member commits may be another's already.
    #[error("the group is rebalancing")]
    Rebalancing,
    /// A member commits for a group that there is not.
    #[error("there is no such group")]
    UnknownGroup,
    /// A member of the consumer protocol is in another epoch by now.
    #[error("the member is in another epoch")]
    StaleEpoch,
    /// The shard has no room for one more group.
    #[error("the coordinator has too many groups")]
    TooManyGroups,
}

/// Why a member's committed offsets are not told to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchOffsetsError {
    /// Who asks is no member.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A member of the consumer protocol is in another epoch by now.
    #[error("the member is in another epoch")]
    StaleEpoch,
}

/// Why one offset is not committed; the others of its request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitOffsetError {
    /// The client's note is longer than the broker allows.
    #[error("the offset's metadata is too long")]
    MetadataTooLarge,
    /// The names are so long that no record holds them.
    #[error("the offset fits into no record")]
    RecordTooLarge,
    /// The memory for offsets of all groups is used up.
    #[error("the coordinator has no memory for the offset")]
    NoMemory,
}

/// Why a group stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteGroupError {
    /// There is no such group.
    #[error("there is no such group")]
    Unknown,
    /// It has members.
    #[error("the group has members")]
    NotEmpty,
}

/// Why one offset stays; the others of its request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("members of the group consume the topic")]
pub struct StillSubscribed;
