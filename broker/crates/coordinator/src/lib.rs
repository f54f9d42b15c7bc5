//! Consumer groups of the classic protocol and their committed offsets, as a pure machine.
//!
//! Owns: what a group is, when it rebalances, which commits are taken, when offsets expire, and Kafka's record
//! formats of `__consumer_offsets`. Does no I/O: requests and the time come in; records to append and answers go
//! out. One [`GroupShard`] holds the groups of one partition of the offsets topic.
//!
//! Invariants: a generation never falls while a shard is loaded; a parked request is answered at most once; offsets
//! change only by [`GroupShard::appended`] and [`GroupShard::replay`], so a lost append leaves them as they were.

mod batches;
mod describe;
mod expiry;
mod group;
mod ids;
mod join;
mod leave;
mod limits;
mod member;
mod member_ids;
mod offsets;
mod outcome;
mod parking;
mod partitioning;
mod protocols;
mod rebalance;
mod record;
mod shard;
mod sync;
#[cfg(test)]
mod tests;
mod tick;

pub use batches::{Replayed, encode_batch};
pub use describe::{GroupDescription, GroupListing, MemberDescription};
pub use group::GroupState;
pub use ids::{Generation, GroupId, InstanceId, MemberId};
pub use join::JoinRequest;
pub use leave::Leaver;
pub use limits::{
    GROUPS_MAX, GroupLimits, NEW_MEMBER_JOIN_TIMEOUT, PENDING_MEMBERS_MAX, PROTOCOLS_MAX, TICK_RECORDS_MAX,
};
pub use member::{Caller, Protocol};
pub use offsets::{ClientOffset, CommitRequest, CommittedOffset, OffsetToCommit};
pub use outcome::{JoinReply, JoinedMember, Outcome, Reply, ReplyToken, SyncReply};
pub use parking::{NotWritten, Parking, Settled};
pub use partitioning::partition_for_group;
pub use record::{GroupRecord, GroupValue, MemberValue, RecordError};
pub use shard::GroupShard;
pub use sync::SyncRequest;
