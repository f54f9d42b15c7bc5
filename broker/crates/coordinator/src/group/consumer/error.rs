//! Why a request to a group of the consumer protocol is refused. No I/O.

use crate::group::ids::{GroupEpoch, InstanceId, MemberId};

/// Why a heartbeat is not answered with an assignment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerHeartbeatError {
    /// The request contradicts itself.
    #[error(transparent)]
    Invalid(#[from] InvalidHeartbeat),
    /// There is no group of the consumer protocol under this name, and the member does not join.
    #[error("there is no such consumer group")]
    UnknownGroup,
    /// The group has members of the classic protocol.
    #[error("the group has members that use the classic protocol; they have to leave it first")]
    ClassicGroup,
    /// It is no member, or is one no longer.
    #[error("the group has no such member")]
    UnknownMember,
    /// It has another epoch than it believes, and must give all partitions up and join again.
    #[error("the member's epoch is {known}, not {given}: it has to give up its partitions and join again")]
    FencedEpoch {
        /// What the member gave.
        given: GroupEpoch,
        /// What the coordinator knows.
        known: GroupEpoch,
    },
    /// Another process is the static member, and has not left.
    #[error("static member {instance} is {holder}, which has not left the group")]
    UnreleasedInstance {
        /// The static member.
        instance: InstanceId,
        /// Who holds its name.
        holder: MemberId,
    },
    /// Another process has taken the static member's place.
    #[error("static member {instance} is another process by now")]
    FencedInstance {
        /// The static member.
        instance: InstanceId,
    },
    /// The server has no assignor of this name.
    #[error("ServerAssignor {name} is not supported. Supported assignors: {supported}.")]
    UnknownAssignor {
        /// What the member asked for.
        name: String,
        /// What the broker offers.
        supported: String,
    },
    /// The pattern cannot be read.
    #[error("the pattern cannot be read: {0}")]
    Pattern(String),
    /// The group has as many members as the broker allows.
    #[error("the group is full")]
    GroupFull,
    /// The shard has no room for one more group.
    #[error("the coordinator has too many groups")]
    TooManyGroups,
    /// The memory for members of all groups is used up.
    #[error("the coordinator has no memory for the member")]
    NoMemory,
    /// What the member says of itself fits into no record.
    #[error("what the member says of itself is too large")]
    TooLarge,
}

/// What contradicts itself in a heartbeat, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeartbeat {
    /// No group.
    #[error("GroupId can't be empty.")]
    NoGroup,
    /// No member, where the client makes ids or the member is one already.
    #[error("MemberId can't be empty.")]
    NoMember,
    /// A static member without a name.
    #[error("InstanceId can't be empty.")]
    EmptyInstance,
    /// A rack without a name.
    #[error("RackId can't be empty.")]
    EmptyRack,
    /// Joining without a limit for giving up partitions.
    #[error("RebalanceTimeoutMs must be provided in first request.")]
    NoRebalanceTimeout,
    /// Joining with partitions.
    #[error("TopicPartitions must be empty when (re-)joining.")]
    Owning,
    /// Joining without a subscription.
    #[error("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")]
    NoSubscription,
    /// Leaving for a while without a name to come back to.
    #[error("InstanceId can't be null.")]
    NoInstance,
    /// An epoch below all that mean something.
    #[error("GroupEpoch is invalid.")]
    Epoch,
}
