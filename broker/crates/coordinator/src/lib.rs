//! Consumer groups of the classic protocol and their committed offsets, as a pure machine.
//!
//! Owns: what a group is, when it rebalances, which commits are taken, when offsets expire, and Kafka's record
//! formats of `__consumer_offsets`. Does no I/O: requests and the time come in; records to append and answers go
//! out. One [`GroupShard`] holds the groups of one partition of the offsets topic.
//!
//! Invariants: a generation never falls while a shard is loaded; a parked request is answered at most once; offsets
//! change only by [`GroupShard::appended`] and [`GroupShard::replay`], so a lost append leaves them as they were.

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
pub use group::describe::{GroupDescription, GroupListing, MemberDescription};
pub use group::ids::{Generation, GroupId, InstanceId, MemberId};
pub use group::limits::{
    GROUPS_MAX, GroupLimits, NEW_MEMBER_JOIN_TIMEOUT, PENDING_MEMBERS_MAX, PROTOCOLS_MAX, TICK_RECORDS_MAX,
};
pub use group::record::{GroupRecord, GroupValue, MemberValue, RecordError};
pub use group::shard::GroupShard;
pub use offsets::commit::{ClientOffset, CommitRequest, CommittedOffset, OffsetToCommit};
pub use runtime::batches::{Replayed, encode_batch};
pub use runtime::outcome::{JoinReply, JoinedMember, Outcome, Reply, ReplyToken, SyncReply};
pub use runtime::parking::{NotWritten, Parking, Settled};
pub use runtime::partitioning::partition_for_group;
