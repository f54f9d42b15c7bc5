//! Coordinators as pure machines: what any of them needs, and the groups of the classic protocol with their offsets.
//!
//! Owns: what a group is, when it rebalances, which commits are taken, when offsets expire, Kafka's record formats of
//! `__consumer_offsets`; when a decision counts and when it is answered. Does no I/O: requests and the time come in;
//! batches to append and answers go out. A [`Coordinator`] serves one [`Shard`], which holds what the records of one
//! partition add up to; the shard of groups is [`GroupShard`].
//!
//! Invariants: a generation never falls while a shard is loaded; a parked request is answered at most once; a decision
//! that cannot be written has not happened.

mod group;
mod offsets;
mod runtime;
#[cfg(test)]
mod tests;

pub use group::classic::group::GroupState;
pub use group::classic::join::JoinRequest;
pub use group::classic::leave::Leaver;
pub use group::classic::member::{Caller, Protocol};
pub use group::classic::sync::SyncRequest;
pub use group::consumer::assignors::Assignor;
pub use group::consumer::describe::{ConsumerDescription, ConsumerGroupDescription};
pub use group::consumer::error::{ConsumerHeartbeatError, InvalidHeartbeat};
pub use group::consumer::group::ConsumerGroupState;
pub use group::consumer::heartbeat::{ConsumerHeartbeat, ConsumerHeartbeatReply, Intent};
pub use group::consumer::member::{ConsumerMetadata, CurrentAssignment, MemberState};
pub use group::consumer::partitions::Partitions;
pub use group::consumer::record::{ConsumerGroupValue, ConsumerRecord, PatternTopics};
pub use group::consumer::topics::{SubscribedTopic, Topics};
pub use group::describe::{GroupDescription, GroupKind, GroupListing, MemberDescription};
pub use group::error::{
    CommitOffsetError, CommitOffsetsError, DeleteGroupError, FetchOffsetsError, HeartbeatError, JoinError,
    MemberError, StillSubscribed, SyncError,
};
pub use group::ids::{Generation, GroupEpoch, GroupId, InstanceId, MemberId};
pub use group::limits::{
    EXPIRY_GROUPS_MAX, EXPIRY_RECORDS_MAX, GROUPS_MAX, GroupLimits, NEW_MEMBER_JOIN_TIMEOUT,
    PENDING_MEMBERS_MAX, PROTOCOLS_BYTES_MAX, PROTOCOLS_MAX, TEXT_BYTES_MAX,
};
pub use group::record::{GroupRecord, GroupValue, MemberValue, RecordError};
pub use group::reply::{
    JoinRefused, JoinReply, Joined, JoinedMember, OtherReply, PerPart, Reply, SyncReply, Synced,
};
pub use group::shard::{GroupChange, GroupDue, GroupMemory, GroupShard};
pub use offsets::commit::{ClientOffset, CommitRequest, CommittedOffset, OffsetToCommit};
pub use runtime::budget::Budget;
pub use runtime::coordinator::{Answer, Answers, Coordinator, DUE_PER_TICK_MAX, REST_AFTER_FAILURE};
pub use runtime::hosting::Hosting;
pub use runtime::loading::{Loading, Progress};
pub use runtime::outcome::{Outcome, Token};
pub use runtime::partitioning::partition_for_key;
pub use runtime::shard::{NotWritten, Shard, ShardLog, ShardRecord, Turn};
pub use runtime::unanswered::{DecideError, Unanswered};
